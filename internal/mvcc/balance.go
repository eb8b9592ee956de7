package mvcc

import (
	"bytes"
	"fmt"

	"bowline/internal/engine"
)

const (
	// smallLeaf is below how many keys a leaf counts as small. Once mergeAfter of
	// them, and one in mergeShare of all leaves, have become so, neighbours that fit
	// together are merged: names that come and go must not leave leaves for ever.
	smallLeaf  = leafKeys / 8
	mergeAfter = 16
	mergeShare = 16
)

// BalanceLeaves splits a count leaf that has grown too large, or merges those that
// have become small, in a batch of its own, which it commits. It reports whether
// there may be more to do. Writer only, between groups.
func (s *Store) BalanceLeaves() (more bool, err error) {
	switch {
	case s.oversized:
		return s.splitLeaf()
	case s.emptied >= max(mergeAfter, len(s.leaves.counts)/mergeShare):
		s.emptied = 0
		return false, s.mergeLeaves()
	}
	return false, nil
}

func (s *Store) splitLeaf() (bool, error) {
	at := -1
	for i, n := range s.leaves.counts {
		if n > leafKeys {
			at = i
			break
		}
	}
	if at < 0 {
		s.oversized = false
		return false, nil
	}
	start := s.leaves.borders[at]
	var end []byte
	if at+1 < len(s.leaves.borders) {
		end = s.leaves.borders[at+1]
	}
	it, err := newVersionIter(s.engine, start, end)
	if err != nil {
		return false, err
	}
	defer it.Close()
	half := s.leaves.counts[at] / 2
	var border []byte
	n := int64(0)
	err = walk(it, s.current.Load(), func(stored, _ []byte) bool {
		if n == half {
			border = bytes.Clone(engine.VersionUserKey(stored))
			return false
		}
		n++
		return true
	})
	if err != nil {
		return false, err
	}
	if border == nil {
		panic(fmt.Sprintf("mvcc: count leaf at %q should hold %d keys but has %d", start, s.leaves.counts[at], n))
	}
	rest := s.leaves.counts[at] - half
	b := s.engine.NewBatch()
	if err := b.Set(engine.Key(engine.ClassCount, start), appendCount(half), nil); err != nil {
		return false, err
	}
	if err := b.Set(engine.Key(engine.ClassCount, border), appendCount(rest), nil); err != nil {
		return false, err
	}
	if err := s.engine.Commit(b); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaves.counts[at] = half
	s.leaves.insert(at+1, border, rest)
	s.leavesMoved()
	return true, nil
}

// mergeLeaves merges neighbours that hold at most half of a leaf together.
func (s *Store) mergeLeaves() error {
	merged := leaves{borders: s.leaves.borders[:1:1], counts: s.leaves.counts[:1:1]}
	b := s.engine.NewBatch()
	for i := 1; i < len(s.leaves.counts); i++ {
		last := len(merged.counts) - 1
		border, count := s.leaves.borders[i], s.leaves.counts[i]
		if merged.counts[last]+count > leafKeys/2 {
			merged.borders, merged.counts = append(merged.borders, border), append(merged.counts, count)
			continue
		}
		merged.counts[last] += count
		if err := b.Set(engine.Key(engine.ClassCount, merged.borders[last]), appendCount(merged.counts[last]), nil); err != nil {
			return err
		}
		if err := b.Delete(engine.Key(engine.ClassCount, border), nil); err != nil {
			return err
		}
	}
	if err := s.engine.Commit(b); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaves = merged
	s.leavesMoved()
	return nil
}
