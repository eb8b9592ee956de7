package member

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"bowline/internal/engine"
	"bowline/internal/exchange"
	"bowline/internal/fsm"
	"bowline/internal/mvcc"
	"bowline/internal/wal"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"
)

// The data directory: member/wal is where etcd has its log; the rest is ours.
const (
	memberDirName = engine.MemberDir
	walDirName    = engine.LogDirName
	formatName    = engine.FormatFile
	lockName      = engine.LockFile

	// formatVersion is the version of the directory's layout that this code
	// writes, and the newest that it reads.
	formatVersion = engine.FormatVersion
	formatPrefix  = engine.FormatPrefix
)

// dataDir is an opened and locked data directory.
type dataDir struct {
	fs     vfs.FS
	member string
	wal    string
	engine string
	lock   io.Closer
	log    *zap.Logger
}

// openDataDir creates the directory if needed, locks it and checks that it is
// ours.
func openDataDir(cfg *Config) (*dataDir, error) {
	d := &dataDir{fs: cfg.FS, member: filepath.Join(cfg.DataDir, memberDirName), log: cfg.Logger}
	d.wal = filepath.Join(d.member, walDirName)
	if cfg.WALDir != "" {
		d.wal = cfg.WALDir
	}
	if restoring := filepath.Join(cfg.DataDir, engine.RestoringDir); exists(d.fs, restoring) {
		return nil, fmt.Errorf("%s is what a restore has left that did not come to its end: restore the snapshot again, "+
			"or remove it if this member is to begin without data", restoring)
	}
	if err := d.fs.MkdirAll(d.member, 0o700); err != nil {
		return nil, fmt.Errorf("cannot access data directory: %w", err)
	}
	d.warnOfOthers(cfg.DataDir)
	lock, err := d.fs.Lock(filepath.Join(d.member, lockName))
	if err != nil {
		return nil, fmt.Errorf("data directory %s is in use by another process; stop it, or choose another --data-dir: %w", cfg.DataDir, err)
	}
	d.lock = lock
	err = d.takeOver(cfg.DataDir)
	if err == nil {
		err = d.checkFormat()
	}
	if err == nil {
		d.engine, err = d.states().Current()
	}
	if err != nil {
		lock.Close()
		return nil, err
	}
	return d, nil
}

func exists(fs vfs.FS, name string) bool {
	_, err := fs.Stat(name)
	return err == nil
}

// warnOfOthers names what does not belong into a data directory, as etcd does, and
// permissions that let others read it.
func (d *dataDir) warnOfOthers(dir string) {
	names, err := d.fs.List(dir)
	if err != nil {
		return
	}
	for _, n := range names {
		if n != memberDirName && n != "fixtures" && n != exchange.AsideName {
			d.log.Warn("found invalid file under data directory", zap.String("filename", n), zap.String("data-dir", dir))
		}
	}
	if info, err := os.Stat(dir); err == nil && info.Mode().Perm() != 0o700 {
		d.log.Warn("check file permission", zap.String("error", fmt.Sprintf("directory %q exist, but the permission is %q. "+
			"The recommended permission is \"-rwx------\" to prevent possible unprivileged access to the data", dir, info.Mode())))
	}
}

// takeOver makes the directory ours if it is etcd's.
func (d *dataDir) takeOver(dir string) error {
	t := exchange.TakeOver{FS: d.fs, DataDir: dir, LogDir: d.wal, Logger: d.log}
	if !t.Needed() {
		return nil
	}
	return t.Run(context.Background())
}

// initialized tells whether a member has started here before: whether there is a
// log.
func (d *dataDir) initialized() bool { return wal.Exists(d.fs, d.wal) }

// checkFormat refuses directories that are not ours or too new.
func (d *dataDir) checkFormat() error {
	f, err := d.fs.Open(filepath.Join(d.member, formatName))
	if errors.Is(err, os.ErrNotExist) {
		return nil // it is empty, or a first start was cut short
	}
	if err != nil {
		return fmt.Errorf("cannot access member directory: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 1<<10))
	if err != nil {
		return fmt.Errorf("cannot access member directory: %w", err)
	}
	text := strings.TrimSpace(string(b))
	n, err := strconv.Atoi(strings.TrimPrefix(text, formatPrefix))
	if err != nil || !strings.HasPrefix(text, formatPrefix) {
		return fmt.Errorf("%s holds %q, not the format of a data directory; restore the file or choose another --data-dir",
			filepath.Join(d.member, formatName), text)
	}
	if n > formatVersion {
		return fmt.Errorf("%s was written by a newer version (format %d, this one knows up to %d); run that version",
			d.member, n, formatVersion)
	}
	return nil
}

// markFormat makes the directory ours, durably.
func (d *dataDir) markFormat() error {
	name := filepath.Join(d.member, formatName)
	f, err := d.fs.Create(name+".tmp", vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("cannot write to member directory: %w", err)
	}
	_, err = fmt.Fprintf(f, "%s%d\n", formatPrefix, formatVersion)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = d.fs.Rename(name+".tmp", name)
	}
	if err == nil {
		err = d.syncMember()
	}
	if err != nil {
		return fmt.Errorf("cannot write to member directory: %w", err)
	}
	return nil
}

func (d *dataDir) syncMember() error {
	f, err := d.fs.OpenDir(d.member)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// checkUnused refuses to begin anew where a member has lived whose log is gone: an
// engine that holds keys, or has applied more than the first start's entries, one for
// each initial member, did not come from a first start that was cut short.
func (d *dataDir) checkUnused(initialMembers int) error {
	if _, err := d.fs.Stat(filepath.Join(d.member, formatName)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if _, err := d.fs.Stat(d.engine); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	e, err := engine.Open(d.engine, engine.Options{FS: d.fs, Logger: d.log})
	if err != nil {
		return err
	}
	applied, err := fsm.ReadApplied(e, true)
	store, storeErr := mvcc.Open(e, mvcc.Options{})
	used := storeErr == nil && store.Revision() > 1
	if err = errors.Join(err, storeErr, e.Close()); err != nil {
		return err
	}
	if used || applied.Index > uint64(initialMembers) {
		return fmt.Errorf("there is no log in %s, but %s holds the state up to entry %d: put the log back (is --wal-dir right, and mounted?), "+
			"or replace this member, or restore it from a snapshot", d.wal, d.engine, applied.Index)
	}
	return nil
}

// clearEngine removes what a first start has left that did not come to an end.
func (d *dataDir) clearEngine() error {
	if err := d.fs.RemoveAll(d.engine); err != nil {
		return fmt.Errorf("cannot write to member directory: %w", err)
	}
	return nil
}

func (d *dataDir) close() error { return d.lock.Close() }
