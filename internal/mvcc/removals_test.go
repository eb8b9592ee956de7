package mvcc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"pgregory.net/rapid"
)

// TestSorterSorts whatever is added between two parts of the work.
func TestSorterSorts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := sorter{compare: func(a, b keySpan) int { return int(a.begin) - int(b.begin) }}
		pause := context.Background().Err
		for range rapid.IntRange(0, 2).Draw(t, "times") {
			var want []keySpan
			for _, part := range rapid.SliceOfN(rapid.SliceOf(rapid.Uint16()), 0, 20).Draw(t, "parts") {
				for _, n := range part {
					want = append(want, keySpan{begin: uint32(n)})
					s.add(keySpan{begin: uint32(n)})
				}
				if err := s.settle(pause); err != nil {
					t.Fatal(err)
				}
			}
			slices.SortFunc(want, s.compare)
			if got, err := s.all(pause); err != nil || !slices.Equal(got, want) {
				t.Fatalf("%v %v, want %v", got, err, want)
			}
			s.reset()
		}
	})
}

func TestSortRevisions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var revs []Revision
		top := rapid.SampledFrom([]int64{0, 200, 70000, 1 << 40, math.MaxInt64}).Draw(t, "top")
		for range rapid.IntRange(0, 50).Draw(t, "n") {
			revs = append(revs, Revision{rapid.Int64Range(0, top).Draw(t, "main"), rapid.Int64Range(0, top>>8).Draw(t, "sub")})
		}
		want := slices.Clone(revs)
		slices.SortFunc(want, func(a, b Revision) int { return cmp.Or(cmp.Compare(a.Main, b.Main), cmp.Compare(a.Sub, b.Sub)) })
		if sortRevisions(revs); !slices.Equal(revs, want) {
			t.Fatalf("%v, want %v", revs, want)
		}
	})
}

// sameKeys walks the keys, of which there must be so many, and checks the whole state:
// whatever a compaction has removed so far.
func (h *testStore) sameKeys(want int) {
	h.t.Helper()
	resp, err := h.get(&pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}, KeysOnly: true})
	if err != nil {
		h.t.Fatal(err)
	}
	if len(resp.Kvs) != want {
		h.t.Fatalf("%d keys are live, want %d", len(resp.Kvs), want)
	}
	if err := h.store.Check(context.Background()); err != nil {
		h.t.Fatal(err)
	}
}

// TestCompactionOfManyVersions removes them in one batch that stands beside the memtables,
// and, from an engine with large ones, in many that go into them. A removal that was given
// up in between is done again.
func TestCompactionOfManyVersions(t *testing.T) {
	for name, memTable := range map[string]int64{"whole": 512 << 10, "in small batches": 64 << 20} {
		t.Run(name, func(t *testing.T) {
			h := newTestStoreWith(t, memTable)
			const keys, rounds = 1200, 4
			for range rounds {
				for i := range keys {
					h.put(fmt.Sprintf("key%d", i*7919%keys), "value", 0)
				}
			}
			h.delete("key1", "key2")
			h.put("last", "value", 0) // so that the deletions go, too
			rev := h.store.Revision()
			if err := h.schedule(rev); err != nil {
				t.Fatal(err)
			}
			live := int(h.store.Keys())
			walk, err := h.store.WalkCompaction()
			if err != nil {
				t.Fatal(err)
			}
			enough := errors.New("enough")
			paused := 0
			if _, err := walk.Read(rounds*keys*2, context.Background().Err); err != nil {
				t.Fatal(err)
			}
			changes, size := 2*walk.obsolete.count(), walk.obsolete.size()
			if whole := walk.it.KeepsWhole(changes, size); whole != (name == "whole") {
				t.Fatalf("%d changes, %d bytes: kept whole: %v", changes, size, whole)
			}
			if _, err := walk.Remove(func() error {
				h.sameKeys(live)
				if paused++; paused > 5 {
					return enough
				}
				return nil
			}); !errors.Is(err, enough) {
				t.Fatalf("a removal was not given up: %v after %d pauses", err, paused)
			}
			if err := walk.Close(); err != nil {
				t.Fatal(err)
			}
			h.sameKeys(live)
			if !h.step(rounds * keys * 2) {
				t.Fatal("it is not done")
			}
			h.sameKeys(live)
			versions := 0
			if err := EachVersion(h.engine, func(Version) error { versions++; return nil }); err != nil {
				t.Fatal(err)
			}
			if versions != live {
				t.Errorf("%d versions are left, want %d", versions, live)
			}
		})
	}
}
