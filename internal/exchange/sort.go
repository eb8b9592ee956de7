package exchange

import (
	"bufio"
	"bytes"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// sorter sorts records by key with bounded memory: runs that fit are sorted and
// written to temporary files, which are merged at the end. Stored versions come in
// the order of keys; etcd's file wants them in the order of revisions.
type sorter struct {
	dir   string
	limit int
	buf   []byte
	// index names the records in buf by offset.
	index []int
	runs  []*os.File
}

// runBytes is how much is sorted in memory at a time.
const runBytes = 32 << 20

func newSorter(dir string) *sorter { return &sorter{dir: dir, limit: runBytes} }

// add takes a copy of a record.
func (s *sorter) add(key, value []byte) error {
	if len(s.buf) > 0 && len(s.buf)+len(key)+len(value)+6 > s.limit {
		if err := s.spill(); err != nil {
			return err
		}
	}
	s.index = append(s.index, len(s.buf))
	s.buf = appendRecord(s.buf, key, value)
	return nil
}

// appendRecord appends the form that records have in memory and in run files:
// two lengths, then the bytes.
func appendRecord(b, key, value []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(key)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(value)))
	return append(append(b, key...), value...)
}

func (s *sorter) record(at int) (key, value []byte, whole []byte) {
	k := int(binary.BigEndian.Uint16(s.buf[at:]))
	v := int(binary.BigEndian.Uint32(s.buf[at+2:]))
	whole = s.buf[at : at+6+k+v]
	return whole[6 : 6+k], whole[6+k:], whole
}

func (s *sorter) sort() {
	slices.SortFunc(s.index, func(a, b int) int {
		x, _, _ := s.record(a)
		y, _, _ := s.record(b)
		return bytes.Compare(x, y)
	})
}

func (s *sorter) spill() error {
	s.sort()
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
	for _, at := range s.index {
		_, _, whole := s.record(at)
		if _, err := w.Write(whole); err != nil {
			return fmt.Errorf("exchange: sort: %w", err)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("exchange: sort: %w", err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("exchange: sort: %w", err)
	}
	s.buf, s.index = s.buf[:0], s.index[:0]
	return nil
}

// each calls f with all records in the order of their keys. The bytes are valid
// only during the call.
func (s *sorter) each(f func(key, value []byte) error) error {
	if len(s.runs) == 0 {
		s.sort()
		for _, at := range s.index {
			k, v, _ := s.record(at)
			if err := f(k, v); err != nil {
				return err
			}
		}
		return nil
	}
	if err := s.spill(); err != nil {
		return err
	}
	s.buf = nil
	var merge runHeap
	for _, r := range s.runs {
		run := &run{r: bufio.NewReaderSize(r, 256<<10)}
		if err := run.next(); err != nil {
			return err
		}
		merge = append(merge, run)
	}
	heap.Init(&merge)
	for len(merge) > 0 {
		top := merge[0]
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

func (s *sorter) close() {
	for _, r := range s.runs {
		r.Close()
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
	var lengths [6]byte
	if _, err := io.ReadFull(r.r, lengths[:]); errors.Is(err, io.EOF) {
		r.done = true
		return nil
	} else if err != nil {
		return fmt.Errorf("exchange: merge: %w", err)
	}
	k, v := int(binary.BigEndian.Uint16(lengths[:])), int(binary.BigEndian.Uint32(lengths[2:]))
	r.buf = slices.Grow(r.buf[:0], k+v)[:k+v]
	if _, err := io.ReadFull(r.r, r.buf); err != nil {
		return fmt.Errorf("exchange: merge: %w", err)
	}
	r.key, r.value = r.buf[:k], r.buf[k:]
	return nil
}

// runHeap orders runs by their present record; those at their end come first, to
// be dropped.
type runHeap []*run

func (h runHeap) Len() int      { return len(h) }
func (h runHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h runHeap) Less(i, j int) bool {
	if h[i].done || h[j].done {
		return h[i].done && !h[j].done
	}
	return bytes.Compare(h[i].key, h[j].key) < 0
}
func (h *runHeap) Push(x any) { *h = append(*h, x.(*run)) }
func (h *runHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
