package mvcc

import (
	"context"
	"errors"
	"hash/crc32"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// TestHashKVWorkedExample walks through the history whose hashes were observed
// on etcd 3.5 to 3.7, compactions included.
func TestHashKVWorkedExample(t *testing.T) {
	h := newTestStore(t)
	h.leases[4660] = true
	h.put("foo/a", "A1", 0)
	h.put("foo/b", "B1", 4660)
	h.txn(&pb.TxnRequest{Success: []*pb.RequestOp{opPut("foo/c", "C1"), opPut("foo/d", "D1"), opDelete("foo/a", "")}})
	h.put("foo/b", "B2", 0)
	h.delete("foo/", "foo0")
	h.put("foo/a", "A2", 0)
	h.put("foo/a", "A3", 0)
	h.put("e", "", 0)

	h.wantHashes(map[int64]Hash{
		2: {1528584306, 2, -1}, 3: {1954617181, 3, -1}, 4: {2697450515, 4, -1}, 5: {891997171, 5, -1},
		6: {2469882110, 6, -1}, 7: {4036017921, 7, -1}, 8: {2997392166, 8, -1}, 9: {309670227, 9, -1}, 0: {309670227, 9, -1},
	})
	h.wantHashError(10, ErrFutureRevision)

	h.compact(6)
	h.wantHashes(map[int64]Hash{
		0: {6857021, 9, 6}, 6: {2469882110, 6, -1}, 7: {2356607029, 7, 6}, 8: {90665717, 8, 6}, 9: {6857021, 9, 6},
	})
	h.wantHashError(5, ErrCompacted)

	h.put("foo/c", "C2", 0)
	h.delete("foo/a", "")
	h.wantHashes(map[int64]Hash{
		0: {292691891, 11, 6}, 9: {6857021, 9, 6}, 10: {1545588812, 10, 6}, 11: {292691891, 11, 6},
	})
	h.compact(8)
	h.wantHashes(map[int64]Hash{
		0: {4218062535, 11, 8}, 6: {2469882110, 6, -1}, 8: {90665717, 8, 6}, 9: {3231379427, 9, 8}, 10: {3396450745, 10, 8},
	})
	h.wantHashError(7, ErrCompacted)
	h.compact(11)
	h.wantHashes(map[int64]Hash{0: {738765561, 11, 11}, 11: {4218062535, 11, 8}})
	h.wantHashError(9, ErrCompacted)

	h.delete("e", "")
	h.delete("foo/c", "")
	h.wantHashes(map[int64]Hash{0: {4063947123, 13, 11}, 12: {241085522, 12, 11}})
	h.compact(13)
	// A negative revision names nothing; before, it was looked for without end.
	h.wantHashes(map[int64]Hash{0: {1084519789, 13, 13}, -2: {1084519789, -2, 13}})
	// 13 itself is remembered from the compaction: same sum as from a scan.
	if got, _ := h.store.hashes.get(13); got != (Hash{712029375, 13, 11}) && got.Sum != 712029375 {
		t.Errorf("compaction hash at 13 = %+v, want sum 712029375 at 11", got)
	}
}

func TestHashKVOfEmptyStore(t *testing.T) {
	h := newTestStore(t)
	h.wantHashes(map[int64]Hash{0: {1084519789, 1, -1}})
}

func (h *testStore) wantHashes(want map[int64]Hash) {
	h.t.Helper()
	for rev, w := range want {
		got, _, err := h.store.HashKV(context.Background(), rev)
		if err != nil || got != w {
			h.t.Errorf("HashKV(%d) = %+v, %v; want %+v", rev, got, err, w)
		}
	}
}

func (h *testStore) wantHashError(rev int64, want error) {
	h.t.Helper()
	if _, _, err := h.store.HashKV(context.Background(), rev); !errors.Is(err, want) {
		h.t.Errorf("HashKV(%d): %v, want %v", rev, err, want)
	}
}

func TestCombineCRC(t *testing.T) {
	c := newCombiner()
	data := make([]byte, 5000)
	for i := range data {
		data[i] = byte(i * 7)
	}
	for _, cut := range []int{0, 1, 3, 17, 512, 4999, 5000} {
		a, b := crc32.Checksum(data[:cut], castagnoli), crc32.Checksum(data[cut:], castagnoli)
		if got, want := c.concat(a, b, len(data)-cut), crc32.Checksum(data, castagnoli); got != want {
			t.Errorf("cut at %d: %08x, want %08x", cut, got, want)
		}
	}
}

// TestHashesOfAnEmptyStoreAreNotCompared: the hash of the same revision and compaction has two values, of which a member
// answers with one before it has compacted, and with the other afterwards.
func TestHashesOfAnEmptyStoreAreNotCompared(t *testing.T) {
	ctx := context.Background()
	h := newTestStore(t)
	h.put("a", "1", 0)
	h.compact(2)
	wantComparable := func(rev int64, want bool) {
		t.Helper()
		if got, err := h.store.Comparable(ctx, rev); err != nil || got != want {
			t.Errorf("revision %d comparable: %v, %v", rev, got, err)
		}
	}
	wantComparable(2, true)
	h.delete("a", "")
	before, _, err := h.store.HashKV(ctx, 3)
	if err != nil {
		t.Fatal(err)
	}
	wantComparable(3, false)
	known := len(h.store.CompactionHashes())
	h.compact(3)
	after, _, err := h.store.HashKV(ctx, 3)
	if err != nil {
		t.Fatal(err)
	}
	if before.Revision != after.Revision || before.Compacted != after.Compacted || before.Sum == after.Sum {
		t.Errorf("hashes %+v and %+v: if they can be compared now, they should be", before, after)
	}
	if n := len(h.store.CompactionHashes()); n != known {
		t.Errorf("%d hashes to be compared, %d before", n, known)
	}
}
