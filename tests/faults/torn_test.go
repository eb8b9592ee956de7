package faults

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// TestTornTail damages the end of a killed member's log as a crash of the machine
// may: the last record is cut, and everything before it is there.
func TestTornTail(t *testing.T) {
	s := startServer(t)
	c := dialTest(t, s)
	ctx := testContext(t)
	const keys = 20
	for i := range keys {
		if _, err := c.Put(ctx, &pb.PutRequest{Key: fmt.Appendf(nil, "k%02d", i), Value: bytes.Repeat([]byte("v"), 2000)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Crash(); err != nil {
		t.Fatal(err)
	}
	logs, err := filepath.Glob(filepath.Join(s.DataDir, "member", "wal", "*.wal"))
	if err != nil || len(logs) == 0 {
		t.Fatal(logs, err)
	}
	name, err := filepath.Rel(s.DataDir, slices.Max(logs))
	if err != nil {
		t.Fatal(err)
	}
	const sector = 512 // what a disk writes at once
	for what, tear := range map[string]func(content []byte, end int) []byte{
		"a byte short":    func(content []byte, end int) []byte { return content[:end-1] },
		"200 bytes short": func(content []byte, end int) []byte { return content[:end-200] },
		"without its last sector": func(content []byte, end int) []byte {
			clear(content[(end-1)/sector*sector:])
			return content
		},
	} {
		t.Run(what, func(t *testing.T) {
			copied := filepath.Join(t.TempDir(), "data")
			copyDir(t, s.DataDir, copied)
			content, err := os.ReadFile(filepath.Join(copied, name))
			if err != nil {
				t.Fatal(err)
			}
			content = tear(content, written(content))
			if err := os.WriteFile(filepath.Join(copied, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
			again, err := startOn(t, copied)
			if err != nil {
				t.Fatal(err)
			}
			all := []byte{0}
			resp, err := dialTest(t, again).Range(ctx, &pb.RangeRequest{Key: all, RangeEnd: all})
			if err != nil {
				t.Fatal(err)
			}
			if resp.Count < keys-1 || resp.Count > keys || string(resp.Kvs[keys-2].Key) != fmt.Sprintf("k%02d", keys-2) {
				t.Errorf("%d keys are left of %d", resp.Count, keys)
			}
			if err := again.Stop(); err != nil {
				t.Error(err)
			}
			checkOffline(t, copied)
		})
	}
}
