package exchange

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"bowline/internal/engine"
)

// Backup copies the data directory of a stopped member, as etcd's command backup did.
type Backup struct {
	// DataDir is copied to BackupDir, in which there must be no member yet. LogDir is
	// where the log is, if it is not in DataDir, and BackupLogDir where its copy goes, if
	// not into BackupDir.
	DataDir, LogDir, BackupDir, BackupLogDir string
	// Timeout is how long a directory in use is waited for; 0 is for ever.
	Timeout time.Duration
}

// Run copies. Keys of both APIs are in one engine, so that all of them are in the copy,
// and so is the member's identity: it is to be started with --force-new-cluster. The
// directory member appears at the end; after an error nothing is left.
func (b *Backup) Run(ctx context.Context) (err error) {
	from := filepath.Join(b.DataDir, engine.MemberDir)
	if _, ours := memberOf(filepath.Join(from, engine.SignpostFile)); !ours {
		return fmt.Errorf("%s is no data directory of a stopped member of Bowline", b.DataDir)
	}
	lock, err := lockMember(ctx, from, b.Timeout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	to := filepath.Join(b.BackupDir, engine.MemberDir)
	for _, name := range []string{to, b.BackupLogDir} {
		if name == "" {
			continue
		}
		if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(fmt.Errorf("%s exists already", name), err)
		}
	}
	temporary := filepath.Join(b.BackupDir, engine.RestoringDir)
	if err := os.RemoveAll(temporary); err != nil {
		return err
	}
	if err := b.copy(ctx, from, temporary); err != nil {
		err = errors.Join(err, os.RemoveAll(temporary))
		if b.BackupLogDir != "" {
			err = errors.Join(err, os.RemoveAll(b.BackupLogDir))
		}
		return err
	}
	return errors.Join(os.Rename(temporary, to), syncDir(b.BackupDir))
}

func (b *Backup) copy(ctx context.Context, from, to string) error {
	log, logTo := b.LogDir, b.BackupLogDir
	if log == "" {
		log = filepath.Join(from, engine.LogDirName)
	}
	if logTo == "" {
		logTo = filepath.Join(to, engine.LogDirName)
	}
	if err := copyDir(ctx, from, to, filepath.Join(from, engine.LockFile), filepath.Join(from, engine.LogDirName)); err != nil {
		return err
	}
	// Scripts look for it, though here it holds no keys.
	if err := os.MkdirAll(filepath.Join(to, snapName), 0o700); err != nil {
		return err
	}
	return copyDir(ctx, log, logTo)
}

// copyDir copies files and directories durably, but for those that are left out.
func copyDir(ctx context.Context, from, to string, except ...string) error {
	return filepath.WalkDir(from, func(at string, entry fs.DirEntry, err error) error {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		inside, err := filepath.Rel(from, at)
		if err != nil {
			return err
		}
		for _, name := range except {
			if at == name && entry.IsDir() {
				return fs.SkipDir
			}
			if at == name {
				return nil
			}
		}
		target := filepath.Join(to, inside)
		if entry.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		return copyFile(ctx, at, target)
	})
}

func copyFile(ctx context.Context, from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, ReaderUntil(ctx, in))
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}
