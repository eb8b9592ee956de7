package mvcc

import (
	"bytes"
	"cmp"
	"slices"

	"bowline/internal/engine"
)

// removals are the records that a compaction has found obsolete and not removed yet. They
// are found in the order of changes, and removed in that of keys: one by one, each would
// have its own way through a memtable, while thousands in their order are a table already.
type removals struct {
	revisions sorter[Revision]
	versions  sorter[keySpan]
	// keys has the stored keys of versions, one behind the other.
	keys  []byte
	count int
}

// keySpan is where a key is. It is no pointer, of which there would be many to follow.
type keySpan struct{ begin, end uint32 }

func newRemovals() *removals {
	r := &removals{}
	r.revisions.compare = compareRevisions
	// The engine orders nearly so; it is left to it to put in their place the few keys
	// that hold zeros.
	r.versions.compare = func(a, b keySpan) int { return bytes.Compare(r.key(a), r.key(b)) }
	return r
}

func compareRevisions(a, b Revision) int {
	return cmp.Or(cmp.Compare(a.Main, b.Main), cmp.Compare(a.Sub, b.Sub))
}

func (r *removals) add(key []byte, rev Revision) {
	begin := len(r.keys)
	r.keys = engine.AppendVersionKey(r.keys, key, rev.Main, rev.Sub)
	r.versions.add(keySpan{uint32(begin), uint32(len(r.keys))})
	r.revisions.add(rev)
	r.count++
}

func (r *removals) key(s keySpan) []byte { return r.keys[s.begin:s.end] }

// settle does what sorting can be done now.
func (r *removals) settle(pause func() error) error {
	if err := r.revisions.settle(pause); err != nil {
		return err
	}
	return r.versions.settle(pause)
}

// size is how many bytes the stored keys of all records take.
func (r *removals) size() int { return len(r.keys) + r.count*revisionKeyBytes }

// each calls f with the stored key of each record, in their order. It is valid until the
// next call.
func (r *removals) each(pause func() error, f func(stored []byte) error) error {
	revisions, err := r.revisions.all(pause)
	if err != nil {
		return err
	}
	versions, err := r.versions.all(pause)
	if err != nil {
		return err
	}
	key := make([]byte, 0, revisionKeyBytes)
	for _, rev := range revisions {
		if err := f(engine.AppendRevisionKey(key, rev.Main, rev.Sub)); err != nil {
			return err
		}
	}
	for _, span := range versions {
		if err := f(r.key(span)); err != nil {
			return err
		}
	}
	return nil
}

// reset forgets everything.
func (r *removals) reset() {
	r.revisions.reset()
	r.versions.reset()
	r.keys, r.count = r.keys[:0], 0
}

// revisionKeyBytes is how long the stored key of a revision record is.
const revisionKeyBytes = 14

// sorter sorts in small parts, so that whoever sorts can rest between them.
type sorter[T any] struct {
	compare func(a, b T) int
	// fresh are in no order; runs are in theirs, each longer than those behind it.
	fresh []T
	runs  [][]T
}

func (s *sorter[T]) add(x T) { s.fresh = append(s.fresh, x) }

// settle makes a run of what was added, and merges runs that are not longer than those behind
// them.
func (s *sorter[T]) settle(pause func() error) error {
	if len(s.fresh) > 0 {
		slices.SortFunc(s.fresh, s.compare)
		s.runs = append(s.runs, slices.Clone(s.fresh))
		s.fresh = s.fresh[:0]
	}
	for n := len(s.runs); n > 1 && len(s.runs[n-2]) <= len(s.runs[n-1]); n-- {
		if err := s.mergeLast(pause); err != nil {
			return err
		}
	}
	return nil
}

// all returns everything in its order.
func (s *sorter[T]) all(pause func() error) ([]T, error) {
	if err := s.settle(pause); err != nil {
		return nil, err
	}
	for len(s.runs) > 1 {
		if err := s.mergeLast(pause); err != nil {
			return nil, err
		}
	}
	if len(s.runs) == 0 {
		return nil, nil
	}
	return s.runs[0], nil
}

// mergeLast makes one run of the last two.
func (s *sorter[T]) mergeLast(pause func() error) error {
	n := len(s.runs)
	a, b := s.runs[n-2], s.runs[n-1]
	merged := make([]T, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if s.compare(a[0], b[0]) <= 0 {
			merged, a = append(merged, a[0]), a[1:]
		} else {
			merged, b = append(merged, b[0]), b[1:]
		}
		if len(merged)%removalsPerPause == 0 {
			if err := pause(); err != nil {
				return err
			}
		}
	}
	s.runs = append(s.runs[:n-2], append(append(merged, a...), b...))
	return nil
}

func (s *sorter[T]) reset() { s.fresh, s.runs = s.fresh[:0], nil }
