package transfer

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"bowline/internal/tally"
)

// Count is what was counted of the states that went to one peer, or came from it.
type Count struct {
	Peer      uint64
	Succeeded uint64
	Failed    uint64
	UnderWay  int64
	Durations tally.Snapshot // of those that succeeded
}

// maxCounted is how many peers are counted, so that names that somebody makes up take
// no memory.
const maxCounted = 128

// counts are Counts of all peers.
type counts struct {
	mu    sync.Mutex // guards peers
	peers map[uint64]*count
}

type count struct {
	Count
	times *tally.Histogram
}

// at is the count of a peer. The caller holds mu.
func (c *counts) at(peer uint64) *count {
	if c.peers == nil {
		c.peers = make(map[uint64]*count)
	}
	n := c.peers[peer]
	if n == nil {
		n = &count{Count: Count{Peer: peer}, times: tally.Durations(100*time.Millisecond, 10)}
		if len(c.peers) < maxCounted {
			c.peers[peer] = n
		}
	}
	return n
}

// begin counts a state that is under way, until end.
func (c *counts) begin(peer uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at(peer).UnderWay++
}

// end counts how a state fared that took so long.
func (c *counts) end(peer uint64, took time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.at(peer)
	n.UnderWay--
	if err != nil {
		n.Failed++
		return
	}
	n.Succeeded++
	n.times.Observe(took)
}

// fail counts a state that did not get under way.
func (c *counts) fail(peer uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at(peer).Failed++
}

// list is what was counted, in the order of the peers.
func (c *counts) list() []Count {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []Count
	for _, n := range c.peers {
		n.Durations = n.times.Snapshot()
		all = append(all, n.Count)
	}
	slices.SortFunc(all, func(a, b Count) int { return cmp.Compare(a.Peer, b.Peer) })
	return all
}

// Counts tells, for each peer, how states sent to it fared.
func (s *Sender) Counts() []Count { return s.counts.list() }

// Counts tells, for each peer, how states received from it fared.
func (r *Receiver) Counts() []Count { return r.counts.list() }

// Syncs is how long syncs of received files took, and Saves how long it took from an
// offer until the state was here, whole and durable.
func (r *Receiver) Syncs() tally.Snapshot { return r.syncs.Snapshot() }

// Saves is described at Syncs.
func (r *Receiver) Saves() tally.Snapshot { return r.saves.Snapshot() }
