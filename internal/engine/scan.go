package engine

import (
	"bytes"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"
)

// Scan walks stored keys forward, for however long that takes. An Iterator keeps the
// memtables that were there when it was opened, and what memtables take is taken from the
// cache of blocks: one that stays open while clients write leaves the cache with nothing. So
// a Scan opens another iterator, at its place, when memtables have been flushed.
//
// Over a Snapshot it shows one state; over the engine each record as it was at some
// time during the scan, of the store that was current when it began. One goroutine uses it.
type Scan struct {
	Iterator
	src     Reader
	options *IterOptions
	// opened is how many flushes had ended when the iterator was opened.
	opened int64
	place  []byte
	err    error
}

// neverAgain is for scans whose iterator stays.
const neverAgain = math.MaxInt64

// NewScan begins a scan of src.
func NewScan(src Reader, o *IterOptions) (*Scan, error) {
	s := &Scan{src: src, options: o}
	if err := s.open(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Scan) open() (err error) {
	s.Iterator, err = s.src.NewIter(s.options)
	s.opened = neverAgain
	if s.from != nil {
		s.opened = s.from.flushes.Load()
	}
	return err
}

// Next moves to the next record, and tells whether there is one.
func (s *Scan) Next() bool {
	if s.opened == neverAgain || !s.Valid() || s.opened == s.from.flushes.Load() {
		return s.Iterator.Next()
	}
	s.place = append(s.place[:0], s.Key()...)
	before := s.Iterator
	if err := s.open(); err != nil || s.from != before.from {
		// The store was replaced: what is left of the old one is read to its end.
		if err == nil {
			s.err = s.Iterator.Close()
		}
		s.Iterator, s.opened = before, neverAgain
		return s.Iterator.Next()
	}
	if s.err = before.Close(); s.err != nil {
		return false
	}
	ok := s.SeekGE(s.place)
	if ok && bytes.Equal(s.Key(), s.place) {
		ok = s.Iterator.Next()
	}
	return ok
}

// Close ends the scan.
func (s *Scan) Close() error { return s.Iterator.Close() }

// Error tells why the scan has ended; nil if there is nothing more to read.
func (s *Scan) Error() error {
	if s.err != nil {
		return s.err
	}
	return s.Iterator.Error()
}

// NewRemoval returns an empty batch for Remove, with room for so many bytes of keys.
func (s *Scan) NewRemoval(bytes int) *Batch { return s.from.db.NewBatchWithSize(bytes + bytes/8) }

// Remove deletes records, of the store that the scan reads, that nobody looks for any
// more: beside the writer, who is not told (FileReads may find them until the next flush).
// Otherwise it is as Commit, and b is closed in any case.
func (s *Scan) Remove(b *Batch) error {
	defer b.Close()
	h := s.from
	if h.retired.Load() == nil {
		if err := h.owner.Load().failed(); err != nil {
			return err
		}
	}
	h.pending.Add(int64(b.Len()))
	if err := h.db.Apply(b, pebble.NoSync); err != nil {
		return fmt.Errorf("engine: commit removals: %w", err)
	}
	return nil
}

// KeepsWhole tells that a batch of so many changes with keys and values of so many bytes would
// not be inserted into a memtable, but stand beside those until it is flushed.
func (s *Scan) KeepsWhole(changes, bytes int) bool {
	const leastNode = 100 // is less than Pebble reckons for a change
	return int64(changes*leastNode+bytes) >= s.from.owner.Load().options.MemTableBytes/2
}
