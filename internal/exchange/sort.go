package exchange

import (
	"bufio"
	"bytes"
	"cmp"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
)

// sorter sorts records by key with bounded memory: runs that fit are sorted and
// written to temporary files, which are merged at the end. Stored versions come in
// the order of keys; etcd's file wants them in the order of revisions.
type sorter struct {
	dir   string
	limit int
	// by is what of a record is compared first, before keys are; nil means keys alone.
	by func(key, value []byte) []byte
	// pause, if not nil, is told of each piece of work, in about as many bytes, and may wait: to sort and to write
	// a run takes tens of milliseconds.
	pause func(bytes int) error
	buf   []byte
	index []indexed
	runs  []*os.File
}

// indexed names a record in the buffer by its offset. head, known from when it is sorted
// on, decides most comparisons without a look at the record, which would be a cache miss:
// it is what follows in it behind what all have in common, as a number.
type indexed struct {
	head uint64
	at   int
}

const (
	// runBytes is how much is sorted in memory at a time.
	runBytes = 32 << 20
	// bufferGrowth is by how much the memory grows until it has that size: what it was before
	// is garbage.
	bufferGrowth = 7
	// maxRuns is how many files are merged at once. When there are more, they become
	// one first.
	maxRuns = 128
	// mergeBuffer is how much is read of a run at a time.
	mergeBuffer = 128 << 10
	// recordHead are the two lengths before a record.
	recordHead = 8
	// comparisonBytes is what a comparison counts as work.
	comparisonBytes = 32
)

func newSorter(dir string) *sorter { return &sorter{dir: dir, limit: runBytes} }

// add takes a copy of a record.
func (s *sorter) add(key, value []byte) error {
	if len(s.buf) > 0 && len(s.buf)+len(key)+len(value)+recordHead > s.limit {
		if err := s.spill(); err != nil {
			return err
		}
	}
	if size := recordHead + len(key) + len(value); cap(s.buf)-len(s.buf) < size {
		s.buf = slices.Grow(s.buf, max(size, min(bufferGrowth*len(s.buf), s.limit-len(s.buf))))
	}
	s.index = append(s.index, indexed{at: len(s.buf)})
	s.buf = appendRecord(s.buf, key, value)
	return nil
}

// appendRecord appends the form that records have in memory and in run files:
// two lengths, then the bytes.
func appendRecord(b, key, value []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(key)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(value)))
	return append(append(b, key...), value...)
}

func (s *sorter) record(at int) (key, value []byte, whole []byte) {
	k := int(binary.BigEndian.Uint32(s.buf[at:]))
	v := int(binary.BigEndian.Uint32(s.buf[at+4:]))
	whole = s.buf[at : at+recordHead+k+v]
	return whole[recordHead : recordHead+k], whole[recordHead+k:], whole
}

func (s *sorter) rest(bytes int) error {
	if s.pause == nil {
		return nil
	}
	return s.pause(bytes)
}

func (s *sorter) sort() (err error) {
	s.setHeads()
	slices.SortFunc(s.index, func(a, b indexed) int {
		if err == nil {
			err = s.rest(comparisonBytes)
		}
		if c := cmp.Compare(a.head, b.head); c != 0 {
			return c
		}
		x, v, _ := s.record(a.at)
		y, w, _ := s.record(b.at)
		return s.order(x, v, y, w)
	})
	return err
}

// setHeads finds what all records begin with, and then their heads. One that ends in its
// head is filled up with zeros: it sorts before or with what goes on there.
func (s *sorter) setHeads() {
	var common []byte
	for i, e := range s.index {
		k, v, _ := s.record(e.at)
		first := s.first(k, v)
		if i == 0 {
			common = first
		}
		n := 0
		for n < min(len(common), len(first)) && common[n] == first[n] {
			n++
		}
		common = common[:n]
	}
	for i := range s.index {
		k, v, _ := s.record(s.index[i].at)
		var head [8]byte
		copy(head[:], s.first(k, v)[len(common):])
		s.index[i].head = binary.BigEndian.Uint64(head[:])
	}
}

// first is what is compared first.
func (s *sorter) first(key, value []byte) []byte {
	if s.by != nil {
		return s.by(key, value)
	}
	return key
}

func (s *sorter) order(aKey, aValue, bKey, bValue []byte) int {
	if c := bytes.Compare(s.first(aKey, aValue), s.first(bKey, bValue)); c != 0 || s.by == nil {
		return c
	}
	return bytes.Compare(aKey, bKey)
}

// spill writes what is in memory to a run of its own.
func (s *sorter) spill() error {
	if err := s.sort(); err != nil {
		return err
	}
	err := s.writeRun(func(w *bufio.Writer) error {
		for _, e := range s.index {
			_, _, whole := s.record(e.at)
			if _, err := w.Write(whole); err != nil {
				return err
			}
			if err := s.rest(len(whole)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.buf, s.index = s.buf[:0], s.index[:0]
	if len(s.runs) < maxRuns {
		return nil
	}
	return s.collapse()
}

// collapse merges all runs to one.
func (s *sorter) collapse() error {
	old := s.runs
	s.runs = nil
	defer closeAll(old)
	var b []byte
	return s.writeRun(func(w *bufio.Writer) error {
		return s.merge(old, func(key, value []byte) error {
			b = appendRecord(b[:0], key, value)
			if _, err := w.Write(b); err != nil {
				return err
			}
			return s.rest(len(b))
		})
	})
}

// writeRun adds a run that fill writes.
func (s *sorter) writeRun(fill func(*bufio.Writer) error) error {
	f, err := os.CreateTemp(s.dir, "run-")
	if err != nil {
		return fmt.Errorf("exchange: sort: %w", err)
	}
	s.runs = append(s.runs, f)
	// The file goes with its descriptor, whatever happens to us.
	if err := os.Remove(f.Name()); err != nil {
		return fmt.Errorf("exchange: sort: %w", err)
	}
	w := bufio.NewWriterSize(f, 256<<10)
	if err := fill(w); err != nil {
		return fmt.Errorf("exchange: sort: %w", err)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("exchange: sort: %w", err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("exchange: sort: %w", err)
	}
	return nil
}

// each calls f with all records in the order of their keys. The bytes are valid
// only during the call.
func (s *sorter) each(f func(key, value []byte) error) error {
	if len(s.runs) == 0 {
		if err := s.sort(); err != nil {
			return err
		}
		for _, e := range s.index {
			k, v, _ := s.record(e.at)
			if err := f(k, v); err != nil {
				return err
			}
		}
		return nil
	}
	if err := s.spill(); err != nil {
		return err
	}
	s.buf, s.index = nil, nil
	return s.merge(s.runs, f)
}

// merge calls f with the records of all runs, in order.
func (s *sorter) merge(runs []*os.File, f func(key, value []byte) error) error {
	merge := runHeap{order: s.order}
	for _, r := range runs {
		run := &run{r: bufio.NewReaderSize(r, mergeBuffer)}
		if err := run.next(); err != nil {
			return err
		}
		merge.runs = append(merge.runs, run)
	}
	heap.Init(&merge)
	for len(merge.runs) > 0 {
		top := merge.runs[0]
		if top.done {
			heap.Pop(&merge)
			continue
		}
		if err := f(top.key, top.value); err != nil {
			return err
		}
		if err := top.next(); err != nil {
			return err
		}
		heap.Fix(&merge, 0)
	}
	return nil
}

// close gives everything back. It may be called more than once.
func (s *sorter) close() {
	closeAll(s.runs)
	s.runs, s.buf, s.index = nil, nil, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// run is a sorted run that is being merged.
type run struct {
	r          *bufio.Reader
	buf        []byte
	key, value []byte
	done       bool
}

func (r *run) next() error {
	var lengths [recordHead]byte
	if _, err := io.ReadFull(r.r, lengths[:]); errors.Is(err, io.EOF) {
		r.done = true
		return nil
	} else if err != nil {
		return fmt.Errorf("exchange: merge: %w", err)
	}
	k, v := int(binary.BigEndian.Uint32(lengths[:])), int(binary.BigEndian.Uint32(lengths[4:]))
	r.buf = slices.Grow(r.buf[:0], k+v)[:k+v]
	if _, err := io.ReadFull(r.r, r.buf); err != nil {
		return fmt.Errorf("exchange: merge: %w", err)
	}
	r.key, r.value = r.buf[:k], r.buf[k:]
	return nil
}

// runHeap orders runs by their present record; those at their end come first, to
// be dropped.
type runHeap struct {
	runs  []*run
	order func(aKey, aValue, bKey, bValue []byte) int
}

func (h *runHeap) Len() int      { return len(h.runs) }
func (h *runHeap) Swap(i, j int) { h.runs[i], h.runs[j] = h.runs[j], h.runs[i] }
func (h *runHeap) Less(i, j int) bool {
	a, b := h.runs[i], h.runs[j]
	if a.done || b.done {
		return a.done && !b.done
	}
	return h.order(a.key, a.value, b.key, b.value) < 0
}
func (h *runHeap) Push(x any) { h.runs = append(h.runs, x.(*run)) }
func (h *runHeap) Pop() any {
	last := h.runs[len(h.runs)-1]
	h.runs = h.runs[:len(h.runs)-1]
	return last
}

// pull turns a sorter's records into calls of next, which returns the keys in order,
// and nil at the end.
func pull(s *sorter) (next func() ([]byte, error), stop func()) {
	var failure error
	nextKey, stop := iter.Pull(func(yield func([]byte) bool) {
		failure = s.each(func(key, _ []byte) error {
			if !yield(key) {
				return errStopped
			}
			return nil
		})
	})
	return func() ([]byte, error) {
		key, ok := nextKey()
		if !ok {
			return nil, failure
		}
		return key, nil
	}, stop
}

// errStopped ends the reading of records that nobody wants any more.
var errStopped = errors.New("exchange: stopped")
