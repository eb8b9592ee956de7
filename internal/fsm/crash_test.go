package fsm

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// randomRequest is one of those that change the state, over few keys and leases.
func randomRequest(rng *rand.Rand, revision int64) *pb.InternalRaftRequest {
	key := func() []byte { return fmt.Appendf(nil, "k%d", rng.IntN(20)) }
	switch n := rng.IntN(20); {
	case n < 8:
		return &pb.InternalRaftRequest{Put: &pb.PutRequest{Key: key(), Value: key(), Lease: int64(rng.IntN(4)), PrevKv: n == 0}}
	case n < 11:
		return &pb.InternalRaftRequest{DeleteRange: &pb.DeleteRangeRequest{Key: key(), RangeEnd: key()[:rng.IntN(3)]}}
	case n < 14:
		return &pb.InternalRaftRequest{Txn: &pb.TxnRequest{
			Compare: []*pb.Compare{{Key: key(), Target: pb.Compare_VERSION, Result: pb.Compare_GREATER}},
			Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: key(), Lease: int64(rng.IntN(3))}}},
				{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte("k"), RangeEnd: []byte{0}}}}},
			Failure: []*pb.RequestOp{{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: key()}}}},
		}}
	case n < 16:
		return &pb.InternalRaftRequest{LeaseGrant: &pb.LeaseGrantRequest{ID: int64(rng.IntN(4)), TTL: 5}}
	case n < 17:
		return &pb.InternalRaftRequest{LeaseRevoke: &pb.LeaseRevokeRequest{ID: int64(rng.IntN(4))}}
	case n < 18:
		return compact(rng.Int64N(revision+2), false)
	case n < 19:
		return &pb.InternalRaftRequest{LeaseCheckpoint: &pb.LeaseCheckpointRequest{
			Checkpoints: []*pb.LeaseCheckpoint{{ID: int64(rng.IntN(4)), Remaining_TTL: int64(rng.IntN(9))}}}}
	default:
		return &pb.InternalRaftRequest{Alarm: &pb.AlarmRequest{MemberID: 1, Alarm: pb.AlarmType_NOSPACE,
			Action: pb.AlarmRequest_AlarmAction(1 + rng.IntN(2))}}
	}
}

// TestReplayIsExactlyOnce crashes again and again and hands over the log from
// somewhere before what the engine holds: the state and the answers are those of
// a machine that never crashed.
func TestReplayIsExactlyOnce(t *testing.T) {
	seeds := 30
	if testing.Short() {
		seeds = 5
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(uint64(seed), 1))
			steady, crashing := newRig(t), newRig(t)
			for range 60 {
				for range 1 + rng.IntN(8) {
					req := randomRequest(rng, steady.fsm.Store().Revision())
					crashing.propose(req)
					steady.apply(req)
				}
				// The crashing one may hear of entries late, in other groups, and twice.
				switch rng.IntN(6) {
				case 0:
					crashing.crash()
				case 1:
					crashing.must(crashing.engine.Flush())
				case 2:
					crashing.close()
					crashing.open()
				}
				from := rng.IntN(int(crashing.fsm.Applied()) + 1)
				to := from + rng.IntN(len(crashing.log)-from+1)
				crashing.must(crashing.fsm.Apply(crashing.log[from:to], crashing))
			}
			crashing.must(crashing.fsm.Apply(crashing.log[crashing.fsm.Applied():], crashing))
			if a, b := steady.state(), crashing.state(); !maps.Equal(a, b) {
				for k := range a {
					if a[k] != b[k] {
						t.Errorf("%q is %q, want %q", k, b[k], a[k])
					}
				}
				t.Fatalf("%d records, want %d", len(b), len(a))
			}
			for id, want := range steady.results {
				if got := crashing.results[id]; describeResult(got) != describeResult(want) {
					t.Errorf("entry %d: %s, want %s", id, describeResult(got), describeResult(want))
				}
			}
			a, _, err := steady.fsm.Store().HashKV(context.Background(), 0)
			steady.must(err)
			if b, _, err := crashing.fsm.Store().HashKV(context.Background(), 0); err != nil || a != b {
				t.Errorf("hash %+v %v, want %+v", b, err, a)
			}
		})
	}
}
