package chaos

import (
	"context"
	"errors"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"bowline/internal/testkit"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// TestFailover kills the leader under steady writers, BOWLINE_FAILOVERS times, with
// the timing that servers have by default, and tells for how long no write was
// acknowledged: by the service, to which a write is offered every few milliseconds
// whether or not earlier ones were answered, and to a program that writes one key
// after the other with the official client.
func TestFailover(t *testing.T) {
	kills := 2
	if text := os.Getenv("BOWLINE_FAILOVERS"); text != "" {
		var err error
		if kills, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	c, err := testkit.StartCluster(etcd.Path(t), t.TempDir(), 3, &ports)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Kill)
	var service, program []time.Duration
	for range kills {
		s, p, err := failover(c)
		if err != nil {
			t.Errorf("kill %d: %v\n%s", len(service)+1, err, c.Logs(10))
			break
		}
		service, program = append(service, s), append(program, p)
	}
	report(t, "the service", service)
	report(t, "the official client", program)
	// Elections take one or two timeouts of a second; far more is a fault of ours.
	const limit = 15 * time.Second
	if worst := slices.Max(service); worst > limit {
		t.Errorf("no write was acknowledged for %v", worst)
	}
}

func report(t *testing.T, who string, gaps []time.Duration) {
	if len(gaps) == 0 {
		t.Fatalf("%s: nothing was measured", who)
	}
	slices.Sort(gaps)
	at := func(percent int) time.Duration { return gaps[(len(gaps)-1)*percent/100].Round(time.Millisecond) }
	t.Logf("%-20s without acknowledged writes, %d kills: least %v, median %v, 90%% %v, most %v", who, len(gaps), at(0), at(50), at(90), at(100))
}

// failover kills the leader once and returns how long nothing was acknowledged.
func failover(c *testkit.Cluster) (service, program time.Duration, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	leader, err := c.Leader(ctx)
	if err != nil {
		return 0, 0, err
	}
	s, err := startWriters(c, leader)
	if err != nil {
		return 0, 0, err
	}
	defer s.close()
	if err := s.waitFor(ctx, time.Time{}, 50); err != nil {
		return 0, 0, err
	}
	killed := time.Now()
	if err := leader.Crash(); err != nil {
		return 0, 0, err
	}
	if err := s.waitFor(ctx, killed.Add(20*time.Millisecond), 50); err != nil { // an answer may have been under way
		return 0, 0, err
	}
	s.close()
	if err := leader.Restart(); err != nil {
		return 0, 0, err
	}
	return s.offered.gap(killed), s.program.gap(killed), c.WaitHealthy(ctx)
}

// marks are the moments at which writes were acknowledged.
type marks struct {
	mu  sync.Mutex // guards all
	all []time.Time
}

func (m *marks) add() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all = append(m.all, time.Now())
}

// since counts the marks after a moment.
func (m *marks) since(t time.Time) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, mark := range m.all {
		if mark.After(t) {
			n++
		}
	}
	return n
}

// gap is the longest time without a mark that ends after a moment.
func (m *marks) gap(after time.Time) (longest time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := 1; i < len(m.all); i++ {
		if m.all[i].After(after) {
			longest = max(longest, m.all[i].Sub(m.all[i-1]))
		}
	}
	return longest
}

// writers write while a leader is killed.
type writers struct {
	offered, program marks

	conns    []*client
	official *clientv3.Client
	stop     context.CancelFunc
	tasks    sync.WaitGroup
}

func startWriters(c *testkit.Cluster, leader *testkit.Server) (*writers, error) {
	survivors := slices.DeleteFunc(slices.Clone(c.Members), func(m *testkit.Server) bool { return m == leader })
	conns, err := dialAll(survivors)
	if err != nil {
		return nil, err
	}
	official, err := clientv3.New(clientv3.Config{Endpoints: c.Endpoints(), Logger: zap.NewNop()})
	if err != nil {
		hangUp(conns)
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	w := &writers{conns: conns, official: official, stop: stop}
	w.tasks.Go(func() { w.offer(ctx) })
	w.tasks.Go(func() { w.write(ctx) })
	return w, nil
}

func (w *writers) close() {
	w.stop()
	w.tasks.Wait()
	hangUp(w.conns)
	w.official.Close()
}

// offer puts a key every few milliseconds at those that survive.
func (w *writers) offer(ctx context.Context) {
	const most = 2000 // calls under way
	slots := make(chan struct{}, most)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		select {
		case slots <- struct{}{}:
		default:
			continue
		}
		w.tasks.Go(func() {
			defer func() { <-slots }()
			own, cancel := context.WithTimeout(ctx, 5*time.Second)
			defer cancel()
			if _, err := w.conns[i%len(w.conns)].Put(own, &pb.PutRequest{Key: []byte("offered"), Value: []byte(strconv.Itoa(i))}); err == nil {
				w.offered.add()
			}
		})
	}
}

// write puts one key after the other.
func (w *writers) write(ctx context.Context) {
	for i := 0; ctx.Err() == nil; i++ {
		own, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		_, err := w.official.Put(own, "program", strconv.Itoa(i))
		cancel()
		if err == nil {
			w.program.add()
		}
	}
}

// waitFor waits until both were acknowledged n writes after a moment.
func (w *writers) waitFor(ctx context.Context, after time.Time, n int) error {
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		offered, program := w.offered.since(after), w.program.since(after)
		if offered >= n && program >= n {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), errors.New("no writes: "+strconv.Itoa(offered)+" and "+strconv.Itoa(program)+" were acknowledged"))
		case <-poll.C:
		}
	}
}

// TestMoveLeaderLosesNothing moves leadership under clients of the official kind,
// none of whose calls may fail.
func TestMoveLeaderLosesNothing(t *testing.T) {
	c, err := testkit.StartCluster(etcd.Path(t), t.TempDir(), 3, &ports)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Kill)
	const moves, writers = 6, 4
	w := &world{t: t, cluster: c, began: time.Now(), rng: newRand(seed(t))}
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	t.Cleanup(cancel)
	running, stop := context.WithCancel(ctx)
	t.Cleanup(stop)
	var tasks sync.WaitGroup
	var acks marks
	for i := range writers {
		client, err := c.Client()
		if err != nil {
			t.Fatal(err)
		}
		tasks.Go(func() {
			defer client.Close()
			for n := 0; running.Err() == nil; n++ {
				if _, err := client.Put(ctx, "w"+strconv.Itoa(i), strconv.Itoa(n)); err != nil {
					t.Errorf("a write failed: %v", err)
				}
				acks.add()
			}
		})
	}
	for range moves {
		seen := time.Now()
		if err := w.moveLeader(ctx); err != nil {
			t.Error(err)
		}
		for acks.since(seen) < 200 {
			if err := w.pause(ctx, 10*time.Millisecond); err != nil {
				t.Fatal(err)
			}
		}
	}
	stop()
	tasks.Wait()
	t.Logf("%d moves, %d writes, the longest without: %v", moves, len(acks.all), acks.gap(time.Time{}))
	if err := c.SameHashes(ctx); err != nil {
		t.Error(err)
	}
}
