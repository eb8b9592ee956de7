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

// TestTablesAreWrittenSlowlyWhileClientsWrite has ten blocks written, which take a
// millisecond each, and looks at the rest per block.
func TestTablesAreWrittenSlowlyWhileClientsWrite(t *testing.T) {
	const ms, turn = time.Millisecond, 20 * time.Microsecond
	const flush vfs.DiskWriteCategory = "pebble-memtable-flush"
	for name, c := range map[string]struct {
		category vfs.DiskWriteCategory
		pace     *pace
		quiet    bool
		rests    time.Duration
	}{
		"rewriting":                          {rewriteCategory, &pace{debt: debtOf(maxDebt)}, false, rewriteRest*ms + turn},
		"rewriting, nobody writes":           {rewriteCategory, &pace{debt: debtOf(maxDebt)}, true, 0},
		"rewriting, too much is left to do":  {rewriteCategory, &pace{debt: debtOf(maxDebt + 1)}, false, 0},
		"a flush that is ahead":              {flush, &pace{fresh: nothing}, false, flushRest*ms + turn},
		"a flush that is ahead, and nobody":  {flush, &pace{fresh: nothing}, true, 0},
		"a flush that the next one pursues":  {flush, &pace{fresh: func() int64 { return 1 << 20 }}, false, turn},
		"a flush that is a little bit ahead": {flush, &pace{fresh: func() int64 { return 1 }}, false, flushRest*ms + turn},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := c.pace
				if !c.quiet {
					p.wrote.Store(time.Now().UnixNano())
				}
				f := tableFile(slowFile{}, c.category, p)
				began := time.Now()
				for range 10 {
					if _, err := f.Write([]byte("block")); err != nil {
						t.Fatal(err)
					}
				}
				if rests := (time.Since(began) - 10*ms) / 10; rests != c.rests {
					t.Errorf("rested for %v, want %v", rests, c.rests)
				}
			})
		})
	}
}

func debtOf(n uint64) func() uint64 { return func() uint64 { return n } }

func nothing() int64 { return 0 }

// TestDeferredRewritingNearlyStops, until whoever asked for that is done.
func TestDeferredRewritingNearlyStops(t *testing.T) {
	e, err := Open("db", Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	one, two := e.DeferRewriting(), e.DeferRewriting()
	p := &e.current.Load().pace
	longest := p.rewriteRest()
	one()
	if got := p.rewriteRest(); got != longest || got <= rewriteRest {
		t.Errorf("rests %d times while one of two is done, %d before", got, longest)
	}
	two()
	if got := p.rewriteRest(); got != rewriteRest {
		t.Errorf("rests %d times when both are done", got)
	}
}
