package fsm

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"bowline/internal/wire"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/membershippb"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// proposeV2 appends a request of API v2 to the log.
func (r *rig) proposeV2(req wire.V2Request) []*raftpb.Entry {
	req.ID = uint64(len(r.log) + 1)
	r.log = append(r.log, &raftpb.Entry{Index: proto.Uint64(req.ID), Term: proto.Uint64(1), Data: [][]byte{req.Encode(), req.Entry()}[req.ID%2]})
	return r.log[len(r.log)-1:]
}

func randomV2(rng *rand.Rand, i int) wire.V2Request {
	name := fmt.Sprintf("/1/d%d/k%d", rng.IntN(3), rng.IntN(6))
	now := int64(1e18) + int64(i)*1e9
	switch n := rng.IntN(12); {
	case n < 7:
		req := wire.V2Request{Method: wire.V2Put, Path: name, Value: fmt.Sprint(i), Time: now}
		if n < 3 {
			req.Expiration = now + rng.Int64N(20e9)
		}
		return req
	case n < 8:
		return wire.V2Request{Method: wire.V2Post, Path: "/1/q", Value: fmt.Sprint(i), Time: now}
	case n < 10:
		return wire.V2Request{Method: wire.V2Delete, Path: name[:5+rng.IntN(2)*3], Recursive: true, Time: now}
	case n < 11:
		return wire.V2Request{Method: wire.V2Read, Path: name}
	}
	return wire.V2Request{Method: wire.V2Expire, Time: now}
}

// proposeMixed appends a request of either API, or a change of members, to both logs.
func proposeMixed(rng *rand.Rand, i int, rigs ...*rig) {
	old, req := randomV2(rng, i), randomRequest(rng, 5)
	version := &pb.InternalRaftRequest{ClusterVersionSet: &membershippb.ClusterVersionSetRequest{Ver: "3.7.0"}}
	kind := rng.IntN(10)
	for _, r := range rigs {
		switch kind {
		case 0:
			r.proposeConfChange(member(raftpb.ConfChangeType_ConfChangeAddNode, uint64(1+i%7)))
		case 1:
			r.propose(proto.Clone(version).(*pb.InternalRaftRequest))
		case 2, 3, 4:
			r.propose(proto.Clone(req).(*pb.InternalRaftRequest))
		default:
			r.proposeV2(old)
		}
	}
}

// TestV2SurvivesCrashes crashes again and again, hears of entries in other groups and
// twice, and is given another's state: the tree, its index, its history and its
// counters are those of a machine to which nothing happened.
func TestV2SurvivesCrashes(t *testing.T) {
	for seed := range 12 {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(uint64(seed), 9))
			steady, crashing := newRig(t), newRig(t)
			for i := range 80 {
				for n := range 1 + rng.IntN(6) {
					proposeMixed(rng, 10*i+n, steady, crashing)
				}
				steady.must(steady.fsm.Apply(steady.log[steady.fsm.Applied():], steady))
				switch rng.IntN(6) {
				case 0:
					crashing.crash()
				case 1:
					crashing.must(crashing.engine.Flush())
				}
				from := rng.IntN(int(crashing.fsm.Applied()) + 1)
				to := from + rng.IntN(len(crashing.log)-from+1)
				crashing.must(crashing.fsm.Apply(crashing.log[from:to], crashing))
				if i == 40 && crashing.fsm.Applied() < steady.fsm.Applied() {
					steady.checkpoint(crashing.fs, "received")
					crashing.must(crashing.replace("received", committed))
				}
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
			if a, b := steady.fsm.V2(), crashing.fsm.V2(); a.Index() != b.Index() || a.Stats().Counts != b.Stats().Counts || a.Index() == 0 {
				t.Errorf("index %d and counters %v, want %d and %v", b.Index(), b.Stats().Counts, a.Index(), a.Stats().Counts)
			}
		})
	}
}

// TestV2CountsMembers has the changes of members in the index, each as etcd counts it.
func TestV2CountsMembers(t *testing.T) {
	r := newRig(t)
	steps := []struct {
		propose func() []*raftpb.Entry
		index   uint64
	}{
		{func() []*raftpb.Entry { return r.proposeConfChange(member(raftpb.ConfChangeType_ConfChangeAddNode, 1)) }, 1},
		{func() []*raftpb.Entry { return r.proposeConfChange(member(raftpb.ConfChangeType_ConfChangeAddNode, 1)) }, 1}, // refused
		{func() []*raftpb.Entry {
			a := &membershippb.Attributes{Name: "m"}
			wire.MarkOurs(a)
			return r.propose(&pb.InternalRaftRequest{ClusterMemberAttrSet: &membershippb.ClusterMemberAttrSetRequest{Member_ID: 1, MemberAttributes: a}})
		}, 2},
		{func() []*raftpb.Entry {
			return r.propose(&pb.InternalRaftRequest{ClusterVersionSet: &membershippb.ClusterVersionSetRequest{Ver: "3.7.0"}})
		}, 3},
		{func() []*raftpb.Entry { return r.propose(put("a", "b")) }, 3},
		{func() []*raftpb.Entry { return r.proposeV2(wire.V2Request{Method: wire.V2Put, Path: "/1/a"}) }, 4},
		{func() []*raftpb.Entry { return r.proposeV2(wire.V2Request{Method: wire.V2Put, Path: "/1/a/b"}) }, 4}, // refused
		{func() []*raftpb.Entry {
			return r.proposeConfChange(member(raftpb.ConfChangeType_ConfChangeUpdateNode, 1))
		}, 5},
		{func() []*raftpb.Entry {
			return r.proposeConfChange(member(raftpb.ConfChangeType_ConfChangeRemoveNode, 1))
		}, 5}, // the last one
		{func() []*raftpb.Entry { return r.proposeConfChange(member(raftpb.ConfChangeType_ConfChangeAddNode, 2)) }, 6},
		{func() []*raftpb.Entry {
			return r.proposeConfChange(member(raftpb.ConfChangeType_ConfChangeRemoveNode, 1))
		}, 8},
	}
	for i, s := range steps {
		r.must(r.fsm.Apply(s.propose(), r))
		if got := r.fsm.V2().Index(); got != s.index {
			t.Errorf("after step %d the index is %d, want %d", i, got, s.index)
		}
		if i == 2 && !r.fsm.Members().Member(1).Ours {
			t.Error("the member that said so is not ours")
		}
	}
}
