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
	total, now, iters, err := s.countParts(start, end)
	defer func() {
		for _, it := range iters {
			it.Close()
		}
	}()
	if err != nil {
		return 0, err
	}
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
	for _, it := range iters {
		n, err := countWalk(ctx, it, now)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// countParts adds up whole leaves and opens an iterator over each part that is
// left, all as of one revision, now.
func (s *Store) countParts(start, end []byte) (total, now int64, iters []engine.Iterator, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	now = s.current.Load()
	total, edges := s.leaves.sum(start, end)
	for _, e := range edges {
		it, err := newVersionIter(s.engine, e.start, e.end)
		if err != nil {
			return 0, 0, iters, err
		}
		iters = append(iters, it)
	}
	return total, now, iters, nil
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
	it, err := src.NewIter(&engine.IterOptions{
		LowerBound: engine.AppendRevisionKey(nil, max(from, 0), 0),
		UpperBound: engine.AppendRevisionKey(nil, to+1, 0),
	})
	if err != nil {
		return engine.Iterator{}, fmt.Errorf("mvcc: open iterator: %w", err)
	}
	return it, nil
}
