package node

import "sync"

// queue hands work from any goroutine to one, which takes all that waits at once. It has no limit of its own:
// what is in it is bounded by raft's limits on uncommitted and unapplied entries.
type queue[T any] struct {
	wake chan struct{}

	mu     sync.Mutex // guards the fields below
	items  []T
	closed bool
}

func (q *queue[T]) init() { q.wake = make(chan struct{}, 1) }

// put adds an item. It reports false, and keeps nothing, when the queue is closed.
func (q *queue[T]) put(item T) bool {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return false
	}
	q.items = append(q.items, item)
	wake := len(q.items) == 1
	q.mu.Unlock()
	if wake {
		notify(q.wake)
	}
	return true
}

// take waits for items and returns them all, with spare in their place, or false once the queue is closed.
func (q *queue[T]) take(spare []T) ([]T, bool) {
	clear(spare)
	for {
		q.mu.Lock()
		if q.closed {
			q.mu.Unlock()
			return nil, false
		}
		if len(q.items) > 0 {
			items := q.items
			q.items = spare[:0]
			q.mu.Unlock()
			return items, true
		}
		q.mu.Unlock()
		<-q.wake
	}
}

// close wakes the taker for the last time. Items that wait are dropped.
func (q *queue[T]) close() {
	q.mu.Lock()
	q.closed, q.items = true, nil
	q.mu.Unlock()
	notify(q.wake)
}

func notify(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}
