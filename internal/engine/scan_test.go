package engine

import (
	"bytes"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestScanLetsMemtablesGo scans while memtables are flushed, by a snapshot and without one:
// it shows each record once, those of its snapshot alone, and opens another iterator each time.
func TestScanLetsMemtablesGo(t *testing.T) {
	for name, asOf := range map[string]bool{"of a snapshot": true, "of the engine": false} {
		t.Run(name, func(t *testing.T) {
			flushed := make(chan struct{}, 100)
			e, err := Open("e", Options{FS: vfs.NewMem(), OnFlush: func() { flushed <- struct{}{} }})
			must(t, err)
			defer func() { must(t, e.Close()) }()
			const keys = 300
			flush := func() {
				must(t, e.Flush())
				<-flushed
			}
			key := func(n int) []byte { return Key(ClassMeta, []byte{byte(n >> 8), byte(n)}) }
			write := func(from, step int, value byte) {
				b := e.NewBatch()
				for n := from; n < keys; n += step {
					must(t, b.Set(key(n), bytes.Repeat([]byte{value}, 100), nil))
				}
				must(t, e.Commit(b))
				flush()
			}
			write(0, 3, 'a')
			src := Reader(e)
			if asOf {
				snapshot := e.NewSnapshot()
				defer func() { must(t, snapshot.Close()) }()
				src = snapshot
			}
			s, err := NewScan(src, &IterOptions{LowerBound: ClassStart(ClassMeta), UpperBound: ClassEnd(ClassMeta)})
			must(t, err)
			defer func() { must(t, s.Close()) }()

			seen := 0
			for ok := s.First(); ok; ok = s.Next() {
				at := seen
				if asOf {
					at *= 3
				}
				if !bytes.Equal(s.Key(), key(at)) || asOf && s.Value()[0] != 'a' {
					t.Fatalf("record %d: %x with %.3q, want %x", seen, s.Key(), s.Value(), key(at))
				}
				if seen == 0 || seen == 50 {
					write(1, 3, 'b')
					write(2, 3, 'c')
				}
				if seen++; seen%10 == 5 {
					// What is rewritten before the scan is where it stands is no business of its.
					b := e.NewBatch()
					must(t, b.Delete(key(0), nil))
					must(t, e.Commit(b))
					flush()
				}
				if seen%10 == 6 && s.opened != s.from.flushes.Load() {
					t.Fatalf("after %d records and %d flushes the scan has the iterator of %d", seen, s.from.flushes.Load(), s.opened)
				}
			}
			must(t, s.Error())
			if want := map[bool]int{true: keys / 3, false: keys}[asOf]; seen != want {
				t.Errorf("%d records seen, want %d", seen, want)
			}
		})
	}
}

// TestScanOfAReplacedStore goes on with what it began with.
func TestScanOfAReplacedStore(t *testing.T) {
	const keys = 300
	fs := vfs.NewMem()
	e := openTest(t, fs, "0")
	defer func() { must(t, e.Close()) }()
	fill(t, e, keys, 1)
	s, err := NewScan(e, &IterOptions{LowerBound: ClassStart(ClassMeta), UpperBound: ClassEnd(ClassMeta)})
	must(t, err)
	n := 0
	for ok := s.First(); ok; ok = s.Next() {
		if s.Value()[7] != 1 {
			t.Fatalf("record %d is of the new store", n)
		}
		if n++; n == 10 {
			must(t, e.Flush())
		}
		if n == 20 {
			checkpointOf(t, fs, "1", keys, 2)
			next, err := e.OpenNext("1")
			must(t, err)
			fill(t, e, keys, 1)
			must(t, e.Flush())
			e.Adopt(next)
		}
	}
	must(t, s.Error())
	must(t, s.Close())
	if n != keys {
		t.Errorf("%d records of %d", n, keys)
	}
}
