package member

import (
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// countingFS counts how often somebody waits for the disk.
type countingFS struct {
	vfs.FS
	syncs *atomic.Int64
}

func (fs countingFS) Unwrap() vfs.FS { return fs.FS }

func (fs countingFS) counted(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return countingFile{f, fs.syncs}, nil
}

func (fs countingFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return fs.counted(fs.FS.Create(name, category))
}

func (fs countingFS) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return fs.counted(fs.FS.OpenReadWrite(name, category, opts...))
}

func (fs countingFS) OpenDir(name string) (vfs.File, error) {
	return fs.counted(fs.FS.OpenDir(name))
}

func (fs countingFS) ReuseForWrite(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return fs.counted(fs.FS.ReuseForWrite(old, name, category))
}

type countingFile struct {
	vfs.File
	syncs *atomic.Int64
}

func (f countingFile) Sync() error {
	f.syncs.Add(1)
	return f.File.Sync()
}

func (f countingFile) SyncData() error {
	f.syncs.Add(1)
	return f.File.SyncData()
}

func (f countingFile) SyncTo(n int64) (bool, error) {
	f.syncs.Add(1)
	return f.File.SyncTo(n)
}

// TestWithoutSync: nothing waits for the disk if that was asked for, and else each put
// does.
func TestWithoutSync(t *testing.T) {
	const puts = 10
	for _, without := range []bool{true, false} {
		cfg := testConfig(t)
		cfg.FS, cfg.WithoutSync = countingFS{vfs.Default, new(atomic.Int64)}, without
		syncs := cfg.FS.(countingFS).syncs
		m := startMember(t, cfg)
		kv := pb.NewKVClient(dial(t, m))
		before := syncs.Load()
		for range puts {
			if _, err := kv.Put(t.Context(), &pb.PutRequest{Key: []byte("k")}); err != nil {
				t.Fatal(err)
			}
		}
		if n := syncs.Load() - before; !without && n < puts {
			t.Errorf("%d puts were synced %d times", puts, n)
		}
		if err := m.engine.Flush(); err != nil {
			t.Fatal(err)
		}
		if n := syncs.Load(); without && n != 0 {
			t.Errorf("%d syncs", n)
		}
	}
}
