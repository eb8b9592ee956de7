package mvcc

// Adopt takes over what next has read from the store that is about to take the
// place of this one's, and calls swap, which exchanges them (see
// engine.Engine.Adopt). next must not be used any more; its state must be newer.
// Writer only, with no group open.
//
// Readers go on. One that opened its iterator before reads the old store to its
// end. One that opens it afterwards finds at its revision what it would have found
// before, unless that was compacted, which it looks at with its iterator open; so
// the compacted revision changes before the stores do, and the current one, which
// lets readers see what the old store does not have, after them.
func (s *Store) Adopt(next *Store, swap func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, n := &s.compaction, &next.compaction
	c.mu.Lock()
	defer c.mu.Unlock()
	s.compacted.Store(next.compacted.Load())
	swap()
	s.cache.clear()
	s.leaves, s.oversized, s.emptied = next.leaves, next.oversized, next.emptied
	c.scheduled, c.finished, c.position = n.scheduled, n.finished, n.position
	c.hashWant, c.hashFrom = n.hashWant, n.hashFrom
	c.epoch++
	s.hashes.clear()
	s.current.Store(next.current.Load())
}
