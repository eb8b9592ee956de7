package faults

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bowline/internal/testkit"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// writeFile makes a file and the directories above it.
func writeFile(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestDirectoriesThatAreNotOurs are refused with a reason, and left as they were.
func TestDirectoriesThatAreNotOurs(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(t *testing.T, dir string)
		want string // "" if it is to start
	}{
		{"empty", func(t *testing.T, dir string) {
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
		}, ""},
		{"with other files", func(t *testing.T, dir string) { writeFile(t, filepath.Join(dir, "notes.txt"), "x") }, ""},
		{"of etcd", func(t *testing.T, dir string) {
			writeFile(t, filepath.Join(dir, "member", "snap", "db"), "x")
			writeFile(t, filepath.Join(dir, "member", "wal", "0000000000000000-0000000000000000.wal"), "x")
		}, "holds a data directory of etcd"},
		{"of etcd before its first log", func(t *testing.T, dir string) {
			writeFile(t, filepath.Join(dir, "member", "snap", "db"), "x")
		}, "holds a data directory of etcd"},
		{"of a newer version", func(t *testing.T, dir string) { writeFile(t, filepath.Join(dir, "member", "FORMAT"), "bowline 2\n") },
			"was written by a newer version"},
		{"of something else", func(t *testing.T, dir string) { writeFile(t, filepath.Join(dir, "member", "FORMAT"), "rabbit 1\n") },
			"not the format of a data directory"},
		{"with an empty format file", func(t *testing.T, dir string) { writeFile(t, filepath.Join(dir, "member", "FORMAT"), "") },
			"not the format of a data directory"},
		{"a file", func(t *testing.T, dir string) { writeFile(t, dir, "x") }, "cannot access data directory"},
		{"a file where the member should be", func(t *testing.T, dir string) { writeFile(t, filepath.Join(dir, "member"), "x") },
			"cannot access data directory"},
		{"a file where the log should be", func(t *testing.T, dir string) { writeFile(t, filepath.Join(dir, "member", "wal"), "x") },
			""},
		{"a file where the engine should be", func(t *testing.T, dir string) { writeFile(t, filepath.Join(dir, "member", "engine"), "x") },
			""}, // what a first start that failed has left is removed
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			c.make(t, dir)
			before := listing(t, dir)
			s, err := startOn(t, dir)
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Stop(); err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil {
				t.Fatal("it has started")
			}
			log := serverLog(t, dir)
			if !strings.Contains(lastLine(log), c.want) || strings.Contains(log, "panic") {
				t.Errorf("it says %s, want %q", lastLine(log), c.want)
			}
			after := strings.ReplaceAll(listing(t, dir), "member/LOCK\n", "")
			if strings.ReplaceAll(before, "member/LOCK\n", "") != after {
				t.Errorf("it has changed\n%sto\n%s", before, after)
			}
		})
	}
}

// listing names the files below dir with their contents.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		b.WriteString(rel + "\n")
		if content, rerr := os.ReadFile(path); rerr == nil && len(content) < 100 {
			b.Write(content)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestSecondProcess must not touch the directory of a first one, which goes on.
func TestSecondProcess(t *testing.T) {
	first := startServer(t)
	second, err := testkit.StartServer(etcd.Path(t), t.TempDir(), &ports, "--data-dir", first.DataDir)
	if err == nil {
		second.Kill()
		t.Fatal("two processes on one directory")
	}
	if !strings.Contains(err.Error(), "is in use by another process") {
		t.Errorf("the second one says: %v", err)
	}
	c := dialTest(t, first)
	if _, err := c.Put(testContext(t), &pb.PutRequest{Key: []byte("k")}); err != nil {
		t.Errorf("the first one: %v", err)
	}
	if err := first.Crash(); err != nil {
		t.Fatal(err)
	}
	// The lock of a killed process holds nobody up.
	if err := first.Restart(); err != nil {
		t.Fatal(err)
	}
}

// TestLostParts takes the log, or the engine, from under a member. What cannot be
// made whole again is refused, and never begun anew.
func TestLostParts(t *testing.T) {
	s := startServer(t)
	c := dialTest(t, s)
	ctx := testContext(t)
	for range 50 {
		if _, err := c.Put(ctx, &pb.PutRequest{Key: []byte("k"), Value: []byte("v")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"wal", "engine", "FORMAT"} {
		t.Run(part, func(t *testing.T) {
			copied := filepath.Join(t.TempDir(), "data")
			copyDir(t, s.DataDir, copied)
			if err := os.RemoveAll(filepath.Join(copied, "member", part)); err != nil {
				t.Fatal(err)
			}
			before := listing(t, copied)
			again, err := startOn(t, copied)
			if err != nil {
				if after := listing(t, copied); !strings.Contains(after, "engine/MANIFEST") && strings.Contains(before, "engine/MANIFEST") {
					t.Errorf("what was left is gone:\n%s", after)
				}
				if log := serverLog(t, copied); strings.Contains(log, "panic") || strings.Contains(log, "goroutine ") {
					t.Error(lastLine(log))
				}
				t.Log(lastLine(serverLog(t, copied)))
				return
			}
			resp, err := dialTest(t, again).Range(ctx, &pb.RangeRequest{Key: []byte("k")})
			if err != nil || resp.Count != 1 || resp.Kvs[0].ModRevision != 51 {
				t.Errorf("it has begun anew: %v %v", resp, err)
			}
		})
	}
}
