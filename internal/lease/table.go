package lease

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
)

// Lease is a granted lease. The keys attached to it are records of the key space
// and are not held here.
type Lease struct {
	ID int64
	// TTL is the granted time to live in seconds, Remaining what the last
	// checkpoint left of it, 0 if there was none.
	TTL       int64
	Remaining int64
}

// MaxTTL is the longest TTL that may be asked for, in seconds.
const MaxTTL = 9_000_000_000

// Refusals; their texts reach clients.
var (
	ErrNotFound    = errors.New("etcdserver: requested lease not found")
	ErrExists      = errors.New("etcdserver: lease already exists")
	ErrTTLTooLarge = errors.New("etcdserver: too large lease TTL")
)

// Table is the replicated leases. The FSM is its only writer; readers may use it
// from any goroutine.
type Table struct {
	minTTL int64
	mu     sync.RWMutex // guards leases
	leases map[int64]Lease
}

// NewTable returns an empty table that raises TTLs below minTTL seconds to it.
func NewTable(minTTL int64) *Table {
	return &Table{minTTL: minTTL, leases: make(map[int64]Lease)}
}

// Load takes over a stored lease.
func (t *Table) Load(l Lease) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.leases[l.ID]; ok {
		return fmt.Errorf("lease: %x is stored twice", l.ID)
	}
	t.leases[l.ID] = l
	return nil
}

// Grant adds a lease and returns it as granted.
func (t *Table) Grant(id, ttl int64) (Lease, error) {
	if id == 0 {
		return Lease{}, ErrNotFound
	}
	if ttl > MaxTTL {
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

// Revoke removes a lease.
func (t *Table) Revoke(id int64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.leases[id]; !ok {
		return ErrNotFound
	}
	delete(t.leases, id)
	return nil
}

// SetRemaining notes a checkpoint; ok is false if there is no such lease.
func (t *Table) SetRemaining(id, seconds int64) (l Lease, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l, ok = t.leases[id]; ok {
		l.Remaining = seconds
		t.leases[id] = l
	}
	return l, ok
}

// Exists tells whether there is such a lease.
func (t *Table) Exists(id int64) bool {
	_, ok := t.Get(id)
	return ok
}

// Get returns a lease.
func (t *Table) Get(id int64) (Lease, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	l, ok := t.leases[id]
	return l, ok
}

// Len is the number of leases.
func (t *Table) Len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.leases)
}

// All returns every lease, ascending by ID.
func (t *Table) All() []Lease {
	t.mu.RLock()
	all := make([]Lease, 0, len(t.leases))
	for _, l := range t.leases {
		all = append(all, l)
	}
	t.mu.RUnlock()
	slices.SortFunc(all, func(a, b Lease) int {
		switch {
		case a.ID < b.ID:
			return -1
		case a.ID > b.ID:
			return 1
		}
		return 0
	})
	return all
}

// Append appends a lease's stored form: a protobuf message with ID=1, TTL=2 and
// RemainingTTL=3, zero fields left out, as etcd stores it.
func Append(dst []byte, l Lease) []byte {
	for i, v := range []int64{l.ID, l.TTL, l.Remaining} {
		if v != 0 {
			dst = protowire.AppendTag(dst, protowire.Number(i+1), protowire.VarintType)
			dst = protowire.AppendVarint(dst, uint64(v))
		}
	}
	return dst
}

// Parse is the inverse of Append. Unknown fields are skipped.
func Parse(b []byte) (Lease, error) {
	var l Lease
	fields := map[protowire.Number]*int64{1: &l.ID, 2: &l.TTL, 3: &l.Remaining}
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return Lease{}, errDamaged
		}
		b = b[n:]
		if f := fields[num]; f != nil && typ == protowire.VarintType {
			v, n := protowire.ConsumeVarint(b)
			if n < 0 {
				return Lease{}, errDamaged
			}
			*f, b = int64(v), b[n:]
			continue
		}
		n = protowire.ConsumeFieldValue(num, typ, b)
		if n < 0 {
			return Lease{}, errDamaged
		}
		b = b[n:]
	}
	if l.ID == 0 {
		return Lease{}, errDamaged
	}
	return l, nil
}

var errDamaged = errors.New("lease: damaged lease record")
