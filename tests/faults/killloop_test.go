package faults

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"bowline/internal/testkit"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// TestKillLoop kills the server again and again at random moments, with writers,
// leases, compactions, snapshots and watchers at work, and compares what is there
// after each restart with what clients were told.
func TestKillLoop(t *testing.T) {
	kills := 10
	if testing.Short() {
		kills = 3
	}
	if v := os.Getenv("BOWLINE_KILLS"); v != "" {
		var err error
		if kills, err = strconv.Atoi(v); err != nil {
			t.Fatal(err)
		}
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("%d kills, seed %d", kills, seed)
	k := newKillLoop(t, seed)
	for range kills {
		k.life()
		if err := k.h.err(); err != nil {
			t.Fatalf("%v\nthe log ends with:\n%s", err, k.server.Log(30))
		}
	}
	k.finish()
}

type killLoop struct {
	t      *testing.T
	rng    *rand.Rand
	server *testkit.Server
	h      *history

	writers  []*writer
	watchers []*prefixWatcher
	leaser   *leaser
}

func newKillLoop(t *testing.T, seed uint64) *killLoop {
	rng := rand.New(rand.NewPCG(seed, 0))
	k := &killLoop{t: t, rng: rng, server: startServer(t, "--watch-progress-notify-interval", "200ms"), h: newHistory(),
		leaser: &leaser{rng: rand.New(rand.NewPCG(seed, 1)), leases: make(map[int64]*leaseState)}}
	for i := range writers {
		k.writers = append(k.writers, &writer{id: i, rng: rand.New(rand.NewPCG(seed, uint64(2+i)))})
	}
	for _, prefix := range []string{"w/0/", "w/1/", leasePrefix} {
		k.watchers = append(k.watchers, &prefixWatcher{prefix: prefix, last: 1})
	}
	return k
}

func (k *killLoop) must(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatalf("%v\nthe log ends with:\n%s", err, k.server.Log(30))
	}
}

func (k *killLoop) newLoad() *load {
	c, err := dial(k.server.Addr)
	k.must(err)
	return &load{client: c, h: k.h, target: 1 + k.rng.Int64N(700), enough: make(chan struct{})}
}

// life verifies what the last one has left, works, and ends in a kill.
func (k *killLoop) life() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	l := k.newLoad()
	defer l.conn.Close()
	k.verify(ctx, l)
	k.work(ctx, l)
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case <-l.enough:
	case <-timeout.C:
		k.t.Fatalf("only %d of %d writes in %v", l.acks.Load(), l.target, patience)
	}
	l.dying.Store(true)
	k.must(k.server.Crash())
	cancel()
	l.tasks.Wait()
	if k.rng.IntN(4) == 0 {
		// Once more, at some moment of the start.
		k.must(k.server.Launch())
		<-time.After(time.Duration(k.rng.IntN(150)) * time.Millisecond)
		k.must(k.server.Crash())
	}
	k.must(k.server.Restart())
}

// work starts everything that goes on until the server is killed.
func (k *killLoop) work(ctx context.Context, l *load) {
	for _, w := range k.writers {
		l.run(ctx, "writer", func(ctx context.Context) error { return w.write(ctx, l) })
	}
	l.run(ctx, "watcher of all", l.watchAll)
	l.run(ctx, "watcher of prefixes", func(ctx context.Context) error { return l.watchPrefixes(ctx, k.watchers) })
	l.run(ctx, "leases", func(ctx context.Context) error { return k.leaser.step(ctx, l) })
	every := func(name string, period time.Duration, do func(ctx context.Context) error) {
		l.run(ctx, name, func(ctx context.Context) error {
			pause := time.NewTimer(period)
			defer pause.Stop()
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-pause.C:
				return do(ctx)
			}
		})
	}
	rng := rand.New(rand.NewPCG(k.rng.Uint64(), 0))
	every("compaction", 50*time.Millisecond, func(ctx context.Context) error {
		lowest := k.h.position()
		for _, p := range k.watchers {
			lowest = min(lowest, p.position())
		}
		return l.compact(ctx, rng, lowest)
	})
	every("snapshot", 20*time.Millisecond, l.snapshot)
}

// verify compares what is stored with what clients know.
func (k *killLoop) verify(ctx context.Context, l *load) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	kvs, revision, err := l.readAll(ctx)
	k.must(err)
	k.h.reconcile(kvs, revision)
	k.must(k.leaser.verify(ctx, l))
	// History that the watcher has seen must still be the same.
	k.h.mu.Lock()
	from, to := k.h.compacted+1, k.h.seen
	k.h.mu.Unlock()
	if from = max(from, 2); from <= to {
		from += k.rng.Int64N(to - from + 1)
		events, err := l.replay(ctx, from, to)
		k.must(err)
		k.h.matchEvents("a replay", events, "", from, to)
		k.h.count(&k.h.replays)
	}
}

// finish waits for everything to come to rest and checks all of it.
func (k *killLoop) finish() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	l := k.newLoad()
	defer l.conn.Close()
	k.verify(ctx, l)
	work, stop := context.WithCancel(ctx)
	l.run(work, "watcher of all", l.watchAll)
	l.run(work, "watcher of prefixes", func(ctx context.Context) error { return l.watchPrefixes(ctx, k.watchers) })
	// Leases that nobody keeps alive end by themselves, at the latest now.
	k.eventually(ctx, "the short leases to end", func() bool {
		resp, err := l.Range(ctx, &pb.RangeRequest{Key: []byte(leasePrefix + "short/"), RangeEnd: []byte(leasePrefix + "short0"), CountOnly: true})
		k.must(err)
		k.h.told(resp.Header.Revision)
		return resp.Count == 0
	})
	k.h.mu.Lock()
	last := k.h.highest
	k.h.mu.Unlock()
	k.eventually(ctx, "the watchers to catch up", func() bool {
		at := k.h.position()
		for _, p := range k.watchers {
			at = min(at, p.position()) // they hear of progress
		}
		return at >= last
	})
	l.dying.Store(true)
	stop()
	l.tasks.Wait()
	k.h.matchAcked()
	for _, p := range k.watchers {
		k.h.matchEvents("the watcher of "+p.prefix, p.events, p.prefix, 2, last)
	}
	k.must(k.h.err())
	k.must(k.server.Stop())
	checkOffline(k.t, k.server.DataDir)
	k.t.Logf("revision %d, %d acknowledged writes, %d compactions, %d snapshots, %d replays, %d leases that ended by themselves",
		last, len(k.h.acked), k.h.compactions, k.h.snapshots, k.h.replays, len(k.leaser.short))
}

func (k *killLoop) eventually(ctx context.Context, what string, ok func() bool) {
	k.t.Helper()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for !ok() {
		select {
		case <-poll.C:
		case <-ctx.Done():
			k.t.Fatalf("gave up waiting for %s", what)
		}
	}
}
