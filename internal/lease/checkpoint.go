package lease

import "time"

const (
	// CheckpointInterval is after what time the rest of a long lease is written to
	// the log again. Shorter leases are not: a new leader gives them their whole TTL.
	CheckpointInterval = 5 * time.Minute
	// CheckpointLimit is how many leases one entry of the log tells of.
	CheckpointLimit = 1000
)

// Checkpoint is what a lease has left, in seconds.
type Checkpoint struct{ ID, Remaining int64 }

// Checkpoints returns up to limit leases whose rest ought to be written to the log now,
// so that a new leader does not begin anew with them. Each counts as written.
func (k *Keeper) Checkpoints(limit int) (due []Checkpoint) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.elapsed()
	for _, e := range k.leases {
		if len(due) == limit {
			break
		}
		if e.ttl <= CheckpointInterval || now < e.checkpoint || e.deadline <= now {
			continue
		}
		due = append(due, Checkpoint{e.id, int64((e.deadline - now + time.Second - 1) / time.Second)})
		e.checkpoint = now + CheckpointInterval
		e.recorded = true
	}
	return due
}

// Recorded tells whether the log has a rest of a lease that is less than its TTL. It
// must be taken back before a renewal is answered: a new leader would believe it.
func (k *Keeper) Recorded(id int64) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.leases[id]
	return e != nil && e.recorded
}

// Unrecorded tells that the log has the whole TTL again.
func (k *Keeper) Unrecorded(id int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if e := k.leases[id]; e != nil {
		e.recorded = false
		e.checkpoint = k.elapsed() + CheckpointInterval
	}
}
