package engine

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// slowFile takes a while for each write, as encoding what is written does.
type slowFile struct{ vfs.File }

func (slowFile) Write(b []byte) (int, error) {
	<-time.After(time.Millisecond)
	return len(b), nil
}

// TestRewritingRestsWhileClientsWrite measures ten writes of a millisecond each.
func TestRewritingRestsWhileClientsWrite(t *testing.T) {
	for name, c := range map[string]struct {
		busy bool
		debt uint64
		took time.Duration
	}{
		"nobody writes":            {false, 0, 10 * time.Millisecond},
		"clients write":            {true, 0, (1 + rewriteRest) * 10 * time.Millisecond},
		"too much is left to do":   {true, maxDebt + 1, 10 * time.Millisecond},
		"as much as may be left":   {true, maxDebt, (1 + rewriteRest) * 10 * time.Millisecond},
		"a debt that nobody feels": {false, maxDebt, 10 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &pace{debt: func() uint64 { return c.debt }}
				if c.busy {
					p.wrote.Store(time.Now().UnixNano())
				}
				f := &restingFile{File: slowFile{}, pace: p, since: time.Now()}
				began := time.Now()
				for range 10 {
					if _, err := f.Write([]byte("block")); err != nil {
						t.Fatal(err)
					}
				}
				if took := time.Since(began); took != c.took {
					t.Errorf("it took %v, want %v", took, c.took)
				}
			})
		})
	}
}

// TestOnlyRewritingRests: a flush has writers waiting behind it.
func TestOnlyRewritingRests(t *testing.T) {
	fs := pacedFS{vfs.NewMem(), &pace{}}
	for category, rests := range map[vfs.DiskWriteCategory]bool{rewriteCategory: true, "pebble-memtable-flush": false} {
		f, err := fs.Create("000001.sst", category)
		if err != nil {
			t.Fatal(err)
		}
		if _, got := f.(*restingFile); got != rests {
			t.Errorf("%s rests: %v", category, got)
		}
		f.Close()
	}
}
