package exchange

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"

	"bowline/internal/engine"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"go.uber.org/zap"
)

var dataDirs = []string{"datadir-3.4", "datadir-3.4-restored", "datadir-3.7", "datadir-3.7-crash"}

func takeOver(dir, logDir string, fs vfs.FS) *TakeOver {
	if logDir == "" {
		logDir = filepath.Join(dir, engine.MemberDir, engine.LogDirName)
	}
	return &TakeOver{FS: fs, DataDir: dir, LogDir: logDir, Logger: zap.NewNop()}
}

// contents are all files below a directory.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	must(t, filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[name] = strings.TrimRight(string(b), "\x00") // of 64 MB, most are zeros
		return err
	}))
	return files
}

// checkTaken compares a directory that was taken over with what etcd has told of it.
func checkTaken(t *testing.T, dir string, before map[string]string, want *manifest) {
	t.Helper()
	if kept := contents(t, filepath.Join(dir, AsideName)); !reflect.DeepEqual(kept, before) {
		t.Error("etcd's files were changed")
	}
	m := openMember(t, dir)
	m.compare(t, want)
	if got := m.fsm.Members().Members(); !reflect.DeepEqual(got, wantMembers(want)) {
		t.Errorf("members %+v, want %+v", got, wantMembers(want))
	}
	if m.log.Metadata.NodeID != parseHex(t, want.MemberID) || m.log.Metadata.ClusterID != parseHex(t, want.ClusterID) {
		t.Errorf("the log is of %+v, want member %s of cluster %s", m.log.Metadata, want.MemberID, want.ClusterID)
	}
	if s := m.log.HardState; s.Term == 0 || s.Commit > m.log.LastIndex {
		t.Errorf("hard state %+v at the end %d", s, m.log.LastIndex)
	}
}

// TestTakeOver makes our directories of etcd's.
func TestTakeOver(t *testing.T) {
	for _, name := range dataDirs {
		t.Run(name, func(t *testing.T) {
			dir := unpackDir(t, name)
			before := contents(t, dir)
			to := takeOver(dir, "", vfs.Default)
			if !to.Needed() {
				t.Fatal("it is not recognized")
			}
			must(t, to.Run(t.Context()))
			if to.Needed() {
				t.Error("it is still taken for etcd's")
			}
			checkTaken(t, dir, before, loadManifest(t, name))
		})
	}
}

// TestTakeOverWithLogElsewhere has the log outside of the data directory.
func TestTakeOverWithLogElsewhere(t *testing.T) {
	dir := unpackDir(t, "datadir-3.7")
	inside, outside := filepath.Join(dir, "member", "wal"), filepath.Join(t.TempDir(), "log")
	must(t, os.Rename(inside, outside))
	before := contents(t, outside)
	must(t, takeOver(dir, outside, vfs.Default).Run(t.Context()))
	if kept := contents(t, outside+AsideSuffix); !reflect.DeepEqual(kept, before) {
		t.Error("etcd's log was changed")
	}
	must(t, os.Rename(outside, inside)) // where openMember looks
	openMember(t, dir).compare(t, loadManifest(t, "datadir-3.7"))
}

// TestTakeOverRefuses what it must not touch, and leaves it as it was.
func TestTakeOverRefuses(t *testing.T) {
	const name = "datadir-3.7"
	log := filepath.Join("member", "wal", "0000000000000000-0000000000000000.wal")
	db := filepath.Join("member", "snap", "db")
	for _, c := range []struct {
		name, want string
		spoil      func(t *testing.T, dir string)
	}{
		{"in use", "etcd is running on it", func(t *testing.T, dir string) {
			f, err := os.Open(filepath.Join(dir, db))
			must(t, err)
			must(t, syscall.Flock(int(f.Fd()), syscall.LOCK_EX))
			t.Cleanup(func() { f.Close() })
		}},
		{"without its log", "no log in the directory", func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, log))) }},
		{"with another log", "the store has applied index", func(t *testing.T, dir string) {
			must(t, os.Rename(filepath.Join(unpackDir(t, "datadir-3.7-crash"), log), filepath.Join(dir, log)))
		}},
		{"with a damaged log", "is damaged at offset", func(t *testing.T, dir string) { flip(t, filepath.Join(dir, log), 5000) }},
		{"with a damaged database", "is damaged at offset", func(t *testing.T, dir string) {
			flip(t, filepath.Join(dir, db), keyRoot(t, filepath.Join(dir, db))+8)
		}},
		{"no database", "invalid database", func(t *testing.T, dir string) { must(t, os.WriteFile(filepath.Join(dir, db), []byte("x"), 0o600)) }},
		{"after an earlier import", "from an earlier import", func(t *testing.T, dir string) {
			must(t, os.MkdirAll(filepath.Join(dir, AsideName, "member", "snap"), 0o700))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := unpackDir(t, name)
			c.spoil(t, dir)
			before := contents(t, dir)
			err := takeOver(dir, "", vfs.Default).Run(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if !reflect.DeepEqual(contents(t, dir), before) {
				t.Error("the directory was changed")
			}
		})
	}
}

// flip changes a byte of a file.
func flip(t testing.TB, name string, at int64) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	b := make([]byte, 1)
	_, err = f.ReadAt(b, at)
	must(t, err)
	b[0] ^= 0x40
	_, err = f.WriteAt(b, at)
	must(t, err)
}

// keyRoot is where the tree of a database's keys begins.
func keyRoot(t testing.TB, name string) int64 {
	t.Helper()
	db, err := openDatabase(name)
	must(t, err)
	defer db.close()
	return int64(db.buckets["key"].root) * db.pageSize
}

// watchedFS calls f before each change that is made to files, with the number of those
// made before.
func watchedFS(f func(n int64)) vfs.FS {
	var mu sync.Mutex
	made := int64(0)
	return errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			f(made)
			made++
		}
		return nil
	}))
}

// copyTree copies a directory. What vanishes meanwhile is left out.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.Walk(from, func(path string, info os.FileInfo, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(from, path)
		if info.IsDir() {
			return os.MkdirAll(filepath.Join(to, name), 0o700)
		}
		f, err := os.Open(path)
		if err != nil {
			return nil
		}
		defer f.Close()
		target := filepath.Join(to, name)
		if err := writeSparse(target, f, info.Size()); err != nil {
			return err
		}
		return os.Chtimes(target, info.ModTime(), info.ModTime())
	})
	must(t, err)
}

// killedAt runs an import, and returns the directory as it was before a change: what a
// process that was killed there would have left. If there are not as many, it is as it
// is at the end.
func killedAt(t *testing.T, dir string, at int64) string {
	t.Helper()
	left := filepath.Join(t.TempDir(), "left")
	copied := false
	keep := func(n int64) {
		if n == at {
			copyTree(t, dir, left)
			copied = true
		}
	}
	if to := takeOver(dir, "", watchedFS(keep)); to.Needed() {
		must(t, to.Run(t.Context()))
	}
	if !copied {
		return dir
	}
	return left
}

// TestTakeOverKilled cuts an import short at random points, and what follows then once
// more. The next start finds either etcd's directory, untouched, or finishes.
func TestTakeOverKilled(t *testing.T) {
	const name, seed = "datadir-3.4", 1
	total := int64(0)
	original := unpackDir(t, name)
	before := contents(t, original)
	work := filepath.Join(t.TempDir(), "work")
	copyTree(t, original, work)
	must(t, takeOver(work, "", watchedFS(func(int64) { total++ })).Run(t.Context()))
	if total < 40 {
		t.Fatalf("an import makes %d changes only", total)
	}
	want := loadManifest(t, name)
	random := rand.New(rand.NewPCG(seed, seed))
	points := 50
	if testing.Short() {
		points = 10
	}
	for range points {
		first, second := random.Int64N(total), random.Int64N(total)
		t.Run(fmt.Sprintf("%d, %d of %d", first, second, total), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			copyTree(t, original, dir)
			dir = killedAt(t, killedAt(t, dir, first), second)
			if to := takeOver(dir, "", vfs.Default); to.Needed() {
				must(t, to.Run(t.Context()))
			}
			checkTaken(t, dir, before, want)
		})
	}
}
