package mvcc

import (
	"errors"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// TestTxnThatDeletesWhatItsPutNeeds must be refused as a whole. The server's check
// of overlaps lets these through, as etcd's does.
func TestTxnThatDeletesWhatItsPutNeeds(t *testing.T) {
	keep := func(key string) *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(key), IgnoreValue: true}}}
	}
	nested := func(ops ...*pb.RequestOp) *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: &pb.TxnRequest{Success: ops}}}
	}
	future := &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte("k"), Revision: 99}}}
	for _, c := range []struct {
		name string
		ops  []*pb.RequestOp
		want error
	}{
		{"deleted before", []*pb.RequestOp{opDelete("a", "\x00"), keep("k")}, ErrKeyNotFound},
		{"deleted in a nested transaction", []*pb.RequestOp{nested(opDelete("k", "")), keep("k")}, ErrKeyNotFound},
		{"put in a nested transaction", []*pb.RequestOp{opDelete("a", "\x00"), nested(keep("k"))}, ErrKeyNotFound},
		{"deleted after", []*pb.RequestOp{keep("k"), opDelete("a", "\x00")}, nil},
		{"deleted before, and a range that cannot be", []*pb.RequestOp{opDelete("a", "\x00"), keep("k"), future}, ErrFutureRevision},
		{"another key deleted", []*pb.RequestOp{opDelete("l", "\x00"), keep("k")}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newTestStore(t)
			h.put("k", "v", 0)
			if _, err := h.txn(&pb.TxnRequest{Success: c.ops}); !errors.Is(err, c.want) {
				t.Fatalf("%v, want %v", err, c.want)
			}
			if resp, err := h.get(&pb.RangeRequest{Key: []byte("k")}); c.want != nil && (err != nil || resp.Count != 1) {
				t.Errorf("a refused transaction has changed something: %v %v", resp, err)
			}
		})
	}
}
