package failpoints

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"bowline/internal/testkit"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

const (
	writers     = 4
	prefix      = "p/"
	callTimeout = 2 * time.Second
	// kept is how many revisions compactions leave.
	kept = 200
)

// load is clients at work.
type load struct {
	cancel  context.CancelFunc
	running sync.WaitGroup
	acked   [writers][]string // each writer's own until stop

	mu       sync.Mutex // guards problems
	problems []string
}

// begin lets clients work, on all members, until stop.
func begin(all *clientv3.Client, each []*clientv3.Client, configChanges bool) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{cancel: cancel}
	for w := range writers {
		l.running.Go(func() { l.write(ctx, all, w) })
	}
	for _, c := range each {
		l.running.Go(func() { l.watch(ctx, c) })
		l.every(ctx, 400*time.Millisecond, func(ctx context.Context) error {
			_, err := c.Defragment(ctx, c.Endpoints()[0])
			return err
		})
	}
	l.every(ctx, 200*time.Millisecond, func(ctx context.Context) error {
		r, err := all.Get(ctx, prefix, clientv3.WithCountOnly())
		if err == nil && r.Header.Revision > kept {
			_, err = all.Compact(ctx, r.Header.Revision-kept)
		}
		return err
	})
	if configChanges {
		l.every(ctx, 300*time.Millisecond, func(ctx context.Context) error {
			r, err := all.MemberAddAsLearner(ctx, []string{"http://127.0.0.1:1"})
			if err == nil {
				_, err = all.MemberRemove(ctx, r.Member.ID)
			}
			return err
		})
	}
	return l
}

// every does something again and again. That it fails is to be expected here.
func (l *load) every(ctx context.Context, pause time.Duration, do func(context.Context) error) {
	l.running.Go(func() {
		t := time.NewTicker(pause)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				limited, cancel := context.WithTimeout(ctx, callTimeout)
				_ = do(limited)
				cancel()
			}
		}
	})
}

// write puts one new key after another, and notes which were acknowledged.
func (l *load) write(ctx context.Context, c *clientv3.Client, writer int) {
	t := time.NewTicker(3 * time.Millisecond)
	defer t.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		key := fmt.Sprintf("%s%d/%06d", prefix, writer, n)
		limited, cancel := context.WithTimeout(ctx, callTimeout)
		_, err := c.Put(limited, key, key)
		cancel()
		if err == nil {
			l.acked[writer] = append(l.acked[writer], key)
		}
	}
}

// watch holds a member to the order of events.
func (l *load) watch(ctx context.Context, c *clientv3.Client) {
	last := int64(0)
	for ctx.Err() == nil {
		for r := range c.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(last+1)) {
			if r.CompactRevision > 0 {
				last = r.CompactRevision - 1
			}
			for _, e := range r.Events {
				// Each put has a revision of its own; what check deletes has one together.
				if e.Kv.ModRevision < last || e.Kv.ModRevision == last && e.Type == clientv3.EventTypePut {
					l.problem("%v: an event of revision %d after one of %d", c.Endpoints(), e.Kv.ModRevision, last)
				}
				last = e.Kv.ModRevision
			}
		}
	}
}

func (l *load) problem(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.problems = append(l.problems, fmt.Sprintf(format, args...))
}

// stop ends the work.
func (l *load) stop() {
	l.cancel()
	l.running.Wait()
}

// check looks for what was acknowledged, on each member, and then deletes it.
func (l *load) check(ctx context.Context, t *testing.T, all *clientv3.Client, members []*testkit.Server) {
	t.Helper()
	for _, p := range l.problems {
		t.Error(p)
	}
	total := 0
	for _, m := range members {
		c, err := clientv3.New(clientv3.Config{Endpoints: []string{m.Addr}, DialTimeout: callTimeout, Logger: zap.NewNop()})
		if err != nil {
			t.Fatal(err)
		}
		r, err := c.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly())
		c.Close()
		if err != nil {
			t.Errorf("%s: %v", m.Name, err)
			continue
		}
		have := make(map[string]bool, len(r.Kvs))
		for _, kv := range r.Kvs {
			have[string(kv.Key)] = true
		}
		total = 0
		for _, keys := range l.acked {
			total += len(keys)
			for _, key := range keys {
				if !have[key] {
					t.Errorf("%s: %s was acknowledged and is lost", m.Name, key)
				}
			}
		}
	}
	t.Logf("%d writes were acknowledged", total)
	if total == 0 {
		t.Error("no write was acknowledged: there was no load")
	}
	if _, err := all.Delete(ctx, prefix, clientv3.WithPrefix()); err != nil {
		t.Error(err)
	}
}
