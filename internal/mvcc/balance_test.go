package mvcc

import (
	"fmt"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// TestLeavesDoNotOutliveTheirKeys puts and deletes ever new names, as Kubernetes
// does with events: the count leaves must not grow with all names there ever were.
func TestLeavesDoNotOutliveTheirKeys(t *testing.T) {
	h := newTestStore(t)
	const rounds, names = 12, 4000
	for round := range rounds {
		for i := 0; i < names; i += 100 {
			var ops []*pb.RequestOp
			for j := range 100 {
				ops = append(ops, opPut(fmt.Sprintf("events/%04d/%06d", round, i+j), "x"))
			}
			if _, err := h.txn(&pb.TxnRequest{Success: ops}); err != nil {
				t.Fatal(err)
			}
		}
		if n := h.store.Keys(); n != names {
			t.Fatalf("round %d: %d keys are counted, want %d", round, n, names)
		}
		h.delete("events/", "events0")
	}
	if n, most := len(h.store.leaves.counts), 3*names/leafKeys+2*mergeAfter; n > most {
		t.Errorf("%d leaves are left after %d names were deleted, want at most %d", n, rounds*names, most)
	}
	h.put("events/z", "x", 0)
	if resp, err := h.get(&pb.RangeRequest{Key: []byte("events/"), RangeEnd: []byte("events0"), CountOnly: true}); err != nil || resp.Count != 1 {
		t.Errorf("count %v, %v; want 1", resp.GetCount(), err)
	}
}
