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

// slowFS makes slowFiles.
type slowFS struct{ vfs.FS }

func (fs slowFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, category)
	return slowFile{f}, err
}

// TestTablesRestWhileClientsWrite measures ten writes of a millisecond each.
func TestTablesRestWhileClientsWrite(t *testing.T) {
	const flush, work, behind = vfs.DiskWriteCategory("pebble-memtable-flush"), 10 * time.Millisecond, 1000
	for name, c := range map[string]struct {
		category vfs.DiskWriteCategory
		busy     bool
		debt     uint64
		pending  int64
		took     time.Duration
	}{
		"nobody writes":            {rewriteCategory, false, 0, 0, work},
		"clients write":            {rewriteCategory, true, 0, 2 * behind, (1 + tableRest) * work},
		"too much is left to do":   {rewriteCategory, true, maxDebt + 1, 0, work},
		"as much as may be left":   {rewriteCategory, true, maxDebt, 0, (1 + tableRest) * work},
		"a debt that nobody feels": {rewriteCategory, false, maxDebt, 0, work},
		"a flush":                  {flush, true, 2 * maxDebt, behind, (1 + tableRest) * work},
		"a flush that is late":     {flush, true, 0, behind + 1, work},
		"a flush for nobody":       {flush, false, 0, 0, work},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &pace{debt: func() uint64 { return c.debt }, pending: func() int64 { return c.pending }, flushBehind: behind}
				if c.busy {
					p.wrote.Store(time.Now().UnixNano())
				}
				f, err := pacedFS{slowFS{vfs.NewMem()}, p}.Create("000001.sst", c.category)
				must(t, err)
				began := time.Now()
				for range 10 {
					_, err := f.Write([]byte("block"))
					must(t, err)
				}
				if took := time.Since(began); took != c.took {
					t.Errorf("it took %v, want %v", took, c.took)
				}
				must(t, f.Close())
			})
		})
	}
}
