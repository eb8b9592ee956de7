package mvcc

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// TestCountsOfPages compares the counts of pages over many leaves, at the newest and at
// older revisions, with those of a sorted list, while keys come and go.
func TestCountsOfPages(t *testing.T) {
	h := newTestStore(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	name := func() string { return fmt.Sprintf("%c/%05d", "abc"[rnd.IntN(3)], rnd.IntN(4000)) }
	live := map[string]bool{}
	sorted := func() []string {
		var keys []string
		for k := range live {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		return keys
	}
	past := map[int64][]string{}
	known := 0
	for range 300 {
		var ops []*pb.RequestOp
		for used := map[string]bool{}; len(ops) < 1+rnd.IntN(60); {
			k := name()
			switch {
			case used[k]:
				continue
			case live[k] && rnd.IntN(3) == 0:
				ops = append(ops, opDelete(k, ""))
				delete(live, k)
			default:
				ops = append(ops, opPut(k, "v"))
				live[k] = true
			}
			used[k] = true
		}
		if _, err := h.txn(&pb.TxnRequest{Success: ops}); err != nil {
			t.Fatal(err)
		}
		now := h.store.Revision()
		past[now] = sorted()
		for i := range 12 {
			rev := now
			if i%3 == 2 {
				rev = max(2, now-rnd.Int64N(40))
			}
			keys := past[rev]
			from, to := name(), name()
			if i%2 == 0 { // the same ends again and again
				from, to = "a/", "c0"
			}
			if from > to {
				from, to = to, from
			}
			lo, hi := sort.SearchStrings(keys, from), sort.SearchStrings(keys, to)
			limit := 1 + rnd.Int64N(900)
			resp, err := h.get(&pb.RangeRequest{Key: []byte(from), RangeEnd: []byte(to), Limit: limit, Revision: rev})
			if err != nil {
				t.Fatal(err)
			}
			want := hi - lo
			if from == to {
				want = 0
			}
			if int(resp.Count) != want || len(resp.Kvs) != min(want, int(limit)) || resp.More != (want > int(limit)) {
				t.Fatalf("[%s, %s) limit %d at %d of %d: %d keys, count %d, more %v; there are %d", from, to, limit, rev, now,
					len(resp.Kvs), resp.Count, resp.More, want)
			}
		}
		known = max(known, len(h.store.heads.kept))
		if len(h.store.heads.kept) > keptHeads {
			t.Fatalf("%d heads are kept", len(h.store.heads.kept))
		}
	}
	if n := len(h.store.leaves.counts); n < 6 || known == 0 {
		t.Errorf("%d leaves, at most %d heads known: the test covers nothing", n, known)
	}
}
