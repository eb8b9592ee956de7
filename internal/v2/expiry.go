package v2

import (
	"fmt"
	"math"
	"sync"

	"bowline/internal/engine"
)

// ExpireAtOnce is how many nodes one request may expire, so that its batch stays
// small: whoever proposes it goes on until there is nothing left.
const ExpireAtOnce = 5000

// horizon is the time before which nothing expires any more. What has expired leaves
// tombstones in the engine, and who looks for the next passes by all of them; with it
// the search begins behind them.
type horizon struct {
	search sync.Mutex // held by who searches beside the writer

	mu sync.Mutex // guards what follows
	at int64
	// pending is the earliest expiry that may not be in the engine yet, and seen the
	// earliest that the writer has met since the search under way began.
	pending, seen int64
}

func (h *horizon) restart() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at, h.pending, h.seen = math.MinInt64, math.MaxInt64, math.MinInt64
}

// meet is told by the writer of an expiry that it is about to store.
func (h *horizon) meet(at int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at, h.pending, h.seen = min(h.at, at), min(h.pending, at), min(h.seen, at)
}

// stored is told by the writer that all it has met is in the engine.
func (h *horizon) stored() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pending = math.MaxInt64
}

// begin begins a search beside the writer.
func (h *horizon) begin() (from int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen = h.pending
	return h.at
}

// end says that a search has found nothing before a time, apart from what the writer has
// met meanwhile.
func (h *horizon) end(nothingBefore int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = max(h.at, min(nothingBefore, h.seen))
}

// from is the horizon for the writer.
func (h *horizon) from() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at
}

// removed is told by the writer that it is removing all before a time.
func (h *horizon) removed(before int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = max(h.at, before)
}

// expire removes what has expired by the request's time, in the order of time.
func (t *txn) expire() error {
	due, err := t.due()
	if err != nil {
		return err
	}
	t.gone = make(map[string]bool)
	for _, name := range due {
		if t.gone[name] {
			continue // it went with a directory
		}
		n, err := t.s.node(name)
		if err != nil {
			return err
		}
		if n == nil {
			return fmt.Errorf("v2: %q is to expire and is not there", name)
		}
		t.count(Expired)
		if err := t.drop(ActionExpire, n); err != nil {
			return err
		}
	}
	return nil
}

// due are the nodes that have expired, as many as one request may deal with.
func (t *txn) due() (names []string, err error) {
	h := &t.s.horizon
	it, err := t.s.engine.NewIter(expiredBy(h.from(), t.req.Time))
	if err != nil {
		return nil, fmt.Errorf("v2: open iterator: %w", err)
	}
	defer it.Close()
	before := t.req.Time + 1
	for ok := it.First(); ok; ok = it.Next() {
		at, name, err := parseExpiry(engine.Body(it.Key()))
		if err != nil {
			return nil, err
		}
		if len(names) == ExpireAtOnce {
			before = at
			break
		}
		names = append(names, name)
	}
	if err := it.Error(); err != nil {
		return nil, err
	}
	h.removed(before)
	return names, nil
}

// expiredBy bounds an iterator over the expiries from a time up to another.
func expiredBy(from, now int64) *engine.IterOptions {
	return &engine.IterOptions{LowerBound: expiryKey(min(from, now+1), "/"), UpperBound: expiryKey(now+1, "/")}
}

// HasExpired tells whether any node has expired by a time.
func (s *Store) HasExpired(now int64) (bool, error) {
	h := &s.horizon
	h.search.Lock()
	defer h.search.Unlock()
	it, err := s.engine.NewIter(expiredBy(h.begin(), now))
	if err != nil {
		return false, fmt.Errorf("v2: open iterator: %w", err)
	}
	defer it.Close()
	found := it.First()
	if err := it.Error(); err != nil || found {
		return found, err
	}
	h.end(now + 1)
	return false, nil
}
