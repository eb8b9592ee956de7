package server

import (
	"context"
	"sync"
	"sync/atomic"
)

// appliedWait lets requests wait until an index has been applied.
type appliedWait struct {
	index   atomic.Uint64
	waiting atomic.Int64
	mu      sync.Mutex // guards next
	// next is closed, and replaced, when the index grows and somebody waits.
	next chan struct{}
}

func (a *appliedWait) init(index uint64) {
	a.index.Store(index)
	a.next = make(chan struct{})
}

// reached tells that everything up to index has been applied. A state that is installed
// can overtake entries being applied, so the index may be lower than one before.
func (a *appliedWait) reached(index uint64) {
	for {
		old := a.index.Load()
		if old >= index {
			return
		}
		if a.index.CompareAndSwap(old, index) {
			break
		}
	}
	if a.waiting.Load() == 0 {
		return
	}
	a.mu.Lock()
	close(a.next)
	a.next = make(chan struct{})
	a.mu.Unlock()
}

// wait returns once index has been applied, or with the context's error.
func (a *appliedWait) wait(ctx context.Context, index uint64) error {
	a.waiting.Add(1)
	defer a.waiting.Add(-1)
	for {
		a.mu.Lock()
		next := a.next
		a.mu.Unlock()
		// The order matters: whoever raises the index after this look closes
		// next, since waiting is raised already.
		if a.index.Load() >= index {
			return nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
