package mvcc

import (
	"fmt"
	"sort"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

func keysOf(resp *pb.RangeResponse) []string {
	var keys []string
	for _, kv := range resp.Kvs {
		keys = append(keys, string(kv.Key))
	}
	return keys
}

func TestSortWithoutAnOrderCutsFirst(t *testing.T) {
	h := newTestStore(t)
	for _, key := range []string{"d", "c", "b", "a"} {
		h.put(key, "v", 0)
	}
	for _, c := range []struct {
		name string
		req  *pb.RangeRequest
		want string
	}{
		{"no order", &pb.RangeRequest{Limit: 2}, "[c b]"},
		{"ascending", &pb.RangeRequest{Limit: 2, SortOrder: pb.RangeRequest_ASCEND}, "[d c]"},
		{"no order, a filter", &pb.RangeRequest{Limit: 2, MinModRevision: 1}, "[d c]"},
		{"no limit", &pb.RangeRequest{}, "[d c b a]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			req := c.req
			req.Key, req.RangeEnd, req.SortTarget = []byte("a"), []byte("z"), pb.RangeRequest_CREATE
			resp, err := h.get(req)
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(keysOf(resp)); got != c.want || resp.Count != 4 || resp.More != (req.Limit > 0) {
				t.Errorf("%s, count %d, more %v; want %s", got, resp.Count, resp.More, c.want)
			}
		})
	}
}

// TestSortLeavesEqualsWhereEtcdDoes: etcd sorts with sort.Sort.
func TestSortLeavesEqualsWhereEtcdDoes(t *testing.T) {
	h := newTestStore(t)
	const n = 200
	var keys, values []string
	for i := range n {
		keys = append(keys, fmt.Sprintf("k%03d", i))
		values = append(values, fmt.Sprint(i*i%7))
		h.put(keys[i], values[i], 0)
	}
	for _, order := range []pb.RangeRequest_SortOrder{pb.RangeRequest_ASCEND, pb.RangeRequest_DESCEND} {
		resp, err := h.get(&pb.RangeRequest{Key: []byte("k"), RangeEnd: []byte("l"), SortOrder: order, SortTarget: pb.RangeRequest_VALUE})
		if err != nil {
			t.Fatal(err)
		}
		var by sort.Interface = pairs{append([]string(nil), keys...), append([]string(nil), values...)}
		want := by.(pairs).keys
		if order == pb.RangeRequest_DESCEND {
			by = sort.Reverse(by)
		}
		sort.Sort(by)
		if got := keysOf(resp); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%v:\n got %v\nwant %v", order, got, want)
		}
	}
}

type pairs struct{ keys, values []string }

func (p pairs) Len() int           { return len(p.keys) }
func (p pairs) Less(i, j int) bool { return p.values[i] < p.values[j] }
func (p pairs) Swap(i, j int) {
	p.keys[i], p.keys[j] = p.keys[j], p.keys[i]
	p.values[i], p.values[j] = p.values[j], p.values[i]
}
