package member

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bowline/internal/audit"
	"bowline/internal/rpc/lockpb"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// TestAuditTellsPhases of calls that took long, as the log does, and of no others.
func TestAuditTellsPhases(t *testing.T) {
	cfg := testConfig(t)
	cfg.Audit.Path, cfg.Audit.MaxSizeMB = filepath.Join(t.TempDir(), "audit.log"), 1
	m := startMember(t, cfg)
	conn := dial(t, m)
	locks, name := lockpb.NewLockClient(conn), []byte("l")
	ours, err := locks.Lock(t.Context(), &lockpb.LockRequest{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	theirs := make(chan error, 1)
	go func() {
		_, err := locks.Lock(t.Context(), &lockpb.LockRequest{Name: name})
		theirs <- err
	}()
	select {
	case err := <-theirs:
		t.Fatal("two hold it:", err)
	case <-time.After(200 * time.Millisecond): // a call is to take so long
	}
	if _, err := locks.Unlock(t.Context(), &lockpb.UnlockRequest{Key: ours.Key}); err != nil {
		t.Fatal(err)
	}
	if err := <-theirs; err != nil {
		t.Fatal(err)
	}
	if _, err := pb.NewMaintenanceClient(conn).Status(t.Context(), &pb.StatusRequest{}); err != nil {
		t.Fatal(err)
	}
	if err := m.Stop(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(cfg.Audit.Path)
	if err != nil {
		t.Fatal(err)
	}
	waited := 0
	for line := range strings.Lines(string(text)) {
		var r audit.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for _, p := range r.Phases {
			sum += p.Took
		}
		if r.Took > 150 && r.Call == "Lock/Lock" {
			waited++
			if len(r.Phases) < 3 || r.Phases[1].Name != "agree" || sum < r.Took-1 || sum > r.Took+1 {
				t.Errorf("the phases of %v ms are %v", r.Took, r.Phases)
			}
		}
		if r.Call == "Maintenance/Status" && (r.Took != 0 || r.Phases != nil || strings.Contains(line, "phases")) {
			t.Errorf("a fast call: %s", line)
		}
	}
	if waited != 1 {
		t.Errorf("%d calls waited:\n%s", waited, text)
	}
}
