package watch

import (
	"fmt"
	"sort"
	"sync"

	"bowline/internal/mvcc"
)

// feed holds the events of the last revisions, oldest out first when they
// take more than window bytes. It speaks for the revisions first..last: those
// without events in it had none.
type feed struct {
	window  int64
	encoded account

	mu sync.Mutex // protects the following fields
	// ring holds count groups from head on; its length is a power of two.
	ring        []group
	head, count int
	first, last int64
	bytes       int64 // what the held events take, without their encodings
	evicted     int64 // bytes let go since the start
}

// group is the events of one revision.
type group struct {
	revision int64
	events   []event
	bytes    int64
}

func newFeed(window, last int64) *feed {
	return &feed{window: window, ring: make([]group, 64), first: last + 1, last: last}
}

// append adds a revision and lets old ones go. The newest always stays.
func (f *feed) append(revision int64, changes []mvcc.Event) {
	g := group{revision: revision}
	if len(changes) > 0 {
		g.events = make([]event, len(changes))
		for i := range changes {
			g.events[i].change = &changes[i]
			g.bytes += g.events[i].cost()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if revision <= f.last {
		panic(fmt.Sprintf("watch: revision %d published after %d", revision, f.last))
	}
	f.last = revision
	if g.events == nil {
		return
	}
	if f.count == len(f.ring) {
		f.growLocked()
	}
	f.ring[(f.head+f.count)&(len(f.ring)-1)] = g
	f.count++
	f.bytes += g.bytes
	for f.count > 1 && f.bytes+f.encoded.bytes.Load() > f.window {
		f.evictLocked()
	}
}

func (f *feed) growLocked() {
	ring := make([]group, 2*len(f.ring))
	n := copy(ring, f.ring[f.head:])
	copy(ring[n:], f.ring[:f.head])
	f.ring, f.head = ring, 0
}

func (f *feed) evictLocked() {
	g := f.ring[f.head]
	f.ring[f.head] = group{}
	f.head = (f.head + 1) & (len(f.ring) - 1)
	f.count--
	for i := range g.events {
		g.events[i].retire(&f.encoded)
	}
	f.bytes -= g.bytes
	f.evicted += g.bytes
	f.first = g.revision + 1
}

// reset drops everything and starts over behind revision last.
func (f *feed) reset(last int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.count > 0 {
		f.evictLocked()
	}
	f.last = max(last, f.last)
	f.first = f.last + 1
}

// bounds returns the revisions that the feed speaks for.
func (f *feed) bounds() (first, last int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.first, f.last
}

// evictedBytes returns what was let go since the start, and the first revision
// that is still held.
func (f *feed) evictedBytes() (bytes, first int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.evicted, f.first
}

// read appends to dst[:0] groups from revision from on, as many as dst has room
// for, and returns them with the last revision that they cover. ok is false if
// the feed no longer holds from.
func (f *feed) read(from int64, dst []group) (_ []group, through int64, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if from < f.first {
		return nil, 0, false
	}
	mask := len(f.ring) - 1
	i := sort.Search(f.count, func(i int) bool { return f.ring[(f.head+i)&mask].revision >= from })
	dst = dst[:0]
	for ; i < f.count; i++ {
		if len(dst) == cap(dst) {
			return dst, dst[len(dst)-1].revision, true
		}
		dst = append(dst, f.ring[(f.head+i)&mask])
	}
	return dst, max(f.last, from-1), true
}
