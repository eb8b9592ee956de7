package member

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bowline/internal/engine"
	"bowline/internal/exchange"
	"bowline/internal/testkit"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// unpackSnapshot writes a snapshot of etcd's, with 196 keys, to a file.
func unpackSnapshot(t *testing.T) string {
	t.Helper()
	b, err := testkit.Unzipped(filepath.Join("..", "exchange", "testdata", "snapshot-3.4.db.gz"))
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "backup.db")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestARestoredMember starts with all keys; and neither a restore that was cut short nor
// one whose log is not where the flags say is taken for an empty directory.
func TestARestoredMember(t *testing.T) {
	cfg := testConfig(t)
	logDir := filepath.Join(t.TempDir(), "log")
	_, err := exchange.Restore(t.Context(), exchange.RestoreOptions{
		Source: unpackSnapshot(t), DataDir: cfg.DataDir, LogDir: logDir, Name: cfg.Name, Members: cfg.initial().First(),
	})
	if err != nil {
		t.Fatal(err)
	}
	refused := func(want string) {
		t.Helper()
		if _, err := Start(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("got %v, want %q", err, want)
		}
	}
	refused("put the log back")

	cfg.WALDir = logDir
	restoring := filepath.Join(cfg.DataDir, engine.RestoringDir)
	if err := os.Mkdir(restoring, 0o700); err != nil {
		t.Fatal(err)
	}
	refused("a restore has left that did not come to its end")
	if err := os.Remove(restoring); err != nil {
		t.Fatal(err)
	}

	m := startMember(t, cfg)
	got, err := pb.NewKVClient(dial(t, m)).Range(t.Context(), &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}, CountOnly: true})
	if err != nil || got.Count != 196 || got.Header.Revision != 413 {
		t.Errorf("it serves %v, %v", got, err)
	}
}
