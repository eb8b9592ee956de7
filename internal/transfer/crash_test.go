package transfer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"bowline/internal/engine"
	"bowline/internal/fsm"
	"bowline/internal/wal"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/raft/v3/raftpb"
)

// opFS counts what changes the disk, and keeps what a crash before each such step
// would leave.
type opFS struct {
	vfs.FS
	mem *vfs.MemFS

	mu     sync.Mutex // guards the fields below: the engine works in the background, too
	crash  []*vfs.MemFS
	enable bool
}

func (f *opFS) step() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.enable {
		f.crash = append(f.crash, f.mem.CrashClone(vfs.CrashCloneCfg{}))
	}
}

// record begins to keep crashes, or ends it and returns them.
func (f *opFS) record(on bool) []*vfs.MemFS {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.enable = on
	return f.crash
}

func (f *opFS) Rename(a, b string) error { f.step(); defer f.step(); return f.FS.Rename(a, b) }
func (f *opFS) RemoveAll(a string) error { f.step(); return f.FS.RemoveAll(a) }
func (f *opFS) Create(a string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f.step()
	return f.FS.Create(a, c)
}
func (f *opFS) OpenDir(a string) (vfs.File, error) {
	d, err := f.FS.OpenDir(a)
	return opDir{d, f}, err
}

type opDir struct {
	vfs.File
	fs *opFS
}

func (d opDir) Sync() error { defer d.fs.step(); return d.File.Sync() }

// start opens what a crash has left, as a member does.
func start(t *testing.T, fs *vfs.MemFS) (applied uint64, keys int64) {
	t.Helper()
	d := Dirs{FS: fs, Dir: "member"}
	dir, err := d.Current()
	must(t, err)
	o := engineOptions(fs)
	e, err := engine.Open(dir, o)
	must(t, err)
	at, err := fsm.ReadApplied(e, false)
	must(t, err)
	log, r, err := wal.Open(wal.Options{FS: fs, Dir: "member/wal"}, at.Index)
	must(t, err)
	if r.FirstIndex > at.Index+1 {
		e, err = d.FinishInstall(e, o, r.Snapshot.Index, r.Snapshot.Term)
		must(t, err)
	}
	must(t, d.Clean())
	// The next entry goes right behind what the engine holds, or the log replays up to it.
	s := &side{t: t, id: followerID, fs: fs, dirs: d, engine: e, held: make(map[uint64]int)}
	s.build()
	applied, keys = s.fsm.Applied(), s.fsm.Store().Keys()
	if r.LastIndex < applied || r.FirstIndex > applied+1 {
		t.Errorf("the engine holds entry %d, the log %d to %d", applied, r.FirstIndex, r.LastIndex)
	}
	if left := s.left(); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	names, err := fs.List("member")
	must(t, err)
	engines := 0
	for _, n := range names {
		if strings.HasPrefix(n, "engine") {
			engines++
		}
	}
	if engines != 1 {
		t.Errorf("engines left: %q", names)
	}
	must(t, log.Close())
	s.close()
	return applied, keys
}

// TestCrashAtEachPoint receives and installs a state and crashes before and after each
// step on the disk that matters: at the next start the member has either its old state,
// whole, or the new one, and the log fits.
func TestCrashAtEachPoint(t *testing.T) {
	leader := newSide(t, leaderID, vfs.NewCrashableMem())
	leader.write(400, 200)
	mem := vfs.NewCrashableMem()
	ops := &opFS{FS: mem, mem: mem}
	must(t, mem.MkdirAll("member", 0o700))
	follower := &side{t: t, id: followerID, fs: mem, dirs: Dirs{FS: ops, Dir: "member"}, held: make(map[uint64]int)}
	var err error
	follower.engine, err = engine.Open("member/engine", engineOptions(ops))
	must(t, err)
	follower.build()
	options := wal.Options{FS: mem, Dir: "member/wal"}
	log, err := wal.Create(options, wal.Metadata{NodeID: followerID, ClusterID: clusterID})
	must(t, err)
	first := make([]*raftpb.Entry, 3)
	for i := range first {
		first[i] = &raftpb.Entry{Index: new(uint64(i + 1)), Term: new(uint64(1))}
	}
	must(t, log.Append(first, wal.HardState{Term: 1, Commit: 3}))
	must(t, log.Sync())
	must(t, follower.engine.Flush())
	syncDirs(t, mem, "", "member", "member/engine")
	follower.step = func(m *raftpb.Message) error {
		at := m.GetSnapshot().GetMetadata()
		ops.step()
		if err := log.MarkSnapshot(wal.Snapshot{Index: at.GetIndex(), Term: at.GetTerm(), ConfState: at.GetConfState()}); err != nil {
			return err
		}
		ops.step()
		defer ops.step()
		return follower.installer.Install(m.GetSnapshot())
	}
	ops.record(true)
	must(t, leader.sender.Send(context.Background(), &link{id: followerID, handler: follower.receiver}, message(followerID)))
	crashes := ops.record(false)
	checkSame(t, leader, follower)
	must(t, log.Close())
	follower.close()
	old, replaced := 0, 0
	for i, disk := range crashes {
		switch applied, keys := start(t, disk); {
		case applied == 3 && keys == 0:
			old++
			if replaced > 0 {
				t.Errorf("crash %d: the old state came back", i)
			}
		case applied == 403 && keys == leader.fsm.Store().Keys():
			replaced++
		default:
			t.Errorf("crash %d: entry %d, %d keys", i, applied, keys)
		}
	}
	if old < 10 || replaced < 3 {
		t.Errorf("%d crashes left the old state, %d the new one", old, replaced)
	}
	leader.close()
}

func syncDirs(t *testing.T, fs vfs.FS, dirs ...string) {
	t.Helper()
	for _, d := range dirs {
		must(t, syncDir(fs, d))
	}
}

// TestFinishWithoutTheState refuses to start with an error that says what to do.
func TestFinishWithoutTheState(t *testing.T) {
	s := newSide(t, followerID, vfs.NewCrashableMem())
	must(t, s.engine.Close())
	e, err := engine.Open("member/engine", engineOptions(s.fs))
	must(t, err)
	same, err := s.dirs.FinishInstall(e, engineOptions(s.fs), 100, 2)
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(fmt.Sprint(err), "replace this member") || same != e {
		t.Errorf("%v", err)
	}
	must(t, e.Close())
	// A pointer that names something else than an engine is not followed.
	for _, name := range []string{"", "../engine", "wal", "engine-/../x"} {
		must(t, writeSynced(s.fs, "member/ENGINE", []byte(name+"\n")))
		if dir, err := s.dirs.Current(); err == nil {
			t.Errorf("%q is taken for %s", name, dir)
		}
	}
}
