package faults

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// TestCompactionMeetsDamage has compactions of both kinds, ours and the engine's,
// read damaged blocks. The server says so, again only when it is asked to compact
// again, and goes on serving what is intact.
func TestCompactionMeetsDamage(t *testing.T) {
	dir, want := prepareDamage(t)
	name := filesByClass(t, dir)["table"][0]
	content, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	parts := 6
	if testing.Short() {
		parts = 2
	}
	gaveUp, refused := 0, 0
	for i := range parts {
		copied := filepath.Join(t.TempDir(), "data")
		copyDir(t, dir, copied)
		broken := append([]byte(nil), content...)
		// The front of a table has the revision records, which our compaction reads,
		// but for the first block, which every start reads. It reads the last of them,
		// too, and where that lies differs a little from run to run.
		broken[20_000+len(broken)*i/(8*parts)] ^= 4
		if err := os.WriteFile(filepath.Join(copied, name), broken, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := startOn(t, copied)
		if err != nil && strings.Contains(err.Error(), filepath.Base(name)) {
			refused++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		c := dialTest(t, s)
		ctx, cancel := context.WithTimeout(testContext(t), 20*time.Second)
		_, compactErr := c.Compact(ctx, &pb.CompactionRequest{Revision: damageRevision - 10})
		_, reclaimErr := c.Defragment(ctx, &pb.DefragmentRequest{})
		if reclaimErr == nil {
			t.Errorf("part %d: everything was rewritten, as if nothing were damaged", i)
		}
		// A second compaction meets it again.
		if _, err := c.Compact(ctx, &pb.CompactionRequest{Revision: damageRevision - 5}); err != nil || compactErr != nil {
			t.Errorf("part %d: compactions %v, %v", i, compactErr, err)
		}
		got, errs := readContents(ctx, c)
		for way, x := range got {
			// History before the compaction is gone, by right.
			if strings.HasPrefix(way, "key") || way == "count" || way == "all" {
				if x != want[way] {
					t.Errorf("part %d: WRONG DATA is served when reading %s", i, way)
				}
			}
		}
		cancel()
		log := serverLog(t, copied)
		if !strings.Contains(log, filepath.Base(name)) {
			t.Errorf("part %d: the damaged file is not named", i)
		}
		if strings.Contains(log, "is given up until the next one") {
			gaveUp++
		}
		if n := strings.Count(log, "\n"); n > 2000 {
			t.Errorf("part %d: %d lines in the log", i, n)
		}
		if err := s.Stop(); err != nil {
			t.Errorf("part %d: %v", i, err)
		}
		t.Logf("part %d: %d ways of reading failed", i, len(errs))
	}
	if refused > 1 {
		t.Errorf("%d of %d damaged stores were not opened", refused, parts)
	}
	if gaveUp == 0 {
		t.Error("no compaction of ours has met the damage: the test does not test it")
	}
}
