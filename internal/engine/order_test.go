package engine

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// markerFS keeps what a crash right after the creation of a marker may leave.
type markerFS struct {
	vfs.FS
	mem   *vfs.MemFS
	rng   *rand.Rand
	disks []*vfs.MemFS
}

func (f *markerFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, category)
	if strings.HasPrefix(f.PathBase(name), markerPrefix) {
		for range 8 {
			f.disks = append(f.disks, f.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: f.rng}))
		}
	}
	return file, err
}

// TestCrashWhileAMarkerMoves opens what a crash may leave on a disk that makes names durable in any order.
func TestCrashWhileAMarkerMoves(t *testing.T) {
	mem := vfs.NewCrashableMem()
	fs := &markerFS{FS: mem, mem: mem, rng: rand.New(rand.NewPCG(1, 2))}
	if err := mem.MkdirAll("db", 0o700); err != nil {
		t.Fatal(err)
	}
	root, err := mem.OpenDir("")
	if err != nil {
		t.Fatal(err)
	}
	if err := root.Sync(); err != nil {
		t.Fatal(err)
	}
	for range 5 { // each start begins a manifest
		e, err := Open("db", Options{FS: fs})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for i, disk := range fs.disks {
		e, err := Open("db", Options{FS: disk})
		if err != nil {
			t.Errorf("crash %d: %v", i, err)
			continue
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
	if len(fs.disks) < 40 {
		t.Errorf("%d crashes", len(fs.disks))
	}
}
