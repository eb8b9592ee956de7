package mvcc

import (
	"context"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// TestCompactionOvertaken schedules a compaction while the one before has passed
// some, but not all, of the deletions that it keeps: the new one must take them.
func TestCompactionOvertaken(t *testing.T) {
	h := newTestStore(t)
	h.txn(&pb.TxnRequest{Success: []*pb.RequestOp{opPut("a", "1"), opPut("b", "1"), opPut("c", "1")}}) // 2
	h.delete("a", "c")                                                                                 // 3
	h.put("c", "2", 0)                                                                                 // 4
	if err := h.schedule(3); err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.store.TakeCompactionHash(context.Background(), context.Background().Err); err != nil {
		t.Fatal(err)
	}
	if h.step(4) { // 2.0, 2.1, 2.2, 3.0
		t.Fatal("the first compaction is done")
	}
	if err := h.schedule(4); err != nil {
		t.Fatal(err)
	}
	for !h.step(1) {
	}
	if got := h.storedVersions(); len(got) != 1 || got[0] != (Revision{Main: 4}) {
		t.Errorf("stored %v, want 4.0 alone", got)
	}
}

func (h *testStore) storedVersions() []Revision {
	h.t.Helper()
	var revs []Revision
	if err := EachVersion(h.engine, func(v Version) error {
		revs = append(revs, v.Revision)
		return nil
	}); err != nil {
		h.t.Fatal(err)
	}
	return revs
}
