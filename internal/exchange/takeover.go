package exchange

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"bowline/internal/engine"
	"bowline/internal/wal"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"
)

// A data directory of etcd becomes one of ours so:
//
//	member/import.tmp   the new engine and log are built here; whatever a crash leaves of it is begun anew
//	member/import       its name once all in it is on disk: from here on the move is only finished
//	from-etcd/member    where etcd's snap and wal go, untouched: etcd still starts with --data-dir=DATA/from-etcd
//	member              gets the engine, FORMAT, and the log last
//
// Each step of the move is a rename that is left out if it was done before, so that
// it can be cut short anywhere, and be finished by the next start. A log that
// is not below the data directory goes aside as DIR.from-etcd.
const (
	importName    = "import"
	importTmpName = "import.tmp"
	snapName      = "snap"
	// AsideName is the directory, in the data directory, that etcd's files are kept in.
	AsideName = "from-etcd"
	// AsideSuffix ends the name of a log's directory that was put aside.
	AsideSuffix = "." + AsideName

	diskCategory vfs.DiskWriteCategory = "import"
)

// TakeOver makes a directory of ours of one of etcd's.
type TakeOver struct {
	// FS writes everything but temporary files. etcd's database is read without it.
	FS vfs.FS
	// DataDir is the data directory, LogDir the log's.
	DataDir, LogDir string
	Logger          *zap.Logger
}

func (t *TakeOver) member(name string) string {
	return filepath.Join(t.DataDir, engine.MemberDir, name)
}

func (t *TakeOver) aside(name string) string {
	return filepath.Join(t.DataDir, AsideName, engine.MemberDir, name)
}

// logInside tells whether the log is where it is without --wal-dir.
func (t *TakeOver) logInside() bool {
	return filepath.Clean(t.LogDir) == filepath.Clean(t.member(engine.LogDirName))
}

// asideLog is where etcd's log is put, and newLog where ours is built.
func (t *TakeOver) asideLog() string {
	if t.logInside() {
		return t.aside(engine.LogDirName)
	}
	return filepath.Clean(t.LogDir) + AsideSuffix
}

func (t *TakeOver) newLog(dir string) string {
	if t.logInside() {
		return filepath.Join(dir, engine.LogDirName)
	}
	return filepath.Clean(t.LogDir) + "." + importName
}

func (t *TakeOver) exists(name string) bool {
	_, err := t.FS.Stat(name)
	return err == nil
}

// Needed tells whether the directory is etcd's, or on its way to be ours.
func (t *TakeOver) Needed() bool {
	if t.exists(t.member(importName)) {
		return true
	}
	return !t.exists(t.member(engine.FormatFile)) &&
		(t.exists(t.member(engine.SignpostFile)) || wal.Exists(t.FS, t.LogDir))
}

// Run takes the directory over. The caller has locked it. After an error it is
// etcd's still, or Run goes on where it stopped.
func (t *TakeOver) Run(ctx context.Context) error {
	began := time.Now()
	if t.exists(t.member(importName)) && !t.fresh() {
		t.Logger.Warn("etcd has run here after its data was imported: the import begins anew", zap.String("data-dir", t.DataDir))
		if err := t.FS.RemoveAll(t.member(importName)); err != nil {
			return err
		}
	}
	if !t.exists(t.member(importName)) {
		if err := t.prepare(ctx); err != nil {
			return fmt.Errorf("%s holds a data directory of etcd, which cannot be taken over; it is left as it is: %w", t.DataDir, err)
		}
	}
	if err := t.move(); err != nil {
		return fmt.Errorf("the import of etcd's data in %s is complete, but cannot be put in place; start again: %w", t.DataDir, err)
	}
	t.Logger.Info("took over a data directory of etcd; its files are kept as they were", zap.String("data-dir", t.DataDir),
		zap.String("kept-in", filepath.Join(t.DataDir, AsideName)), zap.Duration("took", time.Since(began)))
	return nil
}

// stampName holds what etcd's files looked like that were imported.
const stampName = "STAMP"

// stamp describes etcd's files, so that a change of them is seen.
func (t *TakeOver) stamp() (string, error) {
	var b strings.Builder
	for _, dir := range []string{t.member(snapName), t.LogDir} {
		names, err := t.FS.List(dir)
		if err != nil {
			return "", err
		}
		slices.Sort(names)
		for _, name := range names {
			info, err := t.FS.Stat(filepath.Join(dir, name))
			if err != nil {
				return "", err
			}
			fmt.Fprintln(&b, name, info.Size(), info.ModTime().UnixNano())
		}
	}
	return b.String(), nil
}

// fresh tells whether what was imported is still what etcd has. Once the move has
// begun, it is.
func (t *TakeOver) fresh() bool {
	if t.exists(t.asideLog()) {
		return true
	}
	now, err := t.stamp()
	if err != nil {
		return false
	}
	was, err := os.ReadFile(filepath.Join(t.member(importName), stampName))
	return err == nil && string(was) == now
}

// prepare builds member/import.
func (t *TakeOver) prepare(ctx context.Context) error {
	for _, kept := range []string{t.aside(snapName), t.asideLog()} {
		if t.exists(kept) {
			return fmt.Errorf("%s is there already, from an earlier import: move it away", kept)
		}
	}
	unlock, err := t.lockDatabase()
	if err != nil {
		return err
	}
	defer unlock()
	stamp, err := t.stamp()
	if err != nil {
		return err
	}
	tmp := t.member(importTmpName)
	if err := errors.Join(t.FS.RemoveAll(tmp), t.FS.RemoveAll(t.newLog(tmp)), t.FS.MkdirAll(tmp, 0o700)); err != nil {
		return err
	}
	if err := t.build(ctx, tmp); err != nil {
		return errors.Join(err, t.FS.RemoveAll(tmp))
	}
	if err := t.write(filepath.Join(tmp, stampName), stamp); err != nil {
		return err
	}
	if err := t.sync(tmp); err != nil {
		return err
	}
	if err := t.FS.Rename(tmp, t.member(importName)); err != nil {
		return err
	}
	return t.sync(t.member(""))
}

// lockDatabase makes sure that no etcd is running on the directory, and that none
// starts.
func (t *TakeOver) lockDatabase() (unlock func(), err error) {
	f, err := os.Open(t.member(engine.SignpostFile))
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("etcd is running on it; stop it first: %w", err), f.Close())
	}
	return func() { f.Close() }, nil
}

// move puts everything in its place.
func (t *TakeOver) move() error {
	from := t.member(importName)
	newLog := t.newLog(from)
	if err := t.FS.MkdirAll(t.aside(""), 0o700); err != nil {
		return err
	}
	// etcd's log is recognized by our own being still elsewhere.
	if t.exists(newLog) && !t.exists(t.asideLog()) {
		if err := t.rename(t.LogDir, t.asideLog()); err != nil {
			return err
		}
	}
	if !t.exists(t.aside(snapName)) {
		if err := t.rename(t.member(snapName), t.aside(snapName)); err != nil {
			return err
		}
	}
	if built := filepath.Join(from, engine.DirName); t.exists(built) {
		if err := t.rename(built, t.member(engine.DirName)); err != nil {
			return err
		}
	}
	if err := t.layout(); err != nil {
		return err
	}
	if t.exists(newLog) {
		if err := t.rename(newLog, t.LogDir); err != nil {
			return err
		}
	}
	if err := t.FS.RemoveAll(from); err != nil {
		return err
	}
	return t.sync(t.member(""))
}

// layout writes the small files that make the directory ours.
func (t *TakeOver) layout() error {
	signpost := t.member(engine.SignpostFile)
	if err := t.FS.MkdirAll(filepath.Dir(signpost), 0o700); err != nil {
		return err
	}
	if err := t.write(signpost, engine.Signpost); err != nil {
		return err
	}
	format := t.member(engine.FormatFile)
	if err := t.write(format+".tmp", fmt.Sprintf("%s%d\n", engine.FormatPrefix, engine.FormatVersion)); err != nil {
		return err
	}
	return t.rename(format+".tmp", format)
}

// rename renames durably.
func (t *TakeOver) rename(from, to string) error {
	if err := t.FS.Rename(from, to); err != nil {
		return err
	}
	if filepath.Dir(from) != filepath.Dir(to) {
		if err := t.sync(filepath.Dir(from)); err != nil {
			return err
		}
	}
	return t.sync(filepath.Dir(to))
}

func (t *TakeOver) write(name, content string) error {
	f, err := t.FS.Create(name, diskCategory)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte(content))
	return errors.Join(err, f.Sync(), f.Close())
}

func (t *TakeOver) sync(dir string) error {
	d, err := t.FS.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
