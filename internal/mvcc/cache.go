package mvcc

import (
	"bytes"
	"hash/maphash"
	"sync"
)

// newest is a bounded cache of the newest versions of keys that were written
// lately. It stands before the engine for single-key reads and for the writer's
// look-up of what it replaces.
//
// Only the writer fills and replaces entries, so an entry is always the newest
// version there is, deletions included. It also holds the versions of a group
// that is not committed yet; those may not be dropped, since the engine does not
// know them: trim is called only after a commit.
//
// Nothing in it is a pointer to an entry: a hundred thousand of them would be what the
// garbage collector has most to do with, and puts wait while it does.
type newest struct {
	hash   func(key []byte) uint64
	shards [cacheShards]cacheShard
	limit  int64
}

const (
	cacheShards = 16
	// placeBytes estimates what the index takes for an entry.
	placeBytes = 32
)

// cacheShard has the entries of some keys, as records in pages.
type cacheShard struct {
	mu sync.RWMutex // guards the fields below
	// index has the place of a key's record at the key's hash, or, if other keys have that
	// one, at the next number that is free.
	index map[uint64]place
	// pages are filled one after the other; the first has the number base.
	pages []*page
	base  uint32
	// bytes is what the pages take, live the part of it that the index refers to.
	bytes, live int64
}

// place is where a record is: the number of its page, and the offset in it.
type place uint64

func at(page uint32, offset int) place { return place(page)<<32 | place(offset) }

func (p place) page() uint32 { return uint32(p >> 32) }
func (p place) offset() int  { return int(uint32(p)) }

func newNewest(limit int64) *newest {
	seed := maphash.MakeSeed()
	c := &newest{limit: limit / cacheShards, hash: func(key []byte) uint64 { return maphash.Bytes(seed, key) }}
	c.clear()
	return c
}

// clear drops everything, which must be committed.
func (c *newest) clear() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.clear()
		s.mu.Unlock()
	}
}

func (s *cacheShard) clear() {
	s.index, s.pages, s.base, s.bytes, s.live = make(map[uint64]place), nil, 0, 0, 0
}

func (c *newest) shard(hash uint64) *cacheShard { return &c.shards[hash>>32%cacheShards] }

// get returns the newest version of key, if it is known here.
func (c *newest) get(key []byte) (version, bool) {
	h := c.hash(key)
	s := c.shard(h)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if _, p, r, ok := s.find(h, key); ok {
		p.touch(r.offset)
		return r.version, true
	}
	return version{}, false
}

// put makes v the newest version of key. With replace it only does so if the
// key is cached already.
func (c *newest) put(key []byte, v version, replace bool) {
	h := c.hash(key)
	s := c.shard(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	slot, _, r, ok := s.find(h, key)
	switch {
	case ok:
		s.live -= int64(r.size)
	case replace:
		return
	}
	s.add(slot, key, v)
}

// find returns the record of key, and the number in the index that is its, or would be.
func (s *cacheShard) find(hash uint64, key []byte) (slot uint64, p *page, r pageRecord, ok bool) {
	for slot = hash; ; slot++ {
		at, taken := s.index[slot]
		if !taken {
			return slot, nil, pageRecord{}, false
		}
		p = s.pages[at.page()-s.base]
		if r = p.record(at.offset()); bytes.Equal(r.key, key) {
			return slot, p, r, true
		}
	}
}

// add appends a record and has the index refer to it.
func (s *cacheShard) add(slot uint64, key []byte, v version) {
	need := recordBytes(key, v)
	if n := len(s.pages); n == 0 || !s.pages[n-1].hasRoom(need) {
		p := newPage(need)
		s.pages = append(s.pages, p)
		s.bytes += int64(cap(p.data))
	}
	last := len(s.pages) - 1
	offset, size := s.pages[last].append(key, v)
	s.index[slot] = at(s.base+uint32(last), offset)
	s.live += int64(size)
}

// remove has the index forget a slot, and moves what would not be found any more.
func (s *cacheShard) remove(slot uint64, hash func([]byte) uint64) {
	delete(s.index, slot)
	for next := slot + 1; ; next++ {
		at, taken := s.index[next]
		if !taken {
			return
		}
		if home := hash(s.pages[at.page()-s.base].record(at.offset()).key); next-home >= next-slot {
			s.index[slot] = at
			delete(s.index, next)
			slot = next
		}
	}
}

// trim drops what was not used lately until the cache is within its limit.
// Everything in it must be committed.
func (c *newest) trim() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.RLock()
		over := s.over(c.limit)
		s.mu.RUnlock()
		if over {
			s.mu.Lock()
			s.trim(c.limit, c.hash)
			s.mu.Unlock()
		}
	}
}

func (s *cacheShard) over(limit int64) bool {
	return s.bytes+int64(len(s.index))*placeBytes > limit
}

// trim empties pages, the oldest first. As long as much of what they take has been
// replaced, they are emptied of that alone; else each record loses something: its
// mark that it was used, its value, since a put needs only the rest, or its place.
func (s *cacheShard) trim(limit int64, hash func([]byte) uint64) {
	const losses = 3
	for round := 0; round <= losses; round++ {
		for n := len(s.pages); n > 0 && s.over(limit); n-- {
			crowded := s.live+int64(len(s.index))*placeBytes > limit/8*5
			s.empty(crowded || round > 0, hash)
		}
	}
	if s.over(limit) {
		s.clear() // not even one page fits
	}
}

// empty moves what is left of the oldest page behind the others.
func (s *cacheShard) empty(lose bool, hash func([]byte) uint64) {
	p := s.pages[0]
	if len(s.pages) == 1 {
		s.pages = append(s.pages, newPage(0)) // records are not moved to where they are
		s.bytes += int64(cap(s.pages[1].data))
	}
	for offset := 0; offset < len(p.data); {
		r := p.record(offset)
		offset += r.size
		slot, q, current, ok := s.find(hash(r.key), r.key)
		if !ok || q != p || current.offset != r.offset {
			continue
		}
		s.live -= int64(r.size)
		switch used := p.touched(r.offset); {
		case lose && !used && r.version.stored == nil:
			s.remove(slot, hash)
			continue
		case lose && !used:
			r.version.stored = nil
		}
		s.add(slot, r.key, r.version)
		if p.touched(r.offset) && !lose {
			s.pages[len(s.pages)-1].touch(s.index[slot].offset())
		}
	}
	s.bytes -= int64(cap(p.data))
	s.pages[0] = nil
	s.pages = s.pages[1:]
	s.base++
}
