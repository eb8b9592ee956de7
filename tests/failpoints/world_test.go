package failpoints

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"bowline/internal/testkit"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// patience is how long a cluster that nobody hurts may take for anything.
const patience = 40 * time.Second

// always are values that make the log short, so that members need whole states soon.
const always = "logSegmentBytes=return(65536);logCutEvery=return(100)"

// world is a cluster whose failpoints can be reached.
type world struct {
	t       *testing.T
	dir     string
	cluster *testkit.Cluster
	at      map[string]string // where a member's failpoints are served
	all     *clientv3.Client
	each    []*clientv3.Client
}

// Site implements testkit.Network: a member reads the failpoints that it starts with
// from a file.
func (w *world) Site(name string, block *testkit.Block) (testkit.Site, error) {
	w.at[name] = block.Addr(2)
	run := fmt.Sprintf(`GOFAIL_HTTP=%s GOFAIL_FAILPOINTS="$(cat %s)" exec "$0" "$@"`, block.Addr(2), w.file(name))
	return testkit.Site{Client: block.Addr(0), Peer: block.Addr(1), Reached: block.Addr(1), Wrap: []string{"sh", "-c", run}}, w.atStart(name, "")
}

func (w *world) file(name string) string { return filepath.Join(w.dir, name+".failpoints") }

// atStart sets the failpoints that a member starts with.
func (w *world) atStart(name, more string) error {
	text := always
	if more != "" {
		text += ";" + more
	}
	return os.WriteFile(w.file(name), []byte(text), 0o600)
}

// newWorld starts a cluster of n.
func newWorld(t *testing.T, program string, n int) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), at: make(map[string]string)}
	var ports testkit.Ports
	var err error
	w.cluster, err = testkit.StartClusterOn(w, program, w.dir, n, &ports, "--heartbeat-interval", "50", "--election-timeout", "500")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.cluster.Kill)
	dial := func(endpoints ...string) *clientv3.Client {
		c, err := clientv3.New(clientv3.Config{Endpoints: endpoints, DialTimeout: callTimeout, Logger: zap.NewNop()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	w.all = dial(w.cluster.Endpoints()...)
	for _, m := range w.cluster.Members {
		w.each = append(w.each, dial(m.Addr))
	}
	return w
}

// ask speaks with a member's failpoints.
func (w *world) ask(m *testkit.Server, method, name, body string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+w.at[m.Name]+"/"+name, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= http.StatusMultipleChoices {
		err = fmt.Errorf("%s %s: %s %s", method, name, resp.Status, text)
	}
	return string(text), err
}

// reached waits until a member has come to a failpoint, or has ended.
func (w *world) reached(m *testkit.Server, name string) (ended bool, err error) {
	poll, limit := time.NewTicker(20*time.Millisecond), time.NewTimer(patience)
	defer poll.Stop()
	defer limit.Stop()
	for {
		select {
		case <-m.Ended():
			return true, nil
		case <-limit.C:
			return false, errors.New(m.Name + " does not come to the failpoint")
		case <-poll.C:
		}
		text, err := w.ask(m, http.MethodGet, name+"/count", "")
		if err != nil {
			continue // it is starting, or ending
		}
		if n, err := strconv.Atoi(text); err == nil && n > 0 {
			return false, nil
		}
	}
}

// crashed waits until a member has died of a panic at a failpoint. Where a panic is
// recovered it is killed at that place instead.
func (w *world) crashed(m *testkit.Server, name string) error {
	ended, err := w.reached(m, name)
	if err != nil || ended {
		return err
	}
	select {
	case <-m.Ended():
		return nil
	case <-time.After(3 * time.Second):
		w.t.Logf("the panic was recovered; %s is killed", m.Name)
		return m.Crash()
	}
}

// whole waits until all members run, and compares them.
func (w *world) whole(l *load) {
	t := w.t
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := w.cluster.WaitHealthy(ctx); err != nil {
		t.Fatalf("%v\n%s", err, w.cluster.Logs(15))
	}
	if err := w.cluster.SameHashes(ctx); err != nil {
		t.Errorf("%v\n%s", err, w.cluster.Logs(5))
	}
	l.check(ctx, t, w.all, w.cluster.Members)
}
