package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bowline/internal/testkit"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// network is between the members, and can be hurt.
type network interface {
	testkit.Network
	// isolate cuts what goes from the others to a member (in) and back (out), on top
	// of what is cut already. The IDs tell in hexadecimal whose name is whose.
	isolate(ctx context.Context, ids map[string]string, name string, others []string, in, out bool) error
	// slow delays what goes to and comes from a member.
	slow(ctx context.Context, name string, by time.Duration) error
	// disturb loses the connections to a member, or the member's link, for a moment.
	disturb(name string) error
	heal(ctx context.Context) error
	close() error
}

// world is a cluster, what is between its members, and what has been done to it.
type world struct {
	t       *testing.T
	seed    uint64
	rng     *rand.Rand
	network network
	cluster *testkit.Cluster
	began   time.Time
	deeds   []string // what was done, and when
	round   int
}

// newWorld starts a cluster of n members of a program below dir.
func newWorld(t *testing.T, seed uint64, program string, n int, net network, dir string, flags ...string) *world {
	t.Cleanup(func() {
		if err := net.close(); err != nil {
			t.Error(err)
		}
	})
	c, err := testkit.StartClusterOn(net, program, dir, n, &ports, flags...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil { // tells of data races too
			t.Error(err)
		}
		c.Kill()
	})
	return &world{t: t, seed: seed, rng: newRand(seed), network: net, cluster: c, began: time.Now()}
}

// did notes what is being done.
func (w *world) did(format string, args ...any) {
	line := fmt.Sprintf("%8.3fs ", time.Since(w.began).Seconds()) + fmt.Sprintf(format, args...)
	w.deeds = append(w.deeds, line)
	w.t.Log(line)
}

// pause lets a fault last, while the clients go on.
func (w *world) pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// between draws a duration.
func (w *world) between(least, most time.Duration) time.Duration {
	return least + time.Duration(w.rng.Int64N(int64(most-least)))
}

// deed is a fault: it hurts the cluster, for a while, and ends with the members
// running and the network whole.
type deed struct {
	name string
	do   func(ctx context.Context, w *world) error
}

// play is a round: clients work while deeds are done one after the other; then
// everything that they were told is checked.
func (w *world) play(deeds []deed) error {
	w.round++
	prefix := fmt.Sprintf("r%04d/", w.round)
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(len(deeds)+1)*2*patience)
	defer cancel()
	from, err := w.fence(ctx, prefix+"begin")
	if err != nil {
		return err
	}
	l, err := startLoad(w, prefix, from, w.rng.Uint64())
	if err != nil {
		return err
	}
	defer l.close()
	for _, d := range deeds {
		if err := w.perform(ctx, d, l); err != nil {
			return w.keep(l, nil, fmt.Errorf("%s: %w", d.name, err))
		}
	}
	l.quiet()
	return w.judge(ctx, l, prefix, from)
}

// perform does one deed and waits until clients are served again.
func (w *world) perform(ctx context.Context, d deed, l *load) error {
	w.did("%s", d.name)
	before := l.acks.Load()
	if err := d.do(ctx, w); err != nil {
		return err
	}
	if err := w.network.heal(ctx); err != nil {
		return err
	}
	healthy, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := w.cluster.WaitHealthy(healthy); err != nil {
		return err
	}
	w.did("%s is over, %d calls were answered meanwhile", d.name, l.acks.Load()-before)
	return nil
}

// fence writes a key and returns the revision.
func (w *world) fence(ctx context.Context, key string) (int64, error) {
	leader, err := w.cluster.Leader(ctx)
	if err != nil {
		return 0, err
	}
	c, err := dial(leader)
	if err != nil {
		return 0, err
	}
	defer c.conn.Close()
	resp, err := c.Put(ctx, &pb.PutRequest{Key: []byte(key)})
	if err != nil {
		return 0, err
	}
	return resp.Header.Revision, nil
}

// judge compares what clients were told with what the members have.
func (w *world) judge(ctx context.Context, l *load, prefix string, from int64) error {
	to, err := w.fence(ctx, prefix+"end")
	if err != nil {
		return w.keep(l, nil, err)
	}
	events, err := w.sameEverywhere(ctx, prefix, from, to)
	if err != nil {
		return w.keep(l, events, err)
	}
	problems := []error{w.watchersSaw(ctx, l, events, to), acknowledged(l.ops, events), inOrder(l.ops)}
	for _, k := range l.leases {
		problems = append(problems, k.err())
	}
	settled := settle(l.ops, events)
	problems = append(problems, linearizable(settled, patience), w.cluster.SameHashes(ctx))
	unknown := 0
	for _, o := range settled {
		if o.Unknown {
			unknown++
		}
	}
	w.did("round %d: %d operations answered or seen, %d of them of unknown outcome; %d events; %s", w.round, len(settled), unknown, len(events), l.tally())
	if err := errors.Join(problems...); err != nil {
		return w.keep(l, events, err)
	}
	return w.compact(ctx, from)
}

// tally tells what watchers and keepers had to do.
func (l *load) tally() string {
	var b strings.Builder
	for _, w := range l.watchers {
		fmt.Fprintf(&b, "a watcher on %d streams, ", w.streams)
	}
	for _, k := range l.leases {
		fmt.Fprintf(&b, "a lease kept %d times, ", k.kept)
	}
	return strings.TrimSuffix(b.String(), ", ")
}

// sameEverywhere is the history that all members have.
func (w *world) sameEverywhere(ctx context.Context, prefix string, from, to int64) (events []event, err error) {
	clients, err := dialAll(w.cluster.Members)
	if err != nil {
		return nil, err
	}
	defer hangUp(clients)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for i, c := range clients {
		own, err := c.replay(ctx, prefix, from, to)
		if err != nil {
			return events, err
		}
		if i == 0 {
			events = own
		} else if err := sameEvents(c.member.Name+" against "+clients[0].member.Name, own, events); err != nil {
			return events, err
		}
	}
	return events, nil
}

// watchersSaw waits until the watchers have seen everything, and compares.
func (w *world) watchersSaw(ctx context.Context, l *load, want []event, to int64) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for i, watcher := range l.watchers {
		for watcher.reached() < to && watcher.err() == nil {
			if err := w.pause(ctx, 10*time.Millisecond); err != nil {
				return fmt.Errorf("watcher %d is at revision %d, not at %d: %w", i, watcher.reached(), to, err)
			}
		}
	}
	l.stopAll()
	l.watching.Wait()
	for i, watcher := range l.watchers {
		if watcher.wrong != nil {
			return watcher.wrong
		}
		if err := sameEvents(fmt.Sprintf("watcher %d", i), upTo(to, watcher.events), want); err != nil {
			return err
		}
	}
	return nil
}

// compact forgets what rounds before this one have left.
func (w *world) compact(ctx context.Context, revision int64) error {
	leader, err := w.cluster.Leader(ctx)
	if err != nil {
		return err
	}
	c, err := dial(leader)
	if err != nil {
		return err
	}
	defer c.conn.Close()
	_, err = c.Compact(ctx, &pb.CompactionRequest{Revision: revision})
	return err
}

// keep writes what is known about a failure into a directory and adds to the error
// where that is and how to try again.
func (w *world) keep(l *load, events []event, failure error) error {
	l.close()
	parent := os.Getenv("BOWLINE_CHAOS_DIR")
	if parent != "" {
		if err := os.MkdirAll(parent, 0o755); err != nil {
			return errors.Join(failure, err)
		}
	}
	dir, err := os.MkdirTemp(parent, "bowline-chaos-")
	if err != nil {
		return errors.Join(failure, err)
	}
	files := map[string]any{"operations.json": l.ops, "events.json": events, "deeds.json": w.deeds}
	for i, watcher := range l.watchers {
		files[fmt.Sprintf("watcher%d.json", i)] = watcher.events
	}
	for name, content := range files {
		text, err := json.MarshalIndent(content, "", " ")
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), text, 0o644)
		}
		failure = errors.Join(failure, err)
	}
	for _, m := range w.cluster.Members {
		failure = errors.Join(failure, os.WriteFile(filepath.Join(dir, m.Name+".log"), []byte(m.Log(1<<30)), 0o644))
	}
	return fmt.Errorf("%w\nseed %d, round %d; histories and logs are in %s; to draw the same faults: BOWLINE_CHAOS_SEED=%d", failure, w.seed, w.round, dir, w.seed)
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }
