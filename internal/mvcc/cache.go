package mvcc

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// newest is a bounded cache of the newest versions of keys that were written
// lately. It stands before the engine for single-key reads and for the writer's
// look-up of what it replaces.
//
// Only the writer fills and replaces entries, so an entry is always the newest
// version there is, deletions included. It also holds the versions of a group
// that is not committed yet; those may not be dropped, since the engine does not
// know them: trim is called only after a commit.
type newest struct {
	seed   maphash.Seed
	shards [cacheShards]cacheShard
	limit  int64
}

const (
	cacheShards = 16
	// entryOverhead estimates what an entry costs beside its bytes.
	entryOverhead = 200
)

type cacheShard struct {
	mu      sync.RWMutex // guards the fields below; entries' versions too
	entries map[string]*cacheEntry
	// clock is the ring of entries that trim walks; a nil is a free place.
	clock []*cacheEntry
	hand  int
	bytes int64
}

type cacheEntry struct {
	key     string
	version version
	used    atomic.Bool
}

func newNewest(limit int64) *newest {
	c := &newest{seed: maphash.MakeSeed(), limit: limit / cacheShards}
	for i := range c.shards {
		c.shards[i].entries = make(map[string]*cacheEntry)
	}
	return c
}

func (c *newest) shard(key []byte) *cacheShard {
	return &c.shards[maphash.Bytes(c.seed, key)%cacheShards]
}

// get returns the newest version of key, if it is known here.
func (c *newest) get(key []byte) (version, bool) {
	s := c.shard(key)
	s.mu.RLock()
	e, ok := s.entries[string(key)]
	if !ok {
		s.mu.RUnlock()
		return version{}, false
	}
	v := e.version
	s.mu.RUnlock()
	if !e.used.Load() {
		e.used.Store(true)
	}
	return v, true
}

// put makes v the newest version of key. With replace it only does so if the
// key is cached already.
func (c *newest) put(key []byte, v version, replace bool) {
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.entries[string(key)]; ok {
		s.bytes += int64(len(v.stored) - len(e.version.stored))
		e.version = v
		return
	}
	if replace {
		return
	}
	e := &cacheEntry{key: string(key), version: v}
	s.entries[e.key] = e
	s.clock = append(s.clock, e)
	s.bytes += e.cost()
}

func (e *cacheEntry) cost() int64 {
	return int64(len(e.key)+len(e.version.stored)) + entryOverhead
}

// clear drops everything, which must be committed.
func (c *newest) clear() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.entries, s.clock, s.hand, s.bytes = make(map[string]*cacheEntry), nil, 0, 0
		s.mu.Unlock()
	}
}

// trim drops what was not used lately until the cache is within its limit: first
// records, then what is left of their entries, since a put needs only that much.
// Everything in it must be committed.
func (c *newest) trim() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.RLock()
		over := s.bytes > c.limit
		s.mu.RUnlock()
		if over {
			s.trim(c.limit)
		}
	}
}

func (s *cacheShard) trim(limit int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.bytes > limit && len(s.clock) > 0 {
		if s.hand >= len(s.clock) {
			s.hand = 0
		}
		e := s.clock[s.hand]
		if e.used.Swap(false) {
			s.hand++
			continue
		}
		if e.version.stored != nil {
			s.bytes -= int64(len(e.version.stored))
			e.version.stored = nil
			s.hand++
			continue
		}
		s.bytes -= e.cost()
		delete(s.entries, e.key)
		last := len(s.clock) - 1
		s.clock[s.hand] = s.clock[last]
		s.clock[last] = nil
		s.clock = s.clock[:last]
	}
}
