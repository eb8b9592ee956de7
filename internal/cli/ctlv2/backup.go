package ctlv2

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

func backupCommand() command {
	return command{name: "backup", usage: "copy the data directory of a member that is stopped", run: backup, options: []option{
		opt("data-dir", textOption, "", "the directory to be copied"),
		opt("wal-dir", textOption, "", "where its log is, if not in it"),
		opt("backup-dir", textOption, "", "where the copy goes"),
		opt("backup-wal-dir", textOption, "", "where the copy's log goes, if not into it"),
		opt("with-v3", flagOption, "", "accepted: keys of API v3 are always copied"),
	}}
}

// What is looked for in a data directory.
const (
	memberDir = "member"
	walDir    = "wal"
	lockFile  = "LOCK"
)

// backup copies a data directory. Keys of both APIs are in one engine, so all of them
// are in the copy, and the identity of the member as well: it is to be started with
// --force-new-cluster.
func backup(s *session, _ []string) error {
	data, to := s.options.text("data-dir"), s.options.text("backup-dir")
	if data == "" || to == "" {
		return bareText("backup needs --data-dir and --backup-dir")
	}
	from := filepath.Join(data, memberDir)
	lock, err := lockDir(from)
	if err != nil {
		return bare(err)
	}
	defer lock.Close()
	if _, err := os.Stat(filepath.Join(to, memberDir)); !errors.Is(err, fs.ErrNotExist) {
		return bareText(filepath.Join(to, memberDir) + " exists already")
	}
	if err := copyTree(from, filepath.Join(to, memberDir), lockFile); err != nil {
		return bare(err)
	}
	// Scripts look for it, though here it holds no keys.
	if err := os.MkdirAll(filepath.Join(to, memberDir, "snap"), 0o700); err != nil {
		return bare(err)
	}
	wal, walTo := s.options.text("wal-dir"), s.options.text("backup-wal-dir")
	if walTo == "" {
		walTo = filepath.Join(to, memberDir, walDir)
	} else if wal == "" {
		wal = filepath.Join(from, walDir)
		if err := os.RemoveAll(filepath.Join(to, memberDir, walDir)); err != nil {
			return bare(err)
		}
	}
	if wal != "" {
		if err := copyTree(wal, walTo, lockFile); err != nil {
			return bare(err)
		}
	}
	fmt.Fprintf(s.env.Err, "the data directory %s was copied to %s; start it with --force-new-cluster\n", data, to)
	return nil
}

// lockDir keeps a member from starting on a directory while it is copied, and refuses
// one that is in use.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("%s is no data directory of a stopped member: %w", filepath.Dir(dir), err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s is in use: stop the member first: %w", filepath.Dir(dir), err)
	}
	return f, nil
}

// copyTree copies files and directories, durably, but for files of one name.
func copyTree(from, to, except string) error {
	return filepath.WalkDir(from, func(at string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(from, at)
		if err != nil {
			return err
		}
		target := filepath.Join(to, inside)
		switch {
		case entry.IsDir():
			return os.MkdirAll(target, 0o700)
		case entry.Name() == except || !entry.Type().IsRegular():
			return nil
		}
		return copyFile(at, target)
	})
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}
