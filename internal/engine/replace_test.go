package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func openTest(t testing.TB, fs vfs.FS, dir string) *Engine {
	t.Helper()
	e, err := Open(dir, Options{FS: fs, CacheBytes: 1 << 20, MemTableBytes: 64 << 10})
	must(t, err)
	return e
}

// fill writes n keys that all hold the same number, as one batch.
func fill(t testing.TB, e *Engine, n int, number uint64) {
	t.Helper()
	b := e.NewBatch()
	for i := range n {
		must(t, b.Set(Key(ClassMeta, fmt.Appendf(nil, "k%d", i)), binary.BigEndian.AppendUint64(nil, number), nil))
	}
	must(t, e.Commit(b))
}

// readAll walks all keys and returns the number that they hold.
func readAll(r Reader, keys int) (uint64, error) {
	it, err := r.NewIter(&IterOptions{LowerBound: ClassStart(ClassMeta), UpperBound: ClassEnd(ClassMeta)})
	if err != nil {
		return 0, err
	}
	defer it.Close()
	return sameNumber(it, keys)
}

// scanAll is readAll by a scan.
func scanAll(s *Snapshot, keys int) (uint64, error) {
	it, err := NewScan(s, &IterOptions{LowerBound: ClassStart(ClassMeta), UpperBound: ClassEnd(ClassMeta)})
	if err != nil {
		return 0, err
	}
	defer it.Close()
	return sameNumber(it, keys)
}

func sameNumber(it interface {
	First() bool
	Next() bool
	Value() []byte
	Error() error
}, keys int) (uint64, error) {
	n, number := 0, uint64(0)
	for ok := it.First(); ok; ok = it.Next() {
		v := binary.BigEndian.Uint64(it.Value())
		if n > 0 && v != number {
			return 0, fmt.Errorf("a mixture of %d and %d", number, v)
		}
		number = v
		n++
	}
	if n != keys {
		return 0, fmt.Errorf("%d keys, want %d", n, keys)
	}
	return number, it.Error()
}

// checkpointOf makes a directory with a store whose keys hold number.
func checkpointOf(t testing.TB, fs vfs.FS, dir string, keys int, number uint64) {
	t.Helper()
	e := openTest(t, fs, dir+"-source")
	fill(t, e, keys, number)
	must(t, e.Flush())
	must(t, e.Checkpoint(dir))
	must(t, e.Close())
}

// readOn reads in all ways until stop is closed. What it reads never goes back.
func readOn(t *testing.T, e *Engine, keys int, stop <-chan struct{}) {
	last := uint64(0)
	for {
		select {
		case <-stop:
			return
		default:
		}
		number, err := readAll(e, keys)
		if err != nil || number < last {
			t.Errorf("read %d after %d: %v", number, last, err)
			return
		}
		last = number
		s := e.NewSnapshot()
		if number, err = readAll(s, keys); err != nil || number < last {
			t.Errorf("snapshot of %d after %d: %v", number, last, err)
		}
		if again, err := scanAll(s, keys); err != nil || again != number {
			t.Errorf("scan of %d, the snapshot has %d: %v", again, number, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		v, err := e.Get(Key(ClassMeta, []byte("k1")))
		if err != nil || binary.BigEndian.Uint64(v) < last {
			t.Errorf("get %x after %d: %v", v, last, err)
		}
		_, _ = e.Size(), e.Figures()
	}
}

// TestReplaceUnderReaders exchanges the store again and again while others read
// it, flush it and look at its figures: each reader sees one whole store, never an
// older one than before, and each replaced store is closed and removed.
func TestReplaceUnderReaders(t *testing.T) {
	const keys, rounds = 300, 12
	fs := vfs.NewMem()
	e := openTest(t, fs, "0")
	fill(t, e, keys, 0)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() { readOn(t, e, keys, stop) })
	}
	readers.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if err := e.Flush(); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	old, err := e.NewIter(&IterOptions{LowerBound: ClassStart(ClassMeta)})
	must(t, err)
	for i := 1; i <= rounds; i++ {
		dir := fmt.Sprint(i)
		checkpointOf(t, fs, dir, keys, uint64(2*i))
		next, err := e.OpenNext(dir)
		must(t, err)
		e.Adopt(next)
		fill(t, e, keys, uint64(2*i+1)) // and it can be written
	}
	close(stop)
	readers.Wait()
	// Who began to read the first store still does.
	n := 0
	for ok := old.First(); ok; ok = old.Next() {
		if v := binary.BigEndian.Uint64(old.Value()); v != 0 {
			t.Fatalf("the first store holds %d", v)
		}
		n++
	}
	if n != keys {
		t.Errorf("%d keys in the first store", n)
	}
	if _, err := fs.Stat("0"); err != nil {
		t.Errorf("the first store was removed under its reader: %v", err)
	}
	must(t, old.Close())
	must(t, e.Close())
	for i := range rounds {
		if _, err := fs.Stat(fmt.Sprint(i)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("store %d is left: %v", i, err)
		}
	}
	e = openTest(t, fs, fmt.Sprint(rounds))
	if number, err := readAll(e, keys); err != nil || number != 2*rounds+1 {
		t.Errorf("reopened: %d, %v", number, err)
	}
	must(t, e.Close())
}

// TestOpenNextThatIsNotAdopted leaves the engine as it is.
func TestOpenNextThatIsNotAdopted(t *testing.T) {
	fs := vfs.NewMem()
	e := openTest(t, fs, "a")
	fill(t, e, 10, 1)
	checkpointOf(t, fs, "b", 10, 2)
	next, err := e.OpenNext("b")
	must(t, err)
	must(t, next.Close())
	if number, err := readAll(e, 10); err != nil || number != 1 {
		t.Errorf("%d, %v", number, err)
	}
	checkpointOf(t, fs, "c", 10, 2)
	names, err := fs.List("c")
	must(t, err)
	for _, n := range names {
		if len(n) > 8 && n[:8] == "MANIFEST" {
			must(t, fs.Remove("c/"+n))
		}
	}
	if _, err := e.OpenNext("c"); err == nil {
		t.Error("a store without its manifest was opened")
	}
	fill(t, e, 10, 3)
	must(t, e.Close())
}

func BenchmarkPointRead(b *testing.B) {
	e := openTest(b, vfs.NewMem(), "db")
	fill(b, e, 1000, 1)
	must(b, e.Flush())
	key := Key(ClassMeta, []byte("k500"))
	b.ReportAllocs()
	for b.Loop() {
		it, err := e.NewIter(PointReads())
		if err != nil {
			b.Fatal(err)
		}
		if !it.SeekPrefixGE(key) {
			b.Fatal("not found")
		}
		it.Close()
	}
	must(b, e.Close())
}
