package exchange

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bowline/internal/cluster"
	"bowline/internal/engine"
	"bowline/internal/fsm"
	"bowline/internal/mvcc"
	"bowline/internal/v2"
	"bowline/internal/wire"

	bolt "go.etcd.io/bbolt"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/membershippb"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// treeOf are the records of a tree.
func treeOf(t *testing.T, src engine.Reader) map[string]string {
	t.Helper()
	all := make(map[string]string)
	must(t, v2.EachRecord(src, func(body, value []byte) error {
		all[string(body)] = string(value)
		return nil
	}))
	return all
}

func sameTree(t *testing.T, got, want map[string]string) {
	t.Helper()
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if got[key] != want[key] {
			t.Errorf("record %q is %q, want %q", key, got[key], want[key])
		}
	}
	for _, key := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[key]; !ok {
			t.Errorf("record %q was not there", key)
		}
	}
}

// grow applies requests of API v2.
func (h *history) grow(requests ...wire.V2Request) {
	h.t.Helper()
	for _, r := range requests {
		h.index++
		r.ID = h.index
		must(h.t, h.f.Apply([]*raftpb.Entry{{Index: proto.Uint64(h.index), Term: proto.Uint64(1), Data: r.Encode()}}, agreed{}))
	}
}

// newHistory is one without anything in it.
func newHistory(t *testing.T) (*history, *engine.Engine) {
	return openHistory(t, filepath.Join(t.TempDir(), "engine"))
}

// openHistory goes on from a state.
func openHistory(t *testing.T, dir string) (*history, *engine.Engine) {
	e, err := engine.Open(dir, engine.Options{})
	must(t, err)
	t.Cleanup(func() { must(t, e.Close()) })
	f, err := fsm.Open(fsm.Config{
		Engine: e, Deliver: func(uint64, fsm.Result) {}, Publish: func(int64, []mvcc.Event, bool) {},
		LeaseGranted: func(int64, int64) {}, LeaseRevoked: func(int64) {}, EmptyEntry: func(uint64) {},
		Fatal: func(err error) { t.Error(err) },
	})
	must(t, err)
	return &history{t: t, f: f, random: rand.New(rand.NewPCG(3, 3))}, e
}

// snapshotOf writes a snapshot file of a state.
func snapshotOf(t *testing.T, f *fsm.FSM) string {
	t.Helper()
	x := f.Export()
	file, err := WriteImage(t.Context(), t.TempDir(), x)
	must(t, err)
	defer file.Close()
	must(t, x.Close())
	return copyOf(t, file)
}

const start = int64(1.7e18)

// planted is a snapshot of a state with keys of both APIs, and its tree.
func planted(t *testing.T, files int) (name string, tree map[string]string) {
	h, e := newHistory(t)
	for i := range files {
		r := wire.V2Request{Method: wire.V2Put, Path: fmt.Sprintf("/1/d%d/f%05d", i%7, i), Value: fmt.Sprintf("value\x00%d", i), Time: start}
		if i%3 == 0 {
			r.Expiration = start + int64(i)*1e9
		}
		h.grow(r)
	}
	h.grow(
		wire.V2Request{Method: wire.V2Put, Path: "/1/dir", Dir: true, Expiration: start + 1e15, Time: start},
		wire.V2Request{Method: wire.V2Post, Path: "/1/queue", Value: "job", Time: start},
		wire.V2Request{Method: wire.V2Put, Path: "/1/_hidden/nul\x00and\x01", Value: "\u00e9", Time: start},
		wire.V2Request{Method: wire.V2Delete, Path: "/1/d1/f00001", Time: start},
		wire.V2Request{Method: wire.V2Expire, Time: start + 5e9},
		wire.V2Request{Method: wire.V2Put, Path: "/2/users/ann", Value: `{"user":"ann"}`, Time: start},
		wire.V2Request{Method: wire.V2Put, Path: v2.EnabledPath, Value: "true", Time: start},
	)
	h.put()
	return snapshotOf(t, h.f), treeOf(t, e)
}

// TestTreeGoesAlong: a snapshot holds the tree of API v2 with its history, its times and
// its index, and so does what is restored of it.
func TestTreeGoesAlong(t *testing.T) {
	source, want := planted(t, 25_000)
	dir := filepath.Join(t.TempDir(), "data")
	_, err := Restore(t.Context(), RestoreOptions{Source: source, DataDir: dir, Name: "a", Members: initialOf("a"), Bump: 100})
	must(t, err)
	m := openMember(t, dir)
	sameTree(t, treeOf(t, m.engine), want)
	if !m.fsm.V2().Guarded() {
		t.Error("the access control of API v2 is lost")
	}
	again := filepath.Join(t.TempDir(), "data")
	_, err = Restore(t.Context(), RestoreOptions{Source: snapshotOf(t, m.fsm), DataDir: again, Name: "a", Members: initialOf("a")})
	must(t, err)
	sameTree(t, treeOf(t, openMember(t, again).engine), want)
}

// TestTreeThatWasNotUsed leaves no trace in a snapshot: its buckets are etcd's.
func TestTreeThatWasNotUsed(t *testing.T) {
	h, _ := newHistory(t)
	for range 100 {
		h.step()
	}
	if found := slices.Sorted(maps.Keys(readBuckets(t, snapshotOf(t, h.f)))); !slices.Equal(found, buckets) {
		t.Errorf("buckets %q, want %q", found, buckets)
	}
}

// TestDamagedTrees are refused, whether or not the digest is looked at.
func TestDamagedTrees(t *testing.T) {
	source, tree := planted(t, 50)
	whole, err := os.ReadFile(source)
	must(t, err)
	node := func(part string) []byte {
		for key := range tree {
			if key[0] == 'n' && strings.Contains(key, part) {
				return []byte(key)
			}
		}
		t.Fatalf("no node has %q in its path", part)
		return nil
	}
	for _, c := range []struct {
		name, want string
		spoil      func(b *bolt.Bucket) error
	}{
		{"an unknown kind", "unknown kind", func(b *bolt.Bucket) error { return b.Put([]byte("x"), nil) }},
		{"no kind", "unknown kind", func(b *bolt.Bucket) error { return b.Put([]byte{0}, nil) }},
		{"a node cut short", "damaged record of a node", func(b *bolt.Bucket) error { return b.Put(node("f00020"), []byte{0, 0x80}) }},
		{"a path cut short", "damaged path", func(b *bolt.Bucket) error { return b.Put([]byte("nx\x00"), []byte{0, 1, 1, 0}) }},
		{"a directory is missing", "in no directory", func(b *bolt.Bucket) error {
			for key := range tree {
				if key[0] == 'n' && strings.HasSuffix(key, "d4") {
					return b.Delete([]byte(key))
				}
			}
			return nil
		}},
		{"an expiry is missing", "expire, but", func(b *bolt.Bucket) error {
			for key := range tree {
				if key[0] == 'e' {
					return b.Delete([]byte(key))
				}
			}
			return nil
		}},
		{"the index is missing", "does not belong into the history", func(b *bolt.Bucket) error { return b.Delete([]byte("s")) }},
		{"the index is damaged", "the store's index", func(b *bolt.Bucket) error { return b.Put([]byte("s"), []byte{1}) }},
		{"an event in the wrong place", "the history", func(b *bolt.Bucket) error {
			return b.Put([]byte("h\x00\x00\x00\x00\x00\x00\x00\x09"), bytes.Clone(b.Get([]byte("h\x00\x00\x00\x00\x00\x00\x00\x0a"))))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "damaged.db")
			must(t, os.WriteFile(name, whole[:len(whole)-32], 0o600))
			db, err := bolt.Open(name, 0o600, nil)
			must(t, err)
			must(t, db.Update(func(tx *bolt.Tx) error { return c.spoil(tx.Bucket([]byte(treeBucket))) }))
			must(t, db.Close())
			dir := filepath.Join(t.TempDir(), "data")
			_, err = Restore(t.Context(), RestoreOptions{Source: name, DataDir: dir, Name: "a", Members: initialOf("a"), SkipDigest: true})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if _, err := os.Stat(dir); !os.IsNotExist(err) {
				t.Errorf("%s is left", dir)
			}
		})
	}
}

// TestTreesSettle: members that got their state from etcd at different times, which knows
// no tree, agree on the index from the first request of a client on.
func TestTreesSettle(t *testing.T) {
	h, _ := newHistory(t)
	first, err := cluster.FirstEntries(initialOf("a"))
	must(t, err)
	must(t, h.f.Apply(first, agreed{}))
	h.index = uint64(len(first))
	version := func(h *history) {
		h.apply(&pb.InternalRaftRequest{ClusterVersionSet: &membershippb.ClusterVersionSetRequest{Ver: "3.7.0"}})
	}
	version(h)
	for i := range 20 {
		h.grow(wire.V2Request{Method: wire.V2Put, Path: fmt.Sprintf("/1/k%d", i), Value: "v", Time: start})
	}
	imported := func() *history {
		image := Image{File: snapshotOf(t, h.f), Dir: t.TempDir()}
		image.Position, _ = h.f.At()
		dir := filepath.Join(t.TempDir(), "engine")
		must(t, image.Import(t.Context(), dir, engine.Options{}))
		to, e := openHistory(t, dir)
		to.index = h.index
		if treeOf(t, e)["n\x00\x011\x00\x01k3"] == "" {
			t.Error("the tree is lost")
		}
		must(t, to.f.Check(t.Context()))
		return to
	}
	early := imported()
	version(early)
	h.apply(&pb.InternalRaftRequest{Put: h.put()}) // an etcd would not count either
	late := imported()
	var sums []v2.Hash
	for _, h := range []*history{early, late} {
		version(h)
		h.grow(wire.V2Request{Method: wire.V2Read, Path: "/1"}, wire.V2Request{Method: wire.V2Put, Path: "/1/k3", Value: "w", Time: start})
		version(h)
		sum, err := h.f.V2().Hash(t.Context())
		must(t, err)
		sums = append(sums, sum)
		must(t, h.f.Check(t.Context()))
		if w, err := h.f.V2().Watch("/1", true, false, sum.Index-1); err != nil || (<-w.Events).Node.Value != "w" {
			t.Errorf("the history does not begin anew: %v", err)
		}
	}
	if sums[0] != sums[1] || sums[0].Index <= 20 {
		t.Errorf("the hashes are %v", sums)
	}
}
