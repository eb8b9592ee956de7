package lease

import (
	"iter"
	"slices"
	"sync"
)

// Table holds the leases that there are. The state machine alone writes it, in the
// order of the log; anybody may read it.
type Table struct {
	minTTL int64

	mu     sync.RWMutex // protects the following fields
	leases map[int64]Lease
}

// NewTable returns an empty table that grants at least minTTL seconds; see MinTTL.
func NewTable(minTTL int64) *Table {
	return &Table{minTTL: minTTL, leases: make(map[int64]Lease)}
}

// Grant adds a lease and returns it, with the TTL that it was granted. It refuses
// with ErrNotFound (the ID 0), ErrTTLTooLarge or ErrExists.
func (t *Table) Grant(id, ttl int64) (Lease, error) {
	switch {
	case id == 0:
		return Lease{}, ErrNotFound
	case ttl > MaxTTL:
		return Lease{}, ErrTTLTooLarge
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.leases[id]; ok {
		return Lease{}, ErrExists
	}
	l := Lease{ID: id, TTL: max(ttl, t.minTTL)}
	t.leases[id] = l
	return l, nil
}

// Revoke removes a lease, or refuses with ErrNotFound.
func (t *Table) Revoke(id int64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.leases[id]; !ok {
		return ErrNotFound
	}
	delete(t.leases, id)
	return nil
}

// SetRemaining records the remaining TTL of a lease, 0 to forget it, and returns
// the lease. An unknown lease is ignored, with ok false.
func (t *Table) SetRemaining(id, remaining int64) (_ Lease, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l, ok := t.leases[id]
	if !ok {
		return Lease{}, false
	}
	l.Remaining = remaining
	t.leases[id] = l
	return l, true
}

// Load replaces all leases, with those that are stored: at start, and when the
// engine was replaced.
func (t *Table) Load(leases iter.Seq[Lease]) {
	loaded := make(map[int64]Lease)
	for l := range leases {
		loaded[l.ID] = l
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.leases = loaded
}

// Get returns a lease.
func (t *Table) Get(id int64) (_ Lease, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	l, ok := t.leases[id]
	return l, ok
}

// Len returns how many leases there are.
func (t *Table) Len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.leases)
}

// IDs returns the IDs of all leases, ascending.
func (t *Table) IDs() []int64 {
	t.mu.RLock()
	ids := make([]int64, 0, len(t.leases))
	for id := range t.leases {
		ids = append(ids, id)
	}
	t.mu.RUnlock()
	slices.Sort(ids)
	return ids
}

// All yields all leases, in no order. Writers wait until it has ended; the loop
// must not call the table.
func (t *Table) All() iter.Seq[Lease] {
	return func(yield func(Lease) bool) {
		t.mu.RLock()
		defer t.mu.RUnlock()
		for _, l := range t.leases {
			if !yield(l) {
				return
			}
		}
	}
}
