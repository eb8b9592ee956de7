package mvcc

import (
	"bytes"
	"slices"
	"sort"
)

// Spans is a set of ranges of keys, for checks of transactions: they may hold a
// hundred thousand operations, so neither adding nor asking may look at all. The
// zero value is empty.
type Spans struct {
	// runs are sorted by key; each is less than half as long as the one before.
	runs [][]span
}

// span is the keys from key to before end; an end of nil means no end.
type span struct {
	key, end []byte
	// reach is the furthest end in the run up to here.
	reach []byte
}

// Add adds the keys from key to before end; an end of nil means no end.
func (s *Spans) Add(key, end []byte) {
	if end != nil && bytes.Compare(end, key) <= 0 {
		return
	}
	run := []span{{key: key, end: end, reach: end}}
	for n := len(s.runs); n > 0 && len(s.runs[n-1]) <= 2*len(run); n-- {
		run = merge(s.runs[n-1], run)
		s.runs = s.runs[:n-1]
	}
	s.runs = append(s.runs, run)
}

// AddAll adds all of o's ranges.
func (s *Spans) AddAll(o *Spans) {
	for _, run := range o.runs {
		for _, x := range run {
			s.Add(x.key, x.end)
		}
	}
}

// Covers tells whether key is in the set.
func (s *Spans) Covers(key []byte) bool {
	return slices.ContainsFunc(s.runs, func(run []span) bool {
		i := sort.Search(len(run), func(i int) bool { return bytes.Compare(run[i].key, key) > 0 })
		return i > 0 && (run[i-1].reach == nil || bytes.Compare(key, run[i-1].reach) < 0)
	})
}

func merge(a, b []span) []span {
	run := make([]span, 0, len(a)+len(b))
	for len(a) > 0 || len(b) > 0 {
		if len(b) == 0 || len(a) > 0 && bytes.Compare(a[0].key, b[0].key) <= 0 {
			run, a = append(run, a[0]), a[1:]
		} else {
			run, b = append(run, b[0]), b[1:]
		}
	}
	for i := range run {
		x := &run[i]
		x.reach = x.end
		if i > 0 && x.reach != nil && (run[i-1].reach == nil || bytes.Compare(run[i-1].reach, x.reach) > 0) {
			x.reach = run[i-1].reach
		}
	}
	return run
}
