package mvcc

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"bowline/internal/engine"
	"bowline/internal/wire"
)

// Leases tells whether a lease exists; the writer asks it at each put that names
// one.
type Leases interface {
	Exists(id int64) bool
}

// Group is the requests that one engine batch holds. Its changes become visible
// to readers together, when the batch is committed and Publish is called.
// Requests inside a group see those before them. Writer only.
type Group struct {
	store  *Store
	leases Leases
	batch  *engine.Batch
	// revisions are the revision records, which go behind everything else in the batch: a memtable
	// takes a run of them in their order cheaply, and between versions dearly.
	revisions *engine.Batch
	// src is what ranges inside requests read: the engine, or the batch on top
	// of it when a request must see its own changes.
	src engine.Reader
	// revision is the main revision reached so far.
	revision int64
	// deltas are the changes of live keys per count leaf.
	deltas map[int]int64
	events []Event
	// eventBytes is the size of what the group has changed; beyond
	// maxGroupEventBytes its events are dropped and watchers read history.
	eventBytes int
	// lookups are opened at most once per group, for versions that are not cached: in
	// the engine, and in its files alone.
	lookups, fileLookups engine.Iterator
	// spilled tells that part of the group is in the engine already.
	spilled bool

	keyBuf, valueBuf []byte
}

// maxGroupEventBytes bounds the events held for a request that deletes a huge
// range.
const maxGroupEventBytes = 64 << 20

// Begin opens a group over an empty batch. With readsOwn ranges inside its
// requests see the group's own changes; that is dearer, and needed only for a
// transaction that reads a range after writing (see ReadsOwnWrites).
func (s *Store) Begin(leases Leases, readsOwn bool) *Group {
	g := &Group{store: s, leases: leases, src: s.engine, revisions: s.engine.NewBatch(), revision: s.current.Load(), deltas: make(map[int]int64)}
	if readsOwn {
		g.batch = s.engine.NewIndexedBatch()
		g.src = engine.Overlay{Batch: g.batch}
	} else {
		g.batch = s.engine.NewBatch()
	}
	return g
}

// size is how much the group has collected since it last spilled.
func (g *Group) size() int { return g.batch.Len() + g.revisions.Len() }

// Batch is the group's engine batch, for the writer's own records.
func (g *Group) Batch() *engine.Batch { return g.batch }

// Revision is the main revision that the group has reached.
func (g *Group) Revision() int64 { return g.revision }

// Seal adds the group's own records to the batch; after it the batch is to be
// committed and the group published.
func (g *Group) Seal() error {
	g.closeLookups()
	if err := g.batch.Apply(g.revisions, nil); err != nil {
		return err
	}
	if err := g.revisions.Close(); err != nil {
		return err
	}
	s := g.store
	for i, d := range g.deltas {
		if d == 0 {
			continue
		}
		n := s.leaves.counts[i] + d
		if n < 0 {
			panic(fmt.Sprintf("mvcc: count leaf %d at %q would hold %d keys", i, s.leaves.borders[i], n))
		}
		if err := g.batch.Set(engine.Key(engine.ClassCount, s.leaves.borders[i]), appendCount(n), nil); err != nil {
			return err
		}
	}
	if g.revision == s.current.Load() {
		return nil
	}
	rev := binary.BigEndian.AppendUint64(nil, uint64(g.revision))
	return g.batch.Set(engine.Key(engine.ClassMeta, []byte(metaRevision)), rev, nil)
}

// Publish makes the committed group visible to readers and returns its events,
// in revision order. complete is false if they were too many to hold: then there
// are none, and watchers have to read them from the history.
func (g *Group) Publish() (events []Event, complete bool) {
	s := g.store
	s.mu.Lock()
	for i, d := range g.deltas {
		s.leafChanges++
		s.heads.forget(s.leaves.borders[i])
		before := s.leaves.counts[i]
		s.leaves.counts[i] += d
		s.oversized = s.oversized || s.leaves.counts[i] > leafKeys
		if before >= smallLeaf && s.leaves.counts[i] < smallLeaf {
			s.emptied++
		}
	}
	if was := s.current.Load(); g.revision < was {
		panic(fmt.Sprintf("mvcc: revision would go back from %d to %d", was, g.revision))
	}
	s.current.Store(g.revision)
	s.mu.Unlock()
	s.stats.Events.Add(int64(len(g.events)))
	s.cache.trim()
	return g.events, g.eventBytes <= maxGroupEventBytes
}

// Discard gives up an uncommitted group whose requests have changed nothing.
func (g *Group) Discard() {
	g.closeLookups()
	g.revisions.Close()
	g.batch.Close()
}

func (g *Group) closeLookups() {
	for _, it := range []*engine.Iterator{&g.lookups, &g.fileLookups} {
		if !it.IsZero() {
			it.Close()
			*it = engine.Iterator{}
		}
	}
}

// lookup returns the newest version of key, deletions included, as of the
// group's requests so far; with whole, a live one comes with its record.
func (g *Group) lookup(key []byte, whole bool) (version, bool, error) {
	if v, ok := g.store.cache.get(key); ok && (!whole || !v.live() || v.stored != nil) {
		return v, true, nil
	}
	if g.src != engine.Reader(g.store.engine) || g.spilled {
		return load(g.src, key, g.revision+1)
	}
	it, options := &g.lookups, engine.PointReads
	g.keyBuf = engine.AppendKey(g.keyBuf[:0], engine.ClassVersion, key)
	if g.store.engine.InFiles(g.keyBuf) {
		it, options = &g.fileLookups, engine.FileReads
	}
	if it.IsZero() {
		var err error
		if *it, err = g.src.NewIter(options()); err != nil {
			return version{}, false, fmt.Errorf("mvcc: open iterator: %w", err)
		}
	}
	return loadFrom(*it, key, g.revision+1)
}

// request is one modifying request inside a group: its changes share a main
// revision.
type request struct {
	g    *Group
	main int64
	sub  int64
}

func (g *Group) open() *request { return &request{g: g, main: g.revision + 1} }

// close ends the request; if it changed anything its revision is used up.
func (r *request) close() {
	if r.sub > 0 {
		r.g.revision = r.main
	}
}

// revision is what the request's answer reports at this point.
func (r *request) revision() int64 {
	if r.sub > 0 {
		return r.main
	}
	return r.main - 1
}

// view is what reads inside the request see.
func (r *request) view() View {
	v := View{store: r.g.store, src: r.g.src, current: r.main - 1, newest: r.main - 1}
	if r.sub > 0 {
		v.newest, v.current = r.main, r.main
	}
	return v
}

// write stores one change of key. fresh tells that the key may be cached anew,
// not only replaced in the cache.
func (r *request) write(kind Kind, key []byte, record *wire.KeyValue, prev Revision, fresh bool) error {
	g := r.g
	if r.sub > maxSub {
		panic(fmt.Sprintf("mvcc: more than %d changes in revision %d", int64(maxSub), r.main))
	}
	rev := Revision{Main: r.main, Sub: r.sub}
	r.sub++
	stored := make([]byte, 1, 1+record.Size())
	stored[0] = byte(kind)
	stored = record.Append(stored)

	g.keyBuf = engine.AppendVersionKey(g.keyBuf[:0], key, rev.Main, rev.Sub)
	if err := g.batch.Set(g.keyBuf, stored, nil); err != nil {
		return err
	}
	kv := stored[1:]
	c := change{rev: rev, kind: kind, prev: prev, key: wire.KeyOf(kv), crc: crc32.Checksum(kv, castagnoli), size: len(kv)}
	g.keyBuf = engine.AppendRevisionKey(g.keyBuf[:0], rev.Main, rev.Sub)
	g.valueBuf = appendChange(g.valueBuf[:0], &c)
	if err := g.revisions.Set(g.keyBuf, g.valueBuf, nil); err != nil {
		return err
	}
	switch kind {
	case KindCreate:
		g.deltas[g.store.leaves.find(key)]++
	case KindDelete:
		g.deltas[g.store.leaves.find(key)]--
	}
	m := meta{kind: kind, create: record.Create, version: record.Version, lease: record.Lease}
	g.store.cache.put(key, version{rev: rev, meta: m, stored: stored}, !fresh)
	if g.eventBytes += len(key) + len(kv); g.eventBytes > maxGroupEventBytes {
		g.events = nil
		return nil
	}
	e := c.event(kv)
	if c.prev.Main == r.main {
		e.Prev = r.prevBefore(key)
	}
	g.events = append(g.events, e)
	return nil
}

// prevBefore is the version of a key as of before this request, which has changed
// the key already. That is what watchers are told was replaced.
func (r *request) prevBefore(key []byte) Revision {
	var first Revision
	for i := len(r.g.events) - 1; i >= 0 && r.g.events[i].Revision.Main == r.main; i-- {
		if e := &r.g.events[i]; bytes.Equal(e.Key, key) {
			first = e.Prev
		}
	}
	return first
}

// attach moves key from one lease to another; 0 means none.
func (r *request) attach(key []byte, from, to int64) error {
	if from == to {
		return nil
	}
	g := r.g
	if from != 0 {
		g.keyBuf = appendAttachmentKey(g.keyBuf[:0], from, key)
		if err := g.batch.Delete(g.keyBuf, nil); err != nil {
			return err
		}
	}
	if to != 0 {
		g.keyBuf = appendAttachmentKey(g.keyBuf[:0], to, key)
		return g.batch.Set(g.keyBuf, nil, nil)
	}
	return nil
}

func appendAttachmentKey(dst []byte, lease int64, key []byte) []byte {
	dst = append(dst, byte(engine.ClassAttachment))
	dst = binary.BigEndian.AppendUint64(dst, uint64(lease))
	dst = append(dst, key...)
	return append(dst, 0)
}

// AttachedKeys calls f with each key attached to a lease, in key order; the key
// is valid only during the call. It reads what is published.
func (s *Store) AttachedKeys(lease int64, f func(key []byte) error) error {
	return attachedKeys(s.engine, lease, f)
}

func attachedKeys(src engine.Reader, lease int64, f func(key []byte) error) error {
	lower := appendAttachmentKey(nil, lease, nil)
	upper := engine.ClassEnd(engine.ClassAttachment)
	if uint64(lease) != ^uint64(0) {
		upper = binary.BigEndian.AppendUint64([]byte{byte(engine.ClassAttachment)}, uint64(lease)+1)
		upper = append(upper, 0)
	}
	it, err := src.NewIter(&engine.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return fmt.Errorf("mvcc: open iterator: %w", err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if err := f(engine.Body(it.Key())[8:]); err != nil {
			return err
		}
	}
	if err := it.Error(); err != nil {
		return fmt.Errorf("mvcc: read attached keys: %w", err)
	}
	return nil
}

// spill commits what a long request has collected so far. Nobody sees it before
// the group is published; after a crash in between, Open undoes it.
func (r *request) spill() error {
	g := r.g
	if g.size() < g.store.spillBytes {
		return nil
	}
	if err := g.batch.Apply(g.revisions, nil); err != nil {
		return err
	}
	g.revisions.Reset()
	if err := g.store.engine.Commit(g.batch); err != nil {
		return err
	}
	g.spilled = true
	if g.src == engine.Reader(g.store.engine) {
		g.batch = g.store.engine.NewBatch()
		return nil
	}
	g.batch = g.store.engine.NewIndexedBatch()
	g.src = engine.Overlay{Batch: g.batch}
	return nil
}
