package mvcc

import (
	"context"
	"fmt"
	"hash/crc32"
	"sync"

	"bowline/internal/engine"
)

// Hash is an answer of HashKV: etcd's hash over the records visible at Revision
// when everything below Compacted was compacted (-1: nothing ever was).
type Hash struct {
	Sum       uint32
	Revision  int64
	Compacted int64
}

// keptHashes is how many compaction hashes are remembered.
const keptHashes = 10

// hashCache holds the hashes taken by the last compactions, by revision.
type hashCache struct {
	mu     sync.Mutex
	hashes []Hash // guarded by mu, oldest first
	// vague are the revisions of those that are no use for comparisons; see
	// Store.Comparable. Guarded by mu.
	vague map[int64]bool
}

func (h *hashCache) get(rev int64) (Hash, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, x := range h.hashes {
		if x.Revision == rev {
			return x, true
		}
	}
	return Hash{}, false
}

func (h *hashCache) add(x Hash, vague bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hashes = append(h.hashes, x)
	if vague {
		if h.vague == nil {
			h.vague = make(map[int64]bool)
		}
		h.vague[x.Revision] = true
	}
	if len(h.hashes) > keptHashes {
		delete(h.vague, h.hashes[0].Revision)
		h.hashes = h.hashes[1:]
	}
}

func (h *hashCache) clear() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hashes, h.vague = nil, nil
}

// CompactionHashes returns the remembered hashes that can be compared with those of
// other members, newest first.
func (s *Store) CompactionHashes() []Hash {
	s.hashes.mu.Lock()
	defer s.hashes.mu.Unlock()
	out := make([]Hash, 0, len(s.hashes.hashes))
	for i := len(s.hashes.hashes) - 1; i >= 0; i-- {
		if h := s.hashes.hashes[i]; !s.hashes.vague[h.Revision] {
			out = append(out, h)
		}
	}
	return out
}

// Comparable tells whether a hash at rev, which is the current revision or was a moment
// ago, is the same on every member with the same data. If no key is live there, etcd's
// hash by HashKV and the one that a compaction leaves behind cover different
// records, under the same numbers: which of them a member answers with depends on
// whether it has compacted yet.
func (s *Store) Comparable(ctx context.Context, rev int64) (bool, error) {
	return s.liveAt(ctx, rev)
}

// HashKV computes etcd's hash of the key space at rev, 0 meaning now, and the
// current revision. Cost: a scan of the revision records up to rev.
func (s *Store) HashKV(ctx context.Context, rev int64) (h Hash, current int64, err error) {
	requested := rev
	if h, ok := s.hashes.get(rev); ok {
		return h, s.current.Load(), nil
	}
	s.mu.RLock()
	current, compacted := s.current.Load(), s.compacted.Load()
	finished := s.compaction.finishedRevision()
	scan, err := s.openHashScan()
	s.mu.RUnlock()
	if err != nil {
		return Hash{}, 0, err
	}
	defer scan.close()
	switch {
	case rev > 0 && rev < compacted:
		return Hash{}, current, ErrCompacted
	case rev > current:
		return Hash{}, current, ErrFutureRevision
	case rev == 0:
		rev = current
	}
	h = Hash{Revision: rev, Compacted: compacted}
	live, err := s.liveAt(ctx, rev)
	if err != nil {
		return Hash{}, current, err
	}
	if !live && s.compacted.Load() > compacted {
		// A compaction accepted meanwhile may have removed what was live: look again.
		return s.HashKV(ctx, requested)
	}
	h.Sum, err = scan.run(hashScanArgs{rev: rev, compacted: compacted, pause: ctx.Err, finished: finished, keepNothing: !live})
	return h, current, err
}

// liveAt tells whether any key is live at rev.
func (s *Store) liveAt(ctx context.Context, rev int64) (bool, error) {
	v := s.View()
	if rev >= v.current && s.Keys() > 0 {
		return true, nil
	}
	it, err := newVersionIter(s.engine, nil, nil)
	if err != nil {
		return false, err
	}
	defer it.Close()
	found := false
	err = walk(it, rev, func(_, _ []byte) bool {
		found = true
		return false
	})
	return found, err
}

type hashScanArgs struct {
	rev, compacted int64
	// pause is called from time to time; its error ends the scan.
	pause func() error
	// finished is the last compaction carried out: below it no record is
	// superseded by another one at or below it.
	finished int64
	// keepNothing tells that the set of kept records is empty; then etcd leaves
	// nothing out for not being kept.
	keepNothing bool
}

// hashScan computes a hash over one consistent state of the engine.
type hashScan struct {
	state            *engine.Snapshot
	superseding, all *engine.Scan
}

func (s *Store) openHashScan() (h *hashScan, err error) {
	h = &hashScan{state: s.engine.NewSnapshot()}
	defer func() {
		if err != nil {
			h.close()
		}
	}()
	records := revisionBounds(0, s.current.Load())
	if h.superseding, err = engine.NewScan(h.state, records); err != nil {
		return nil, fmt.Errorf("mvcc: open iterator: %w", err)
	}
	if h.all, err = engine.NewScan(h.state, records); err != nil {
		return nil, fmt.Errorf("mvcc: open iterator: %w", err)
	}
	return h, nil
}

func (h *hashScan) close() {
	for _, it := range []*engine.Scan{h.superseding, h.all} {
		if it != nil {
			it.Close()
		}
	}
	h.state.Close()
}

// run hashes the records with main <= rev. Of those at or below the compacted
// revision only the ones still visible at rev count; they are found by leaving
// out what a later record says it replaced.
func (h *hashScan) run(a hashScanArgs) (uint32, error) {
	superseded := make(map[Revision]struct{})
	if a.compacted >= 0 && !a.keepNothing {
		if err := h.collect(a, superseded); err != nil {
			return 0, err
		}
	}
	sum := crc32.Checksum([]byte("key"), castagnoli)
	comb := newCombiner()
	var key [18]byte
	n := 0
	for ok := h.all.First(); ok; ok = h.all.Next() {
		if n++; n%ctxCheckEvery == 0 {
			if err := a.pause(); err != nil {
				return 0, err
			}
		}
		c, err := parseChange(h.all.Key(), h.all.Value())
		if err != nil {
			return 0, err
		}
		if c.rev.Main > a.rev {
			break
		}
		if c.rev.Main <= a.compacted {
			if !a.keepNothing {
				if _, gone := superseded[c.rev]; gone || c.kind == KindDelete {
					continue
				}
			}
			if c.rev.Main == a.compacted && c.kind == KindDelete {
				continue
			}
		}
		sum = crc32.Update(sum, castagnoli, etcdRecordKey(key[:0], &c))
		sum = comb.concat(sum, c.crc, c.size)
	}
	if err := h.all.Error(); err != nil {
		return 0, fmt.Errorf("mvcc: hash: %w", err)
	}
	return sum, nil
}

func (h *hashScan) collect(a hashScanArgs, superseded map[Revision]struct{}) error {
	ok := h.superseding.First()
	if a.finished == a.compacted {
		ok = h.superseding.SeekGE(revisionSeek(a.compacted + 1))
	}
	n := 0
	for ; ok; ok = h.superseding.Next() {
		if n++; n%ctxCheckEvery == 0 {
			if err := a.pause(); err != nil {
				return err
			}
		}
		c, err := parseChange(h.superseding.Key(), h.superseding.Value())
		if err != nil {
			return err
		}
		if c.rev.Main > a.rev {
			break
		}
		if !c.prev.IsZero() && c.prev.Main <= a.compacted {
			superseded[c.prev] = struct{}{}
		}
	}
	if err := h.superseding.Error(); err != nil {
		return fmt.Errorf("mvcc: hash: %w", err)
	}
	return nil
}
