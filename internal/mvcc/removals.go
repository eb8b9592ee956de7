package mvcc

import (
	"bytes"
	"slices"

	"bowline/internal/engine"
)

// removals are the records that a compaction has found obsolete and not removed yet. They
// are found in the order of changes, and removed in that of keys: one by one, each would
// have its own way through a memtable, while thousands in their order are a table already.
type removals struct {
	revisions []Revision
	versions  sorter
	// keys has the stored keys of versions, one behind the other.
	keys []byte
}

// keySpan is where a key is. It is no pointer, of which there would be many to follow.
type keySpan struct{ begin, end uint32 }

func newRemovals() *removals {
	r := &removals{}
	// The engine orders nearly so; it is left to it to put in their place the few keys
	// that hold zeros.
	r.versions.compare = func(a, b keySpan) int { return bytes.Compare(r.key(a), r.key(b)) }
	return r
}

func (r *removals) add(key []byte, rev Revision) {
	begin := len(r.keys)
	r.keys = engine.AppendVersionKey(r.keys, key, rev.Main, rev.Sub)
	r.versions.add(keySpan{uint32(begin), uint32(len(r.keys))})
	r.revisions = append(r.revisions, rev)
}

func (r *removals) count() int { return len(r.revisions) }

func (r *removals) key(s keySpan) []byte { return r.keys[s.begin:s.end] }

// size is how many bytes the stored keys of all records take.
func (r *removals) size() int { return len(r.keys) + r.count()*revisionKeyBytes }

// reset forgets everything.
func (r *removals) reset() {
	r.versions.reset()
	r.keys, r.revisions = r.keys[:0], r.revisions[:0]
}

// revisionKeyBytes is how long the stored key of a revision record is.
const revisionKeyBytes = 14

// sortRevisions sorts byte by byte, as often as there are bytes in which revisions differ: for
// some ten thousands of them that is done in a millisecond.
func sortRevisions(revs []Revision) {
	var differ Revision
	for _, r := range revs {
		differ.Main |= r.Main ^ revs[0].Main
		differ.Sub |= r.Sub ^ revs[0].Sub
	}
	from, to := revs, make([]Revision, len(revs))
	pass := func(digit func(Revision) byte) {
		var ends [256]int
		for _, r := range from {
			ends[digit(r)]++
		}
		for i := 1; i < len(ends); i++ {
			ends[i] += ends[i-1]
		}
		for i := len(from) - 1; i >= 0; i-- {
			d := digit(from[i])
			ends[d]--
			to[ends[d]] = from[i]
		}
		from, to = to, from
	}
	for bits := 0; differ.Sub>>bits != 0; bits += 8 {
		pass(func(r Revision) byte { return byte(r.Sub >> bits) })
	}
	for bits := 0; differ.Main>>bits != 0; bits += 8 {
		pass(func(r Revision) byte { return byte(r.Main >> bits) })
	}
	copy(revs, from)
}

// sorter sorts keys in small parts, so that whoever sorts can rest between them.
type sorter struct {
	compare func(a, b keySpan) int
	// fresh are in no order; runs are in theirs, each longer than those behind it.
	fresh []keySpan
	runs  [][]keySpan
}

func (s *sorter) add(x keySpan) { s.fresh = append(s.fresh, x) }

// settle makes a run of what was added, and merges runs that are not longer than those behind
// them.
func (s *sorter) settle(pause func() error) error {
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
func (s *sorter) all(pause func() error) ([]keySpan, error) {
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
func (s *sorter) mergeLast(pause func() error) error {
	n := len(s.runs)
	a, b := s.runs[n-2], s.runs[n-1]
	merged := make([]keySpan, 0, len(a)+len(b))
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

func (s *sorter) reset() { s.fresh, s.runs = s.fresh[:0], nil }
