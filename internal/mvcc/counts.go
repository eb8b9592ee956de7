package mvcc

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"sort"

	"bowline/internal/engine"
)

// leafKeys is the number of live keys at which a count leaf is split. A count
// walks at most two leaves.
const leafKeys = 512

// leaves partitions the live keys: leaf i holds those from borders[i] to before
// borders[i+1]. The first border is empty, so every key has a leaf.
type leaves struct {
	borders [][]byte
	counts  []int64
}

func newLeaves() leaves {
	return leaves{borders: [][]byte{{}}, counts: []int64{0}}
}

// find returns the leaf that key belongs to.
func (l *leaves) find(key []byte) int {
	return sort.Search(len(l.borders), func(i int) bool { return bytes.Compare(l.borders[i], key) > 0 }) - 1
}

// edge is a part of a leaf that has to be walked: keys in [start, end), an end
// of nil meaning no end. first tells that it begins where the leaf does.
type edge struct {
	start, end []byte
	first      bool
}

// sum adds up the leaves that lie wholly in [start, end) and names the at most
// two parts that are left to walk. An end of nil means no end.
func (l *leaves) sum(start, end []byte) (total int64, edges []edge) {
	first := l.find(start)
	last := len(l.borders) - 1
	if end != nil {
		// The leaf that holds the last key before end.
		last = sort.Search(len(l.borders), func(i int) bool { return bytes.Compare(l.borders[i], end) >= 0 }) - 1
	}
	whole := func(i int) bool {
		startsIn := bytes.Compare(l.borders[i], start) >= 0
		endsIn := end == nil || i+1 < len(l.borders) && bytes.Compare(l.borders[i+1], end) <= 0
		return startsIn && endsIn
	}
	for i := first; i <= last; i++ {
		if i > first && i < last || whole(i) {
			total += l.counts[i]
			continue
		}
		if l.counts[i] == 0 {
			continue
		}
		e := edge{start: start, end: end}
		if bytes.Compare(l.borders[i], start) >= 0 {
			e.start, e.first = l.borders[i], true
		}
		if i+1 < len(l.borders) && (end == nil || bytes.Compare(l.borders[i+1], end) < 0) {
			e.end = l.borders[i+1]
		}
		edges = append(edges, e)
	}
	return total, edges
}

func (l *leaves) total() int64 {
	var n int64
	for _, c := range l.counts {
		n += c
	}
	return n
}

// insert adds an empty leaf that begins at border.
func (l *leaves) insert(i int, border []byte, count int64) {
	l.borders = slices.Insert(l.borders, i, border)
	l.counts = slices.Insert(l.counts, i, count)
}

func appendCount(n int64) []byte { return binary.AppendUvarint(nil, uint64(n)) }

// loadLeaves reads the count records.
func loadLeaves(src engine.Reader) (leaves, error) {
	it, err := src.NewIter(&engine.IterOptions{
		LowerBound: engine.ClassStart(engine.ClassCount), UpperBound: engine.ClassEnd(engine.ClassCount),
	})
	if err != nil {
		return leaves{}, fmt.Errorf("mvcc: read count records: %w", err)
	}
	defer it.Close()
	var l leaves
	for ok := it.First(); ok; ok = it.Next() {
		n, used := binary.Uvarint(it.Value())
		if used <= 0 {
			return leaves{}, fmt.Errorf("mvcc: damaged count record %x", it.Key())
		}
		l.borders = append(l.borders, slices.Clone(engine.Body(it.Key())))
		l.counts = append(l.counts, int64(n))
	}
	if err := it.Error(); err != nil {
		return leaves{}, fmt.Errorf("mvcc: read count records: %w", err)
	}
	if len(l.borders) == 0 {
		return newLeaves(), nil
	}
	if len(l.borders[0]) != 0 {
		return leaves{}, fmt.Errorf("mvcc: the first count record begins at %q, not at the empty key", l.borders[0])
	}
	return l, nil
}
