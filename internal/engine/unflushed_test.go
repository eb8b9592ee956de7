package engine

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestWhatIsInFilesIsFoundThere changes versions at random while memtables are flushed, and holds
// what the files alone answer for keys that are said to be there against the whole store.
func TestWhatIsInFilesIsFoundThere(t *testing.T) {
	for name, ranges := range map[string]bool{"records one by one": false, "ranges too": true} {
		t.Run(name, func(t *testing.T) {
			e := openTest(t, vfs.NewMem(), "e")
			defer func() { must(t, e.Close()) }()
			rnd := rand.New(rand.NewPCG(1, 2))
			someKey := func() []byte { return fmt.Appendf(nil, "key-%04d", rnd.IntN(4000)) }
			inFiles, in, found := 0, 0, 0
			for main := range int64(4000) {
				b := e.NewBatch()
				for sub := range rnd.Int64N(4) {
					must(t, b.Set(AppendVersionKey(nil, someKey(), main, sub), bytes.Repeat([]byte{byte(main)}, 200), nil))
				}
				if rnd.IntN(4) == 0 {
					must(t, b.Delete(AppendVersionKey(nil, someKey(), rnd.Int64N(main+1), 0), nil))
				}
				if ranges && rnd.IntN(500) == 0 {
					from := someKey()
					must(t, b.DeleteRange(Key(ClassVersion, from), Key(ClassVersion, append(from, '~')), nil))
				}
				if rnd.IntN(100) == 0 {
					// Pebble keeps such a batch as a memtable of its own.
					for n := range int64(40) {
						must(t, b.Set(AppendVersionKey(nil, someKey(), main, 100+n), make([]byte, 2000), nil))
					}
				}
				must(t, e.Commit(b))
				if rnd.IntN(500) == 0 {
					must(t, e.StartFlush())
				}
				for range 4 {
					key := someKey()
					in++
					if !e.InFiles(Key(ClassVersion, key)) {
						continue
					}
					inFiles++
					want, got := newestOf(t, e, PointReads(), key), newestOf(t, e, FileReads(), key)
					if !bytes.Equal(got, want) {
						t.Fatalf("%s at %d: the files hold %.60q, the store %.60q", key, main, got, want)
					}
					if want != nil {
						found++
					}
				}
			}
			if e.flushes.Load() < 5 || found < in/20 || inFiles > in*19/20 {
				t.Errorf("%d flushes, %d of %d keys said to be in files, %d found: the test covers nothing", e.flushes.Load(), inFiles, in, found)
			}
			if n := len(e.current.Load().unflushed.stretches); n > memTablesWaiting+2 {
				t.Errorf("%d filters are kept", n)
			}
		})
	}
}

// newestOf is the stored key of a key's newest version and its value, nil if there is none.
func newestOf(t *testing.T, e *Engine, o *IterOptions, key []byte) []byte {
	it, err := e.NewIter(o)
	must(t, err)
	defer it.Close()
	if !it.SeekPrefixGE(Key(ClassVersion, key)) {
		must(t, it.Error())
		return nil
	}
	return append(bytes.Clone(it.Key()), it.Value()...)
}
