package compat

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

func TestSessionKeepsItsLease(t *testing.T) {
	c, ctx := start(t)
	s := newSession(t, c)
	put(t, ctx, c, "mine", "1", clientv3.WithLease(s.Lease()))
	left, err := c.TimeToLive(ctx, s.Lease(), clientv3.WithAttachedKeys())
	must(t, err)
	if left.GrantedTTL != 30 || left.TTL < 28 || len(left.Keys) != 1 || string(left.Keys[0]) != "mine" {
		t.Errorf("the lease is %+v", left)
	}
	must(t, s.Close())
	closed(t, ctx, s.Done())
	if got := get(t, ctx, c, "mine"); got != "" {
		t.Errorf("the key is still %q", got)
	}
}

func TestSessionEndsWhenItsLeaseIsRevoked(t *testing.T) {
	c, ctx := start(t)
	s, err := concurrency.NewSession(c, concurrency.WithTTL(3)) // which is renewed each second
	must(t, err)
	_, err = c.Revoke(ctx, s.Lease())
	must(t, err)
	closed(t, ctx, s.Done())
}

// TestMutexHasOneOwner lets several clients, each with a session of its own, add
// to a number that nothing but the mutex protects.
func TestMutexHasOneOwner(t *testing.T) {
	const clients, rounds = 6, 8
	s := startServer(t)
	ctx := limited(t)
	var owners, total atomic.Int32
	var wg sync.WaitGroup
	for range clients {
		session := newSession(t, newClient(t, s))
		m := concurrency.NewMutex(session, "lock")
		wg.Go(func() {
			for range rounds {
				if err := m.Lock(ctx); err != nil {
					t.Error(err)
					return
				}
				if n := owners.Add(1); n != 1 {
					t.Errorf("%d own the mutex", n)
				}
				total.Store(total.Load() + 1) // not Add: two owners would lose a count
				owners.Add(-1)
				if err := m.Unlock(ctx); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if total.Load() != clients*rounds {
		t.Errorf("the total is %d, want %d", total.Load(), clients*rounds)
	}
	left, err := newClient(t, s).Get(ctx, "lock/", clientv3.WithPrefix())
	must(t, err)
	if len(left.Kvs) != 0 {
		t.Errorf("%d keys are left of the mutex", len(left.Kvs))
	}
}

func TestMutexRefusesAndIsHandedOn(t *testing.T) {
	c, ctx := start(t)
	first, second := newSession(t, c), newSession(t, c)
	m1, m2 := concurrency.NewMutex(first, "lock"), concurrency.NewMutex(second, "lock")
	must(t, m1.Lock(ctx))
	if err := m2.TryLock(ctx); !errors.Is(err, concurrency.ErrLocked) {
		t.Errorf("TryLock of a held mutex: %v", err)
	}
	if r, err := c.Txn(ctx).If(m1.IsOwner()).Then(clientv3.OpPut("by", "m1")).Commit(); err != nil || !r.Succeeded {
		t.Errorf("the owner's transaction: %v, %v", r, err)
	}

	// Whoever gives up waiting leaves nothing in the queue. The client can only tidy
	// up what it has heard of: if it gives up before the answer to its own put, the
	// key stays until its session ends, so that attempt tells nothing.
	waiting := make(chan error, 1)
	tidied := false
	for attempt := 0; attempt < 50 && !tidied; attempt++ {
		short, cancel := context.WithCancel(ctx)
		go func() { waiting <- m2.Lock(short) }()
		waitForKeys(t, ctx, c, "lock/", 2)
		cancel()
		if err := receive(t, ctx, waiting); !errors.Is(err, context.Canceled) {
			t.Errorf("a Lock that was given up: %v", err)
		}
		left, err := c.Delete(ctx, m2.Key())
		must(t, err)
		tidied = left.Deleted == 0
	}
	if !tidied {
		t.Error("every Lock that was given up has left its key")
	}

	// A mutex whose owner's session ends goes to the next.
	go func() { waiting <- m2.Lock(ctx) }()
	waitForKeys(t, ctx, c, "lock/", 2)
	must(t, first.Close())
	must(t, receive(t, ctx, waiting))
	if err := m1.Unlock(ctx); err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		t.Errorf("Unlock after the session: %v", err)
	}
	if err := m1.Lock(ctx); err == nil {
		t.Error("Lock in a session that has ended succeeds")
	}
	must(t, m2.Unlock(ctx))
}

// waitForKeys waits until a prefix has so many keys.
func waitForKeys(t *testing.T, ctx context.Context, c *clientv3.Client, prefix string, want int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, err := c.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	must(t, err)
	have := r.Count
	if have == want {
		return
	}
	for changes := range c.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(r.Header.Revision+1)) {
		for _, event := range changes.Events {
			if event.IsCreate() {
				have++
			} else if event.Type == clientv3.EventTypeDelete {
				have--
			}
		}
		if have == want {
			return
		}
	}
	t.Fatalf("%s has %d keys, want %d", prefix, have, want)
}

// TestSTMTransfersKeepTheSum moves amounts between accounts from many goroutines.
// Every level that checks what was read must keep the sum; the lowest checks
// nothing, but still writes all or nothing.
func TestSTMTransfersKeepTheSum(t *testing.T) {
	for name, level := range map[string]concurrency.Isolation{
		"SerializableSnapshot": concurrency.SerializableSnapshot,
		"Serializable":         concurrency.Serializable,
		"RepeatableReads":      concurrency.RepeatableReads,
	} {
		t.Run(name, func(t *testing.T) {
			const accounts, workers, transfers, each = 3, 4, 10, 100
			c, ctx := start(t)
			account := func(i int) string { return fmt.Sprintf("account/%d", i%accounts) }
			for i := range accounts {
				put(t, ctx, c, account(i), fmt.Sprint(each))
			}
			var wg sync.WaitGroup
			for w := range workers {
				wg.Go(func() {
					for i := range transfers {
						from, to := account(w+i), account(w+2*i+1)
						if from == to {
							continue
						}
						if err := transfer(ctx, c, level, from, to, i); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			sum := 0
			for i := range accounts {
				sum += number(get(t, ctx, c, account(i)))
			}
			if sum != accounts*each {
				t.Errorf("the sum is %d, want %d", sum, accounts*each)
			}
		})
	}
}

func transfer(ctx context.Context, c *clientv3.Client, level concurrency.Isolation, from, to string, amount int) error {
	_, err := concurrency.NewSTM(c, func(s concurrency.STM) error {
		f, t := number(s.Get(from)), number(s.Get(to))
		s.Put(from, fmt.Sprint(f-amount))
		s.Put(to, fmt.Sprint(t+amount))
		return nil
	}, concurrency.WithIsolation(level), concurrency.WithAbortContext(ctx), concurrency.WithPrefetch(from, to))
	return err
}

func number(text string) (n int) {
	_, _ = fmt.Sscan(text, &n) // an empty text is nought
	return n
}

func TestSTMReadCommittedWritesAllOrNothing(t *testing.T) {
	c, ctx := start(t)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 10 {
				_, err := concurrency.NewSTM(c, func(s concurrency.STM) error {
					value := fmt.Sprintf("%d.%d", w, i)
					s.Put("left", value)
					s.Put("right", value)
					s.Del("gone")
					return nil
				}, concurrency.WithIsolation(concurrency.ReadCommitted), concurrency.WithAbortContext(ctx))
				if err != nil {
					t.Error(err)
				}
				r, err := c.Txn(ctx).Then(clientv3.OpGet("left"), clientv3.OpGet("right")).Commit()
				if err != nil {
					t.Error(err)
					return
				}
				left, right := r.Responses[0].GetResponseRange().Kvs[0], r.Responses[1].GetResponseRange().Kvs[0]
				if string(left.Value) != string(right.Value) || left.ModRevision != right.ModRevision {
					t.Errorf("half a transaction: %v and %v", left, right)
				}
			}
		})
	}
	wg.Wait()
}
