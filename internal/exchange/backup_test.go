package exchange

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bowline/internal/engine"
)

// TestBackup copies a directory with keys of both APIs, with its log inside and elsewhere.
func TestBackup(t *testing.T) {
	source, tree := planted(t, 100)
	data := filepath.Join(t.TempDir(), "data")
	_, err := Restore(t.Context(), RestoreOptions{Source: source, DataDir: data, Name: "a", Members: initialOf("a")})
	must(t, err)
	inside := filepath.Join(t.TempDir(), "inside")
	must(t, (&Backup{DataDir: data, BackupDir: inside}).Run(t.Context()))
	sameTree(t, treeOf(t, openMember(t, inside).engine), tree)

	outside, log := filepath.Join(t.TempDir(), "outside"), filepath.Join(t.TempDir(), "log")
	must(t, (&Backup{DataDir: data, BackupDir: outside, BackupLogDir: log}).Run(t.Context()))
	if _, err := os.Stat(filepath.Join(outside, "member", "wal")); !os.IsNotExist(err) {
		t.Errorf("the log is in the copy: %v", err)
	}
	back := filepath.Join(t.TempDir(), "back")
	must(t, (&Backup{DataDir: outside, LogDir: log, BackupDir: back}).Run(t.Context()))
	sameTree(t, treeOf(t, openMember(t, back).engine), tree)
}

// TestBackupRefuses what is in use, what is no member's, and a place that is taken.
func TestBackupRefuses(t *testing.T) {
	source, _ := planted(t, 5)
	data := filepath.Join(t.TempDir(), "data")
	_, err := Restore(t.Context(), RestoreOptions{Source: source, DataDir: data, Name: "a", Members: initialOf("a")})
	must(t, err)
	refused := func(b Backup, want string) {
		t.Helper()
		b.Timeout = time.Millisecond
		if err := b.Run(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	to := filepath.Join(t.TempDir(), "to")
	refused(Backup{DataDir: t.TempDir(), BackupDir: to}, "is no data directory")
	refused(Backup{DataDir: unpackDir(t, "datadir-3.7"), BackupDir: to}, "is no data directory")
	refused(Backup{DataDir: data, BackupDir: data}, "exists already")
	refused(Backup{DataDir: data, LogDir: filepath.Join(to, "none"), BackupDir: to}, "no such file")
	refused(Backup{DataDir: data, BackupDir: to, BackupLogDir: data}, "exists already")
	lock, err := lockMember(t.Context(), filepath.Join(data, engine.MemberDir), 0)
	must(t, err)
	defer lock.Close()
	refused(Backup{DataDir: data, BackupDir: to}, "is in use")
	if names, err := os.ReadDir(to); err == nil && len(names) > 0 {
		t.Errorf("left behind: %v", names)
	}
}
