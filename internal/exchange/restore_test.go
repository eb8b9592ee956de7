package exchange

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"bowline/internal/cluster"
	"bowline/internal/engine"
	"bowline/internal/mvcc"

	bolt "go.etcd.io/bbolt"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

func initialOf(names ...string) []cluster.Member {
	c := cluster.Initial{Token: "t", Members: make(map[string][]string)}
	for _, name := range names {
		c.Members[name] = []string{"http://" + name + ":2380"}
	}
	return c.First()
}

// TestRestore restores etcd's snapshots, compares every record with what etcd has told
// of them, and what we write of that with the snapshot, read by bbolt.
func TestRestore(t *testing.T) {
	for _, name := range []string{"snapshot-3.4", "snapshot-3.7"} {
		t.Run(name, func(t *testing.T) {
			source, want := unpackSnapshot(t, name), loadManifest(t, name)
			dir := filepath.Join(t.TempDir(), "data")
			members := initialOf("a", "b", "c")
			got, err := Restore(t.Context(), RestoreOptions{Source: source, DataDir: dir, Name: "b", Members: members})
			must(t, err)
			if got.Revision != want.Revision || got.Keys != want.KeyCount || got.ClusterID != cluster.ID([]uint64{members[0].ID, members[1].ID, members[2].ID}) {
				t.Errorf("restored %+v", got)
			}
			m := openMember(t, dir)
			m.compare(t, want)
			if got := m.fsm.Members().Members(); !reflect.DeepEqual(got, members) {
				t.Errorf("members %+v, want %+v", got, members)
			}
			if m.log.Metadata.NodeID != got.MemberID || m.log.Metadata.ClusterID != got.ClusterID || m.log.LastIndex != 3 || m.log.HardState.Commit != 3 {
				t.Errorf("the log: %+v", m.log)
			}
			x := m.fsm.Export()
			file, err := WriteImage(t.Context(), t.TempDir(), x)
			must(t, err)
			defer file.Close()
			must(t, x.Close())
			compareBuckets(t, source, copyOf(t, file))
		})
	}
}

// copyOf makes a snapshot file of an image without a name.
func copyOf(t *testing.T, f *os.File) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "copy.db")
	to, err := os.Create(name)
	must(t, err)
	_, err = to.ReadFrom(WithDigest(f))
	must(t, err)
	must(t, to.Close())
	return name
}

// ownBuckets are those of a cluster or of a program, which a restore gives anew.
var ownBuckets = []string{"members", "members_removed", "meta"}

// compareBuckets compares two databases as bbolt reads them.
func compareBuckets(t *testing.T, a, b string) {
	t.Helper()
	want, got := readBuckets(t, a), readBuckets(t, b)
	if !slices.Equal(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))) {
		t.Errorf("buckets %q, want %q", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
	for name := range want {
		if slices.Contains(ownBuckets, name) {
			continue
		}
		for key, value := range want[name] {
			if !bytes.Equal(got[name][key], value) {
				t.Errorf("%s: %q is %x, want %x", name, key, got[name][key], value)
			}
			delete(got[name], key)
		}
		for key := range got[name] {
			t.Errorf("%s: %q was not there", name, key)
		}
	}
	for _, key := range []string{"scheduledCompactRev", "finishedCompactRev"} {
		if !bytes.Equal(got["meta"][key], want["meta"][key]) {
			t.Errorf("%s is %x, want %x", key, got["meta"][key], want["meta"][key])
		}
	}
}

func readBuckets(t *testing.T, name string) map[string]map[string][]byte {
	t.Helper()
	db, err := bolt.Open(name, 0o600, &bolt.Options{ReadOnly: true})
	must(t, err)
	defer db.Close()
	all := make(map[string]map[string][]byte)
	must(t, db.View(func(tx *bolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bolt.Bucket) error {
			records := make(map[string][]byte)
			all[string(name)] = records
			return b.ForEach(func(k, v []byte) error {
				if string(name) == "authUsers" || string(name) == "authRoles" {
					v = canonical(t, string(name), v)
				}
				if string(k) == "authEnabled" && v[0] == 0 {
					return nil // 3.4 leaves it out
				}
				records[string(k)] = bytes.Clone(v)
				return nil
			})
		})
	}))
	return all
}

// TestRestoreBumped raises the revision: the mark is part of the hash, and nothing else
// shows it.
func TestRestoreBumped(t *testing.T) {
	source := unpackSnapshot(t, "snapshot-3.4")
	dir := filepath.Join(t.TempDir(), "data")
	_, err := Restore(t.Context(), RestoreOptions{Source: source, DataDir: dir, Name: "a", Members: initialOf("a"), Bump: 1000})
	must(t, err)
	m := openMember(t, dir)
	s := m.fsm.Store()
	h, current, err := s.HashKV(t.Context(), 0)
	must(t, err)
	if h.Sum != 3506924392 || h.Compacted != 1413 || current != 1413 { // as etcd has it
		t.Errorf("hash %+v at %d", h, current)
	}
	if s.Keys() != 196 {
		t.Errorf("%d keys", s.Keys())
	}
	events := 0
	must(t, s.Changes(t.Context(), []byte{0}, []byte{0}, 1413, 1413, func(mvcc.Event) bool {
		events++
		return true
	}))
	if events != 0 {
		t.Errorf("a watcher is shown %d events", events)
	}
	if err := s.Changes(t.Context(), []byte{0}, []byte{0}, 1412, 1413, func(mvcc.Event) bool { return true }); err != mvcc.ErrCompacted {
		t.Errorf("watching from below: %v", err)
	}
	want := loadManifest(t, "snapshot-3.4")
	m.compareKeys(t, want)
	group := s.Begin(nil, false)
	_, err = group.Put(&pb.PutRequest{Key: []byte("k")})
	must(t, err)
	if group.Revision() != 1414 {
		t.Errorf("the next revision is %d", group.Revision())
	}
	group.Discard()
}

// TestRestoreLeavesNothing after an error, and overwrites nothing.
func TestRestoreLeavesNothing(t *testing.T) {
	source := unpackSnapshot(t, "snapshot-3.7")
	whole, err := os.ReadFile(source)
	must(t, err)
	cut := filepath.Join(t.TempDir(), "cut.db")
	must(t, os.WriteFile(cut, whole[:len(whole)/2], 0o600))
	dir := filepath.Join(t.TempDir(), "data")
	full := t.TempDir()
	must(t, os.WriteFile(filepath.Join(full, "x"), nil, 0o600))
	for _, c := range []struct {
		name string
		o    RestoreOptions
		want string
	}{
		{"no file", RestoreOptions{Source: "no-such-file", DataDir: dir}, "open no-such-file: no such file or directory"},
		{"no digest", RestoreOptions{Source: cut, DataDir: dir}, "snapshot missing hash but --skip-hash-check=false"},
		{"cut", RestoreOptions{Source: cut, DataDir: dir, SkipDigest: true}, "the file ends here, but the database has"},
		{"in use", RestoreOptions{Source: source, DataDir: full}, "not empty or could not be read"},
		{"a log's directory in use", RestoreOptions{Source: source, DataDir: dir, LogDir: full}, "exists"},
		{"another member", RestoreOptions{Source: source, DataDir: dir, Name: "x"}, `couldn't find local name "x"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.o.Members = initialOf("a")
			if c.o.Name == "" {
				c.o.Name = "a"
			}
			_, err := Restore(t.Context(), c.o)
			if err == nil || !bytes.Contains([]byte(err.Error()), []byte(c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if _, err := os.Stat(dir); !os.IsNotExist(err) {
				t.Errorf("%s is left: %v", dir, err)
			}
		})
	}
	// What a killed restore has left is in nobody's way.
	must(t, os.MkdirAll(filepath.Join(dir, engine.RestoringDir, "engine"), 0o700))
	logDir := filepath.Join(t.TempDir(), "log")
	_, err = Restore(t.Context(), RestoreOptions{Source: source, DataDir: dir, LogDir: logDir, Name: "a", Members: initialOf("a")})
	must(t, err)
	names, err := os.ReadDir(dir)
	must(t, err)
	if len(names) != 1 || names[0].Name() != engine.MemberDir {
		t.Errorf("the directory holds %v", names)
	}
	if logs, err := os.ReadDir(logDir); err != nil || len(logs) != 1 {
		t.Errorf("the log's directory holds %v, %v", logs, err)
	}
}
