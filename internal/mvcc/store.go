package mvcc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"bowline/internal/engine"
)

// Options of a Store. The zero value of a field means the default.
type Options struct {
	// CacheBytes bounds the cache of newest versions; default 16 MiB.
	CacheBytes int64
	// SpillBytes is the batch size at which a request that deletes many keys
	// commits what it has so far; default 32 MiB.
	SpillBytes int
}

const (
	defaultCacheBytes = 16 << 20
	defaultSpillBytes = 32 << 20
)

// Names of the store's meta records.
const (
	metaRevision   = "revision"   // current main revision
	metaCompaction = "compaction" // see compaction.record
)

// Store is the key space of one member. One writer (through Group) and any
// number of readers (through View) may use it at once.
type Store struct {
	engine     *engine.Engine
	cache      *newest
	spillBytes int

	// current and compacted are what readers see; the writer stores them. A
	// reader opens its iterator first and looks at compacted afterwards.
	current   atomic.Int64
	compacted atomic.Int64

	// mu guards leaves and what is known of them, and makes them change together with
	// current. leafChanges counts their changes.
	mu          sync.RWMutex
	leaves      leaves
	heads       heads
	leafChanges int64
	// oversized tells that a leaf may have to be split, emptied how many have become
	// small; only the writer uses them.
	oversized bool
	emptied   int

	compaction compaction
	hashes     hashCache
	stats      Stats
}

// Open reads the store's state from e; an empty engine is an empty store at
// revision 1.
func Open(e *engine.Engine, o Options) (*Store, error) {
	if o.CacheBytes == 0 {
		o.CacheBytes = defaultCacheBytes
	}
	if o.SpillBytes == 0 {
		o.SpillBytes = defaultSpillBytes
	}
	s := &Store{engine: e, cache: newNewest(o.CacheBytes), spillBytes: o.SpillBytes}
	current := int64(1)
	v, err := e.Get(engine.Key(engine.ClassMeta, []byte(metaRevision)))
	switch {
	case errors.Is(err, engine.ErrNotFound):
	case err != nil:
		return nil, fmt.Errorf("mvcc: read the current revision: %w", err)
	case len(v) != 8:
		return nil, fmt.Errorf("mvcc: damaged revision record %x", v)
	default:
		current = int64(binary.BigEndian.Uint64(v))
	}
	if err := s.compaction.load(e); err != nil {
		return nil, err
	}
	if s.leaves, err = loadLeaves(e); err != nil {
		return nil, err
	}
	s.current.Store(current)
	s.compacted.Store(s.compaction.scheduled)
	if err := s.undoSpilled(); err != nil {
		return nil, err
	}
	return s, nil
}

// Revision returns the current revision: that of the last change readers see.
func (s *Store) Revision() int64 { return s.current.Load() }

// Compacted returns the last accepted compaction revision, -1 if there is none.
func (s *Store) Compacted() int64 { return s.compacted.Load() }

// Revisions returns the current and the compacted revision.
func (s *Store) Revisions() (current, compacted int64) {
	return s.current.Load(), s.compacted.Load()
}

// Keys returns the number of live keys.
func (s *Store) Keys() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.leaves.total()
}

// Stats counts what the store has done since it was opened, for metrics.
type Stats struct {
	Ranges, Puts, Deletes, Txns atomic.Int64
	PutBytes, Events            atomic.Int64
	CompactedKeys               atomic.Int64
}

// Stats returns the store's counters.
func (s *Store) Stats() *Stats { return &s.stats }
