package member

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// smallDisk is a file system that has as little room as a test wants. It tells so
// when asked, and files whose names fail returns true for cannot be written.
type smallDisk struct {
	vfs.FS
	free  atomic.Uint64
	asked atomic.Int64
	fail  atomic.Pointer[func(name string) bool]
}

const diskSize = 100 << 30

func newSmallDisk() *smallDisk {
	d := &smallDisk{FS: vfs.Default}
	d.free.Store(diskSize)
	d.failOn(func(string) bool { return false })
	return d
}

func (d *smallDisk) failOn(f func(name string) bool) { d.fail.Store(&f) }

func (d *smallDisk) full(name string) error {
	if (*d.fail.Load())(name) {
		return syscall.ENOSPC
	}
	return nil
}

func (d *smallDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	d.asked.Add(1)
	free := d.free.Load()
	return vfs.DiskUsage{AvailBytes: free, TotalBytes: diskSize, UsedBytes: diskSize - free}, nil
}

// Lock locks nothing: a failed engine may keep its lock until the process ends,
// and these tests live on.
func (d *smallDisk) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

func (d *smallDisk) wrap(f vfs.File, name string, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &smallFile{File: f, disk: d, name: filepath.Base(name)}, nil
}

func (d *smallDisk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := d.full(filepath.Base(name)); err != nil {
		return nil, err
	}
	f, err := d.FS.Create(name, c)
	return d.wrap(f, name, err)
}

func (d *smallDisk) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := d.FS.OpenReadWrite(name, c, opts...)
	return d.wrap(f, name, err)
}

func (d *smallDisk) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.ReuseForWrite(old, name, c)
	return d.wrap(f, name, err)
}

type smallFile struct {
	vfs.File
	disk *smallDisk
	name string
}

func (f *smallFile) Write(b []byte) (int, error) {
	if err := f.disk.full(f.name); err != nil {
		return 0, err
	}
	return f.File.Write(b)
}

func (f *smallFile) WriteAt(b []byte, at int64) (int, error) {
	if err := f.disk.full(f.name); err != nil {
		return 0, err
	}
	return f.File.WriteAt(b, at)
}

func (f *smallFile) Preallocate(at, n int64) error {
	if err := f.disk.full(f.name); err != nil {
		return err
	}
	return f.File.Preallocate(at, n)
}

// eventually polls until ok, or the test's patience is over.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	over := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-poll.C:
		case <-over:
			t.Fatalf("gave up waiting for %s", what)
		}
	}
}

// TestDiskNearlyFull: growth is refused before the disk is full, everything else
// goes on, and the alarm lifts itself when there is room again, with hysteresis.
func TestDiskNearlyFull(t *testing.T) {
	disk := newSmallDisk()
	cfg := testConfig(t)
	cfg.FS = disk
	m := startMember(t, cfg)
	conn := dial(t, m)
	kv, maintenance := pb.NewKVClient(conn), pb.NewMaintenanceClient(conn)
	ctx := t.Context()
	put := func() error {
		_, err := kv.Put(ctx, &pb.PutRequest{Key: []byte("k"), Value: []byte("v")})
		return err
	}
	alarms := func() int {
		resp, err := maintenance.Alarm(ctx, &pb.AlarmRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return len(resp.Alarms)
	}
	if err := put(); err != nil {
		t.Fatal(err)
	}
	reserve := reserveFor(diskSize)

	disk.free.Store(reserve - 1)
	eventually(t, "the alarm", func() bool { return alarms() == 1 })
	err := put()
	if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "database space exceeded") {
		t.Errorf("a put without room: %v", err)
	}
	if _, err := pb.NewLeaseClient(conn).LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: 10}); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a grant without room: %v", err)
	}
	if resp, err := kv.Range(ctx, &pb.RangeRequest{Key: []byte("k")}); err != nil || resp.Count != 1 {
		t.Errorf("a read without room: %v %v", resp, err)
	}
	if _, err := kv.Compact(ctx, &pb.CompactionRequest{Revision: 2, Physical: true}); err != nil {
		t.Errorf("a compaction without room: %v", err)
	}
	if _, err := kv.DeleteRange(ctx, &pb.DeleteRangeRequest{Key: []byte("k")}); err != nil {
		t.Errorf("a deletion without room: %v", err)
	}

	// A little more room than the reserve is not enough to lift the alarm.
	disk.free.Store(reserve + 1)
	asked := disk.asked.Load()
	eventually(t, "the disk to be looked at", func() bool { return disk.asked.Load() >= asked+3 })
	if alarms() != 1 {
		t.Error("the alarm flaps")
	}
	disk.free.Store(2 * reserve)
	eventually(t, "the alarm to lift itself", func() bool { return alarms() == 0 })
	if err := put(); err != nil {
		t.Errorf("a put with room: %v", err)
	}
}

// TestAlarmOfAFullDiskOutlivesAStart and lifts itself then too.
func TestAlarmOfAFullDiskOutlivesAStart(t *testing.T) {
	disk := newSmallDisk()
	cfg := testConfig(t)
	cfg.FS = disk
	m, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	disk.free.Store(0)
	eventually(t, "the alarm", func() bool { return len(m.fsm.Alarms()) == 1 })
	if err := m.Stop(); err != nil {
		t.Fatal(err)
	}
	m = startMember(t, cfg)
	if len(m.fsm.Alarms()) != 1 {
		t.Error("the alarm is forgotten")
	}
	disk.free.Store(diskSize)
	eventually(t, "the alarm to lift itself", func() bool { return len(m.fsm.Alarms()) == 0 })
}

// TestAlarmOfAFullDiskOutlivesACrash: the alarm is in the log only, from where it comes back
// after the start, and it lifts itself all the same.
func TestAlarmOfAFullDiskOutlivesACrash(t *testing.T) {
	disk := newSmallDisk()
	cfg := testConfig(t)
	cfg.FS = disk
	m := startMember(t, cfg)
	disk.free.Store(0)
	eventually(t, "the alarm", func() bool { return len(m.fsm.Alarms()) == 1 })
	crashed := t.TempDir()
	if err := os.CopyFS(crashed, os.DirFS(cfg.DataDir)); err != nil {
		t.Fatal(err)
	}
	disk.free.Store(diskSize)
	cfg.DataDir = crashed
	again := startMember(t, cfg)
	eventually(t, "the alarm to come back, and to lift itself", func() bool {
		return again.fsm.Applied() >= m.fsm.Applied() && len(again.fsm.Alarms()) == 0
	})
}

// TestAlarmOfAClientStays: what a client activates, however soon after the start, is the client's to lift.
func TestAlarmOfAClientStays(t *testing.T) {
	disk := newSmallDisk()
	cfg := testConfig(t)
	cfg.FS = disk
	m := startMember(t, cfg)
	maintenance := pb.NewMaintenanceClient(dial(t, m))
	activate := &pb.AlarmRequest{MemberID: m.server.Status().Header.MemberId, Action: pb.AlarmRequest_ACTIVATE, Alarm: pb.AlarmType_NOSPACE}
	if _, err := maintenance.Alarm(t.Context(), activate); err != nil {
		t.Fatal(err)
	}
	asked := disk.asked.Load()
	eventually(t, "the disk to be looked at", func() bool { return disk.asked.Load() >= asked+3 })
	if n := len(m.fsm.Alarms()); n != 1 {
		t.Errorf("%d alarms, want the client's", n)
	}
}

// TestNoSpaceLeftWhileWriting fills the disk for one class of files at a time while
// clients write. The member must end in order, saying why, and have everything
// that it has acknowledged when there is room again.
func TestNoSpaceLeftWhileWriting(t *testing.T) {
	for class, full := range map[string]func(name string) bool{
		"log":      func(name string) bool { return strings.HasSuffix(name, ".wal") },
		"tables":   func(name string) bool { return strings.HasSuffix(name, ".sst") },
		"manifest": func(name string) bool { return strings.HasPrefix(name, "MANIFEST") },
		"all":      func(string) bool { return true },
	} {
		t.Run(class, func(t *testing.T) { noSpaceLeft(t, full) })
	}
}

func noSpaceLeft(t *testing.T, full func(name string) bool) {
	disk := newSmallDisk()
	cfg := testConfig(t)
	cfg.FS, cfg.MemTableBytes = disk, 256<<10
	m, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	conn := dial(t, m)
	kv := pb.NewKVClient(conn)
	acked := 0
	put := func(ctx context.Context) error {
		_, err := kv.Put(ctx, &pb.PutRequest{Key: fmt.Appendf(nil, "k%06d", acked), Value: make([]byte, 4000)})
		if err == nil {
			acked++
		}
		return err
	}
	for range 20 {
		if err := put(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	disk.failOn(full)
	// Writes go on until one is not acknowledged, as an unsuspecting client's would.
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		for put(ctx) == nil {
		}
	}()
	select {
	case err := <-m.Failed():
		if !errors.Is(err, syscall.ENOSPC) && !strings.Contains(err.Error(), "no space left") {
			t.Errorf("the member fails with %v", err)
		}
	case <-ctx.Done():
		t.Fatalf("the member does not tell; %d writes are acknowledged", acked)
	}
	// Those who wait hear of it at once: nothing can be agreed on any more.
	stopped := make(chan error, 1)
	go func() { stopped <- m.Stop() }()
	select {
	case err := <-stopped:
		t.Logf("stopped with: %v", err)
	case <-ctx.Done():
		t.Fatal("the member does not stop")
	}
	<-wrote
	if ctx.Err() != nil {
		t.Error("a writer has waited until its patience was over")
	}
	conn.Close()
	disk.failOn(func(string) bool { return false })
	m = startMember(t, cfg)
	all := []byte{0}
	resp, err := pb.NewKVClient(dial(t, m)).Range(t.Context(), &pb.RangeRequest{Key: all, RangeEnd: all, CountOnly: true})
	if err != nil || resp.Count < int64(acked) || resp.Count > int64(acked+1) {
		t.Errorf("%v keys are there (%v), %d were acknowledged", resp.GetCount(), err, acked)
	}
	if err := m.fsm.Check(t.Context()); err != nil {
		t.Error(err)
	}
}
