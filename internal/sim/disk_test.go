package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

var errDisk = errors.New("sim: the disk has failed")

// disk is what one life of a member sees of its memory disk: slow, stalled, failing, and the place where crashes
// happen in the middle of things.
type disk struct {
	vfs.FS // what is below

	// names keeps a crash out while a name is changed: there Pebble's MemFS takes two of
	// its locks in one order, where it syncs in the other, and a crash that waits for
	// one of them in between would have them wait for ever.
	names sync.RWMutex

	mu      sync.Mutex // guards the fields below; not held while anything is called
	rng     *rand.Rand
	stalled time.Time // syncs of the log take until then
	crashIn int       // operations until the crash; 0 means never
	failIn  int       // writes and syncs until the first error; 0 means never
	broken  bool
	failed  bool // there was an error
	crash   func(why string)
}

func newDisk(mem *vfs.MemFS, rng *rand.Rand) *disk { return &disk{FS: mem, rng: rng} }

func (d *disk) stall(for_ time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stalled = time.Now().Add(for_)
}

func (d *disk) crashAfter(ops int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.crashIn = ops
}

func (d *disk) failAfter(writes int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failIn = writes
}

// step is called before everything that changes the disk, and after what makes it durable.
func (d *disk) step(what, name string) {
	d.mu.Lock()
	now := d.crashIn == 1
	d.crashIn = max(0, d.crashIn-1)
	crash := d.crash
	d.mu.Unlock()
	if now && crash != nil {
		crash(fmt.Sprintf("crash at %s of %s", what, name))
	}
}

// fault says whether a write or sync fails: of the log, or of the engine's tables. After an error in its manifest
// Pebble leaves goroutines behind, with which a bubble cannot end; internal/engine has tests for that. A disk that has
// failed the log goes on failing; a table fails once, since Pebble tries a compaction again at once and for ever, and time
// would stand still.
func (d *disk) fault(name string) error {
	if !strings.HasPrefix(name, logDir) && !strings.HasSuffix(name, ".sst") {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.failIn == 1
	d.failIn = max(0, d.failIn-1)
	if strings.HasPrefix(name, logDir) {
		d.broken = d.broken || now
		now = d.broken
	}
	if now {
		d.failed = true
		return errDisk
	}
	return nil
}

// repair lets what is left of a member that has crashed come to its end.
func (d *disk) repair() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failIn, d.broken, d.stalled = 0, false, time.Time{}
}

func (d *disk) hasFailed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failed
}

// latency is how long a sync of the log takes. Other files are as fast as memory: who waits for them may hold a mutex,
// and time stands still while a goroutine waits for one.
func (d *disk) latency(name string) time.Duration {
	if !strings.HasPrefix(name, logDir) {
		return 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return max(time.Until(d.stalled), time.Duration(d.rng.Int64N(int64(3*time.Millisecond))))
}

func (d *disk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	d.step("create", name)
	d.names.RLock()
	defer d.names.RUnlock()
	return d.wrap(name)(d.FS.Create(name, c))
}

func (d *disk) Link(from, to string) error {
	d.step("link", to)
	d.names.RLock()
	defer d.names.RUnlock()
	return d.FS.Link(from, to)
}

func (d *disk) MkdirAll(dir string, perm os.FileMode) error {
	d.names.RLock()
	defer d.names.RUnlock()
	return d.FS.MkdirAll(dir, perm)
}

func (d *disk) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return d.wrap(name)(d.FS.OpenReadWrite(name, c, o...))
}

func (d *disk) OpenDir(name string) (vfs.File, error) { return d.wrap(name)(d.FS.OpenDir(name)) }

func (d *disk) Remove(name string) error { return d.remove(name, d.FS.Remove) }

func (d *disk) RemoveAll(name string) error { return d.remove(name, d.FS.RemoveAll) }

func (d *disk) remove(name string, by func(string) error) error {
	d.step("remove", name)
	d.names.RLock()
	defer d.names.RUnlock()
	return by(name)
}

func (d *disk) Rename(from, to string) error {
	d.step("rename", to)
	defer d.step("renamed", to)
	d.names.RLock()
	defer d.names.RUnlock()
	return d.FS.Rename(from, to)
}

func (d *disk) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	d.step("reuse", to)
	d.names.RLock()
	defer d.names.RUnlock()
	return d.wrap(to)(d.FS.ReuseForWrite(from, to, c))
}

func (d *disk) Unwrap() vfs.FS { return d.FS }

func (d *disk) wrap(name string) func(vfs.File, error) (vfs.File, error) {
	return func(f vfs.File, err error) (vfs.File, error) {
		if err != nil {
			return nil, err
		}
		return &file{File: f, disk: d, name: name}, nil
	}
}

// file is an open file of a disk.
type file struct {
	vfs.File
	disk *disk
	name string
}

func (f *file) Write(b []byte) (int, error) {
	f.disk.step("write", f.name)
	if err := f.disk.fault(f.name); err != nil {
		return 0, err
	}
	return f.File.Write(b)
}

func (f *file) WriteAt(b []byte, at int64) (int, error) {
	f.disk.step("write", f.name)
	if err := f.disk.fault(f.name); err != nil {
		return 0, err
	}
	return f.File.WriteAt(b, at)
}

func (f *file) Sync() error     { return f.sync(f.File.Sync) }
func (f *file) SyncData() error { return f.sync(f.File.SyncData) }

func (f *file) SyncTo(n int64) (bool, error) {
	f.disk.step("sync", f.name)
	if err := f.disk.fault(f.name); err != nil {
		return false, err
	}
	return f.File.SyncTo(n)
}

func (f *file) sync(do func() error) error {
	f.disk.step("sync", f.name)
	if d := f.disk.latency(f.name); d > 0 {
		<-time.After(d)
	}
	if err := f.disk.fault(f.name); err != nil {
		return err
	}
	err := do()
	f.disk.step("synced", f.name)
	return err
}
