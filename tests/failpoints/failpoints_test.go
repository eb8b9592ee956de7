package failpoints

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bowline/internal/testkit"
)

// deed is what happens at a failpoint.
type deed struct {
	name, term string
	crash      bool
}

var deeds = []deed{{"panic", `panic("failpoint")`, true}, {"sleep", "sleep(300)", false}}

// delayFor is for how long a member is delayed again and again.
const delayFor = 1500 * time.Millisecond

// warmUp is for how long clients work before anything is done.
const warmUp = 400 * time.Millisecond

// server is the program, built with failpoints.
func server(t *testing.T) string {
	if instead := os.Getenv("BOWLINE_FAILPOINT_ETCD"); instead != "" {
		return instead
	}
	dir := t.TempDir()
	if err := testkit.BuildFailpoints(dir, "etcd"); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "etcd")
}

func TestFailpoints(t *testing.T) {
	wish := os.Getenv("BOWLINE_FAILPOINTS")
	if wish == "" {
		t.Log("nothing was asked for: BOWLINE_FAILPOINTS is empty")
		return
	}
	program := server(t)
	w := newWorld(t, program, 3)
	w.knowsAll()
	for i, p := range points {
		if wish != "all" && !slices.Contains(strings.Split(wish, ","), p.name) {
			continue
		}
		for _, d := range deeds {
			t.Run(p.name+"/"+d.name, func(t *testing.T) {
				if p.way == byFounding {
					atFounding(t, program, p.name, d)
					return
				}
				w := *w
				w.t = t
				w.hurt(w.cluster.Members[i%len(w.cluster.Members)], p.name, p.way, d)
			})
			if t.Failed() {
				t.Fatal("the cluster is not what it was; the rest would tell nothing")
			}
		}
	}
}

// knowsAll compares the table with what the program has.
func (w *world) knowsAll() {
	w.t.Helper()
	text, err := w.ask(w.cluster.Members[0], http.MethodGet, "", "")
	if err != nil {
		w.t.Fatal(err)
	}
	for line := range strings.Lines(text) {
		name, _, _ := strings.Cut(line, "=")
		known := slices.Contains(values, name)
		for _, p := range points {
			known = known || p.name == name
		}
		if !known {
			w.t.Errorf("the failpoint %s is not tested", name)
		}
	}
}

// hurt does a deed to a member under load, and checks what has become of the cluster.
func (w *world) hurt(m *testkit.Server, name string, how way, d deed) {
	t := w.t
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if how == byLeader || how == byFollower {
		leader, err := w.cluster.Leader(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for i := range w.cluster.Members {
			if c := w.cluster.Members[i]; (c == leader) == (how == byLeader) {
				m = c
			}
		}
	}
	l := begin(w.all, w.each, how == byMembers)
	defer l.stop()
	<-time.After(warmUp)
	act := w.underLoad
	if how == byState {
		act = w.receiving
	}
	if err := act(m, name, d); err != nil {
		t.Fatalf("%v\n%s", err, w.cluster.Logs(15))
	}
	l.stop()
	w.whole(l)
}

// underLoad does a deed to a member that runs.
func (w *world) underLoad(m *testkit.Server, name string, d deed) error {
	if _, err := w.ask(m, http.MethodPut, name, d.term); err != nil {
		return err
	}
	if d.crash {
		if err := w.crashed(m, name); err != nil {
			return err
		}
		return m.Restart()
	}
	if ended, err := w.reached(m, name); err != nil || ended {
		return errEnded(m, err)
	}
	<-time.After(delayFor)
	if _, err := w.ask(m, http.MethodDelete, name, ""); err != nil {
		return err
	}
	return nil
}

func errEnded(m *testkit.Server, err error) error {
	if err != nil {
		return err
	}
	return &endedError{m.Name}
}

type endedError struct{ name string }

func (e *endedError) Error() string { return e.name + " has ended, which a delay should not do" }

// receiving does a deed to a member that comes back so late that it is sent a whole
// state: the log that it needs is neither on the others' disks nor in their memory.
func (w *world) receiving(m *testkit.Server, name string, d deed) error {
	if err := m.Crash(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var others []*testkit.Server
	for _, o := range w.cluster.Members {
		if o != m {
			others = append(others, o)
		}
	}
	// One that has sent a state before keeps its log for a while, as long as it runs.
	if err := w.startAnew(ctx, others); err != nil {
		return err
	}
	status, err := w.all.Status(ctx, others[0].Addr)
	if err != nil {
		return err
	}
	for _, o := range others {
		if err := cutBehind(ctx, o, status.RaftIndex); err != nil {
			return err
		}
	}
	if err := w.startAnew(ctx, others); err != nil {
		return err
	}
	if err := w.atStart(m.Name, name+"="+d.term); err != nil {
		return err
	}
	err = m.Launch()
	if err == nil && d.crash {
		err = w.crashed(m, name)
	} else if err == nil {
		var ended bool
		if ended, err = w.reached(m, name); ended {
			err = errEnded(m, err)
		}
	}
	if err != nil {
		return err
	}
	if err := w.atStart(m.Name, ""); err != nil {
		return err
	}
	if d.crash {
		return m.Restart()
	}
	if err := m.Ready(ctx); err != nil {
		return err
	}
	_, err = w.ask(m, http.MethodDelete, name, "")
	return err
}

// startAnew ends and starts members, whose memory is empty then.
func (w *world) startAnew(ctx context.Context, members []*testkit.Server) error {
	for _, m := range members {
		if err := m.Crash(); err != nil {
			return err
		}
	}
	for _, m := range members {
		if err := m.Launch(); err != nil {
			return err
		}
	}
	return w.cluster.WaitHealthy(ctx)
}

// cutBehind waits until a member's log begins behind an index: the names of its files
// tell where they begin.
func cutBehind(ctx context.Context, m *testkit.Server, index uint64) error {
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		files, err := filepath.Glob(filepath.Join(m.DataDir, "member", "wal", "*.wal"))
		if err != nil {
			return err
		}
		if slices.Sort(files); len(files) > 0 {
			var seq, first uint64
			if _, err := fmt.Sscanf(filepath.Base(files[0]), "%16x-%16x.wal", &seq, &first); err != nil {
				return err
			}
			if first > index {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the log of %s is not cut up to %d: %w", m.Name, index, ctx.Err())
		case <-poll.C:
		}
	}
}

// atFounding does a deed to a member alone when it starts for the first time.
func atFounding(t *testing.T, program, name string, d deed) {
	w := &world{t: t, dir: t.TempDir(), at: make(map[string]string)}
	var ports testkit.Ports
	var err error
	if w.cluster, err = testkit.NewClusterOn(w, program, w.dir, 1, &ports); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.cluster.Kill)
	m := w.cluster.Members[0]
	if err := w.atStart(m.Name, name+"="+d.term); err != nil {
		t.Fatal(err)
	}
	if err := m.Launch(); err != nil {
		t.Fatal(err)
	}
	if d.crash {
		if err := w.crashed(m, name); err != nil {
			t.Fatalf("%v\n%s", err, m.Log(15))
		}
		if err := w.atStart(m.Name, ""); err != nil {
			t.Fatal(err)
		}
		if err := m.Launch(); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := m.Ready(ctx); err != nil {
		t.Fatalf("%v\n%s", err, m.Log(15))
	}
}
