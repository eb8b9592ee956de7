package server

import (
	"sync"
	"sync/atomic"
	"time"

	"bowline/internal/fsm"
)

// waiters are the requests of this member that wait for their result, by request
// ID. It is sharded, since every write passes through it twice.
type waiters struct {
	shards [waitShards]waitShard
	closed atomic.Bool
	n      atomic.Int64
	// free are waiters to be used again. They stay with their member: a channel cannot
	// go from one test's fake time to another's.
	free sync.Pool
}

const waitShards = 32

type waitShard struct {
	mu sync.Mutex // guards byID
	// byID holds what has been registered and neither delivered nor given up.
	byID map[uint64]*waiter
}

// waiter is one waiting request. Its channel holds one result, so that delivery
// never blocks.
type waiter struct {
	result   chan fsm.Result
	since    time.Time
	deadline time.Time
}

func newWaiters() *waiters {
	w := &waiters{free: sync.Pool{New: func() any { return &waiter{result: make(chan fsm.Result, 1)} }}}
	for i := range w.shards {
		w.shards[i].byID = make(map[uint64]*waiter)
	}
	return w
}

func (w *waiters) shard(id uint64) *waitShard { return &w.shards[id%waitShards] }

// register adds a waiter for id; false if the server has stopped.
func (w *waiters) register(id uint64, deadline time.Time) (*waiter, bool) {
	x := w.free.Get().(*waiter)
	x.since, x.deadline = time.Now(), deadline
	s := w.shard(id)
	s.mu.Lock()
	s.byID[id] = x
	s.mu.Unlock()
	w.n.Add(1)
	if w.closed.Load() && w.forget(id) {
		return nil, false
	}
	return x, true
}

// release makes a waiter whose result was received ready for another request.
func (w *waiters) release(x *waiter) { w.free.Put(x) }

// forget gives up waiting. It reports false if a result is on its way.
func (w *waiters) forget(id uint64) bool { return w.remove(id) != nil }

// remove returns who waits for an ID, if anybody, and waits no longer.
func (w *waiters) remove(id uint64) *waiter {
	s := w.shard(id)
	s.mu.Lock()
	x := s.byID[id]
	delete(s.byID, id)
	s.mu.Unlock()
	if x != nil {
		w.n.Add(-1)
	}
	return x
}

// deliver hands a result to whoever waits for it on this member.
func (w *waiters) deliver(id uint64, r fsm.Result) {
	if x := w.remove(id); x != nil {
		x.result <- r
	}
}

// expire ends the waits whose deadline has passed; why tells a request's error.
func (w *waiters) expire(now time.Time, why func(since time.Time) error) {
	w.end(func(x *waiter) error {
		if now.Before(x.deadline) {
			return nil
		}
		return why(x.since)
	})
}

// close ends all waits, also those yet to come.
func (w *waiters) close() {
	w.closed.Store(true)
	w.end(func(*waiter) error { return ErrStopped })
}

// end gives every waiter the error that f returns for it, unless it is nil.
func (w *waiters) end(f func(*waiter) error) {
	for i := range w.shards {
		s := &w.shards[i]
		s.mu.Lock()
		for id, x := range s.byID {
			if err := f(x); err != nil {
				delete(s.byID, id)
				w.n.Add(-1)
				x.result <- fsm.Result{Err: err}
			}
		}
		s.mu.Unlock()
	}
}

// len is the number of requests that wait.
func (w *waiters) len() int64 { return w.n.Load() }
