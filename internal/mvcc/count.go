package mvcc

import (
	"bytes"
	"context"
	"fmt"

	"bowline/internal/engine"
)

// maxCorrections is how many revision records a count at an older revision may
// walk before it walks the keys instead.
const maxCorrections = 50_000

// count returns the number of live keys in [start, end) at rev: the count now,
// corrected by what changed since. An end of nil means no end.
func (s *Store) count(ctx context.Context, start, end []byte, rev int64) (int64, error) {
	parts, err := s.countParts(start, end)
	defer parts.close()
	if err != nil {
		return 0, err
	}
	total, now := parts.total, parts.now
	if rev < s.compacted.Load() {
		return 0, ErrCompacted
	}
	if rev < now {
		born, ok, err := s.bornSince(ctx, start, end, rev, now)
		if err != nil {
			return 0, err
		}
		if !ok {
			return s.View().countByWalk(ctx, start, end, rev)
		}
		total -= born
	}
	for i, it := range parts.iters {
		n, err := countWalk(ctx, it, now)
		if err != nil {
			return 0, err
		}
		if e := parts.edges[i]; e.first {
			s.keepHead(head{border: e.start, end: e.end, count: n}, parts.changes)
		}
		total += n
	}
	return total, nil
}

// countParts are what a count consists of, as of revision now.
type countParts struct {
	now   int64
	total int64 // of whole leaves, and of known heads
	// edges are left to walk, each with its iterator. changes is the number of
	// changes of leaves until now.
	edges   []edge
	iters   []engine.Iterator
	changes int64
}

func (p *countParts) close() {
	for _, it := range p.iters {
		it.Close()
	}
}

// countParts adds up what is known and opens an iterator over each part that is
// left, all as of one revision. The parts are to be closed, even after an error.
func (s *Store) countParts(start, end []byte) (p countParts, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p.now, p.changes = s.current.Load(), s.leafChanges
	total, edges := s.leaves.sum(start, end)
	p.total = total
	for _, e := range edges {
		if n, ok := s.heads.find(e); ok {
			p.total += n
			continue
		}
		it, err := newVersionIter(s.engine, e.start, e.end)
		if err != nil {
			return p, err
		}
		p.edges, p.iters = append(p.edges, e), append(p.iters, it)
	}
	return p, nil
}

// borderAfter is the border between leaves that follows key, nil if there is none.
func (s *Store) borderAfter(key []byte) []byte {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if i := s.leaves.find(key) + 1; i < len(s.leaves.borders) {
		return s.leaves.borders[i]
	}
	return nil
}

// bornSince returns how many more live keys [start, end) has at now than at rev.
// ok is false if too much has changed to find out this way.
func (s *Store) bornSince(ctx context.Context, start, end []byte, rev, now int64) (born int64, ok bool, err error) {
	if now-rev > maxCorrections {
		return 0, false, nil
	}
	it, err := newRevisionIter(s.engine, rev+1, now)
	if err != nil {
		return 0, false, err
	}
	defer it.Close()
	if rev < s.compacted.Load() {
		return 0, false, ErrCompacted
	}
	walked := 0
	for valid := it.First(); valid; valid = it.Next() {
		if walked++; walked > maxCorrections {
			return 0, false, nil
		}
		if walked%ctxCheckEvery == 0 && ctx.Err() != nil {
			return 0, false, ctx.Err()
		}
		c, err := parseChange(it.Key(), it.Value())
		if err != nil {
			return 0, false, err
		}
		if c.kind == KindUpdate || bytes.Compare(c.key, start) < 0 || end != nil && bytes.Compare(c.key, end) >= 0 {
			continue
		}
		if c.kind == KindCreate {
			born++
		} else {
			born--
		}
	}
	if err := it.Error(); err != nil {
		return 0, false, fmt.Errorf("mvcc: walk revision records: %w", err)
	}
	return born, true, nil
}

// newRevisionIter iterates the revision records with from <= main <= to.
func newRevisionIter(src engine.Reader, from, to int64) (engine.Iterator, error) {
	it, err := src.NewIter(revisionBounds(from, to))
	if err != nil {
		return engine.Iterator{}, fmt.Errorf("mvcc: open iterator: %w", err)
	}
	return it, nil
}

func revisionBounds(from, to int64) *engine.IterOptions {
	return &engine.IterOptions{
		LowerBound: engine.AppendRevisionKey(nil, max(from, 0), 0),
		UpperBound: engine.AppendRevisionKey(nil, to+1, 0),
	}
}
