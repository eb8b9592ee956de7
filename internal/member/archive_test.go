package member

import (
	"path/filepath"
	"testing"
	"time"

	"bowline/internal/archive"
	"bowline/internal/cluster"
	"bowline/internal/config"
	"bowline/internal/exchange"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/goleak"
)

// TestAStoppedMemberHasArchivedAll stops a member before its archive's interval is over:
// its last write is there, and no goroutine is left.
func TestAStoppedMemberHasArchivedAll(t *testing.T) {
	before := goleak.IgnoreCurrent()
	cfg := testConfig(t)
	cfg.Backup = config.Backup{Place: filepath.Join(t.TempDir(), "archive"), Interval: time.Hour}
	m, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	conn := dial(t, m)
	awaitCheckpoint(t, m)
	resp, err := pb.NewKVClient(conn).Put(t.Context(), &pb.PutRequest{Key: []byte("k"), Value: []byte("v")})
	if err != nil {
		t.Fatal(err)
	}
	last := resp.Header.Revision
	conn.Close()
	if err := m.Stop(); err != nil {
		t.Fatal(err)
	}
	goleak.VerifyNone(t, before)
	store, err := archive.Open(cfg.Backup.Place)
	if err != nil {
		t.Fatal(err)
	}
	c := cluster.Initial{Members: map[string][]string{"new": {"http://new:1"}}}
	r, err := archive.Restore(t.Context(), store, archive.Target{Revision: last},
		exchange.RestoreOptions{DataDir: filepath.Join(t.TempDir(), "data"), Name: "new", Members: c.First()})
	if err != nil || r.Revision != last {
		t.Errorf("restored %+v, %v, want revision %d", r, err, last)
	}
}

func awaitCheckpoint(t *testing.T, m *Member) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for m.archiver.Stats().Pieces.Load() == 0 {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("there is no checkpoint")
		}
	}
}
