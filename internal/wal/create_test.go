package wal

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/raft/v3/raftpb"
)

// crashingFS keeps what a crash would leave after each operation that makes something durable or moves it.
type crashingFS struct {
	vfs.FS
	mem   *vfs.MemFS
	disks []*vfs.MemFS
}

func (f *crashingFS) keep() { f.disks = append(f.disks, f.mem.CrashClone(vfs.CrashCloneCfg{})) }

func (f *crashingFS) Rename(from, to string) error {
	defer f.keep()
	return f.FS.Rename(from, to)
}

func (f *crashingFS) OpenDir(name string) (vfs.File, error) {
	d, err := f.FS.OpenDir(name)
	return crashingDir{d, f}, err
}

type crashingDir struct {
	vfs.File
	fs *crashingFS
}

func (d crashingDir) Sync() error {
	defer d.fs.keep()
	return d.File.Sync()
}

// TestCreateWithEntriesLeavesAllOrNothing crashes at each step: a log that exists holds what it was made with.
func TestCreateWithEntriesLeavesAllOrNothing(t *testing.T) {
	mem := vfs.NewCrashableMem()
	fs := &crashingFS{FS: mem, mem: mem}
	entries := make([]*raftpb.Entry, 3)
	for i := range entries {
		entries[i] = &raftpb.Entry{Index: new(uint64(i + 1)), Term: new(uint64(1)), Data: fmt.Appendf(nil, "member %d", i)}
	}
	state := HardState{Term: 1, Commit: 3}
	log, err := CreateWith(Options{FS: fs, Dir: "wal"}, Metadata{NodeID: 7, ClusterID: 8}, entries, state)
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	whole := 0
	for i, disk := range append(fs.disks, mem) {
		if !Exists(disk, "wal") {
			if whole > 0 {
				t.Errorf("crash %d: the log is gone", i)
			}
			continue
		}
		whole++
		log, got, err := Open(Options{FS: disk, Dir: "wal"}, 0)
		if err != nil {
			t.Errorf("crash %d: %v", i, err)
			continue
		}
		if len(got.Entries) != 3 || string(got.Entries[2].GetData()) != "member 2" || got.HardState != state || got.Metadata.NodeID != 7 {
			t.Errorf("crash %d: %+v", i, got)
		}
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	}
	if whole < 2 {
		t.Errorf("%d of %d crashes left a log", whole, len(fs.disks)+1)
	}
}

// unsyncedFS fails to sync files whose name ends in .tmp.
type unsyncedFS struct{ vfs.FS }

type unsyncedFile struct{ vfs.File }

var errNoSync = errors.New("no sync")

func (f unsyncedFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	file, err := f.FS.OpenReadWrite(name, c, o...)
	if err == nil && strings.HasSuffix(name, ".tmp") {
		return unsyncedFile{file}, nil
	}
	return file, err
}

func (unsyncedFile) Sync() error     { return errNoSync }
func (unsyncedFile) SyncData() error { return errNoSync }

// TestASegmentThatIsNotDurableGetsNoName fails the sync of a new segment: the log fails, and what is left can be opened.
func TestASegmentThatIsNotDurableGetsNoName(t *testing.T) {
	mem := vfs.NewMem()
	opts := Options{FS: unsyncedFS{mem}, Dir: "wal", SegmentBytes: 1000}
	log, err := Create(opts, Metadata{NodeID: 7, ClusterID: 8})
	if err != nil {
		t.Fatal(err)
	}
	before, err := mem.List("wal")
	if err != nil {
		t.Fatal(err)
	}
	entry := &raftpb.Entry{Index: new(uint64(1)), Term: new(uint64(1)), Data: make([]byte, 2000)}
	if err := log.Append([]*raftpb.Entry{entry}, HardState{Term: 1}); err != nil {
		t.Fatal(err)
	}
	if err := log.Sync(); !errors.Is(err, errNoSync) {
		t.Fatalf("sync: %v", err)
	}
	after, err := mem.List("wal")
	if err != nil {
		t.Fatal(err)
	}
	after = slices.DeleteFunc(after, func(name string) bool { return strings.HasSuffix(name, ".tmp") })
	if !slices.Equal(before, after) {
		t.Errorf("segments %q, before %q", after, before)
	}
	_ = log.Close() // it has failed
}
