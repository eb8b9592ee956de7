package fsm

import (
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// hasEmptyKey tells whether a request names the empty key. Nobody proposes one:
// the server refuses it, and etcd's members do.
func hasEmptyKey(req *pb.InternalRaftRequest) bool {
	if p := req.Put; p != nil && len(p.Key) == 0 {
		return true
	}
	if d := req.DeleteRange; d != nil && len(d.Key) == 0 {
		return true
	}
	return req.Txn != nil && txnHasEmptyKey(req.Txn)
}

func txnHasEmptyKey(txn *pb.TxnRequest) bool {
	for _, ops := range [][]*pb.RequestOp{txn.Success, txn.Failure} {
		for _, op := range ops {
			if op.GetRequestPut() == nil && op.GetRequestDeleteRange() == nil && op.GetRequestTxn() == nil && op.GetRequestRange() == nil ||
				hasEmptyKey(&pb.InternalRaftRequest{Put: op.GetRequestPut(), DeleteRange: op.GetRequestDeleteRange(), Txn: op.GetRequestTxn()}) {
				return true
			}
		}
	}
	return false
}

// FuzzApply has the state machine apply any two requests: it must not panic, an
// error may only say that an entry is not a request, and the state must be sound.
func FuzzApply(f *testing.F) {
	for _, req := range []*pb.InternalRaftRequest{
		put("k", "v"), compact(2, true), compact(-5, false),
		{DeleteRange: &pb.DeleteRangeRequest{Key: []byte("a"), RangeEnd: []byte{0}, PrevKv: true}},
		{LeaseGrant: &pb.LeaseGrantRequest{ID: -1, TTL: -1}}, {LeaseRevoke: &pb.LeaseRevokeRequest{ID: 7}},
		{LeaseCheckpoint: &pb.LeaseCheckpointRequest{Checkpoints: []*pb.LeaseCheckpoint{{ID: 7, Remaining_TTL: -1}}}},
		{Alarm: &pb.AlarmRequest{Action: 1, Alarm: 1, MemberID: 1}}, {AuthUserAdd: &pb.AuthUserAddRequest{Name: "u", HashedPassword: "aGFzaA=="}},
		{Txn: &pb.TxnRequest{Compare: []*pb.Compare{{Key: []byte("k"), Target: 9, Result: 9}},
			Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("k"), IgnoreValue: true}}},
				{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte("a"), RangeEnd: []byte("z"), SortTarget: 4, Limit: -1}}}}}},
		{ClusterVersionSet: nil, DowngradeInfoSet: nil, AuthEnable: &pb.AuthEnableRequest{}},
	} {
		data, err := proto.Marshal(req)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, data)
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		r := newRig(t)
		r.apply(&pb.InternalRaftRequest{LeaseGrant: &pb.LeaseGrantRequest{ID: 7, TTL: 60}}, put("a", "1"),
			&pb.InternalRaftRequest{Put: &pb.PutRequest{Key: []byte("k"), Value: []byte("2"), Lease: 7}}, put("k2", "3"))
		for _, data := range [][]byte{first, second} {
			req := new(pb.InternalRaftRequest)
			known := proto.Unmarshal(data, req) == nil
			if known && hasEmptyKey(req) {
				return
			}
			index := r.fsm.Applied() + 1
			err := r.fsm.Apply([]*raftpb.Entry{{Index: proto.Uint64(index), Term: proto.Uint64(1), Data: data}}, r)
			if err != nil {
				if known || !strings.Contains(err.Error(), "is not a request that this version knows") {
					t.Fatalf("%v: %v", req, err)
				}
				return
			}
			if r.fsm.Applied() != index {
				t.Fatalf("%v: applied %d, want %d", req, r.fsm.Applied(), index)
			}
		}
		before := r.state()
		r.close()
		r.open()
		after := r.state()
		for k := range before {
			if before[k] != after[k] {
				t.Fatalf("%q is %q after opening again, was %q", k, after[k], before[k])
			}
		}
	})
}
