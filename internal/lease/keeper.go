package lease

import (
	"cmp"
	"iter"
	"slices"
	"sync"
	"time"
)

// What the leader does with the expired leases, as etcd does it.
const (
	// ScanInterval is the time between two calls of Expired, ScanLimit how many
	// leases one of them names.
	ScanInterval = 500 * time.Millisecond
	ScanLimit    = 500
	// RevokesInFlight is how many revocations are proposed at once.
	RevokesInFlight = 16
	// DefaultRetry is the request timeout with etcd's default settings.
	DefaultRetry = 7 * time.Second
	// spreadFrom is how many leases there must be for a new leader to spread them,
	// spreadRate how many may expire within a second then: fewer than are revoked,
	// so that those of a running cluster find room among them.
	spreadFrom = 1000
	spreadRate = 750
)

// Config is what a Keeper needs.
type Config struct {
	// Now is the clock; time.Now if nil. Only differences of its values matter.
	Now func() time.Time
	// Retry is after what time a lease that was named, and not forgotten since, is
	// named again: the time that a revocation may take. 0 is DefaultRetry.
	Retry time.Duration
}

// Keeper keeps the time of all leases while this member leads. Times inside are
// counted from its creation.
type Keeper struct {
	now   func() time.Time
	retry time.Duration
	epoch time.Time

	mu      sync.Mutex // protects the following fields
	primary bool
	leases  map[int64]*kept
	due     dueHeap
}

// kept is a lease of the keeper.
type kept struct {
	id  int64
	ttl time.Duration
	// deadline is when it expires. The heap's time is that or earlier: a renewal
	// leaves the heap as it is, and Expired finds out.
	deadline time.Duration
	at       int // place in the heap
	// checkpoint is when what is left is to be written to the log, recorded that it
	// has been.
	checkpoint time.Duration
	recorded   bool
	// gone is closed when the lease is forgotten, for those who wait; nil if there
	// are none.
	gone chan struct{}
}

// NewKeeper returns a keeper that is not primary.
func NewKeeper(c Config) *Keeper {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Retry <= 0 {
		c.Retry = DefaultRetry
	}
	return &Keeper{now: c.Now, retry: c.Retry, epoch: c.Now()}
}

func (k *Keeper) elapsed() time.Duration { return k.now().Sub(k.epoch) }

// Promote makes the keeper primary: it begins to count for leases, which it reads
// while Track and Forget wait. Each is given extend more than it has left. If there
// are many, those that would expire together are spread, later only.
func (k *Keeper) Promote(extend time.Duration, leases iter.Seq[Lease]) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dropLocked()
	k.primary = true
	k.leases = make(map[int64]*kept)
	now := k.elapsed()
	var all []*kept
	for l := range leases {
		e := &kept{id: l.ID, ttl: seconds(l.TTL), deadline: now + l.Left() + extend,
			checkpoint: now + CheckpointInterval, recorded: l.Left() < seconds(l.TTL)}
		all = append(all, e)
		k.leases[l.ID] = e
	}
	slices.SortFunc(all, func(a, b *kept) int {
		return cmp.Or(cmp.Compare(a.deadline, b.deadline), cmp.Compare(a.id, b.id))
	})
	k.due = make(dueHeap, 0, len(all))
	for i, e := range all {
		if len(all) >= spreadFrom && i >= spreadRate {
			e.deadline = max(e.deadline, all[i-spreadRate].deadline+time.Second)
		}
		k.due.push(e, e.deadline)
	}
}

// Demote ends all counting. Those who wait for a revocation are woken.
func (k *Keeper) Demote() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dropLocked()
	k.primary = false
}

func (k *Keeper) dropLocked() {
	for _, e := range k.leases {
		e.wake()
	}
	k.leases, k.due = nil, nil
}

func (e *kept) wake() {
	if e.gone != nil {
		close(e.gone)
		e.gone = nil
	}
}

// Primary reports whether the keeper counts.
func (k *Keeper) Primary() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.primary
}

// Track begins to count for a lease that was granted. One that is known keeps its
// deadline.
func (k *Keeper) Track(id, ttl int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.primary || k.leases[id] != nil {
		return
	}
	now := k.elapsed()
	e := &kept{id: id, ttl: seconds(ttl), checkpoint: now + CheckpointInterval}
	e.deadline = now + e.ttl
	k.leases[id] = e
	k.due.push(e, e.deadline)
}

// Forget ends the counting for a lease that was revoked.
func (k *Keeper) Forget(id int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.leases[id]
	if e == nil {
		return
	}
	delete(k.leases, id)
	k.due.remove(e.at)
	e.wake()
}

// Renew gives a lease its whole TTL again and returns that, in seconds. It refuses
// with ErrNotPrimary or ErrNotFound. A lease that has expired and is not yet
// revoked is not renewed either: then gone is not nil and is closed when the lease
// is forgotten or the keeper demoted, when asking again yields one of these errors.
func (k *Keeper) Renew(id int64) (ttl int64, gone <-chan struct{}, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.primary {
		return 0, nil, ErrNotPrimary
	}
	e := k.leases[id]
	if e == nil {
		return 0, nil, ErrNotFound
	}
	now := k.elapsed()
	if e.deadline <= now {
		if e.gone == nil {
			e.gone = make(chan struct{})
		}
		return 0, e.gone, nil
	}
	e.deadline = now + e.ttl
	k.due.advance(e.at, e.deadline) // if it was extended or spread
	return int64(e.ttl / time.Second), nil, nil
}

// Remaining returns what is left of a lease, negative if it has expired. It refuses
// with ErrNotPrimary or ErrNotFound.
func (k *Keeper) Remaining(id int64) (time.Duration, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.primary {
		return 0, ErrNotPrimary
	}
	e := k.leases[id]
	if e == nil {
		return 0, ErrNotFound
	}
	return e.deadline - k.elapsed(), nil
}

// Expired returns up to limit leases that have expired, the longest expired ones
// first. What was returned is not returned again before the retry time.
func (k *Keeper) Expired(limit int) []int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.elapsed()
	var ids []int64
	for len(ids) < limit && len(k.due) > 0 && k.due[0].due <= now {
		e := k.due[0].lease
		if e.deadline > now { // renewed since
			k.due.postpone(e.deadline)
			continue
		}
		ids = append(ids, e.id)
		k.due.postpone(now + k.retry)
	}
	return ids
}

// Soonest returns the IDs of all leases, the soonest to expire first; nil if the
// keeper is not primary.
func (k *Keeper) Soonest() []int64 {
	k.mu.Lock()
	type item struct {
		id       int64
		deadline time.Duration
	}
	all := make([]item, 0, len(k.leases))
	for id, e := range k.leases {
		all = append(all, item{id, e.deadline})
	}
	primary := k.primary
	k.mu.Unlock()
	if !primary {
		return nil
	}
	slices.SortFunc(all, func(a, b item) int {
		return cmp.Or(cmp.Compare(a.deadline, b.deadline), cmp.Compare(a.id, b.id))
	})
	ids := make([]int64, len(all))
	for i, it := range all {
		ids[i] = it.id
	}
	return ids
}
