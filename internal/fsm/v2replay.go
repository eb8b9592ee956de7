package fsm

import (
	"fmt"

	"bowline/internal/cluster"
	"bowline/internal/engine"
	"bowline/internal/v2"
	"bowline/internal/wire"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// V2Replay brings a tree of API v2 further than it was written elsewhere, while the rest
// of the state has come that far already.
type V2Replay struct {
	engine  *engine.Engine
	tree    *v2.Store
	members *cluster.View
}

// NewV2Replay goes on from the tree in e, and from the members of then, whose changes
// count in its index.
func NewV2Replay(e *engine.Engine, members *cluster.View) (*V2Replay, error) {
	st, err := v2.Load(e)
	if err != nil {
		return nil, err
	}
	return &V2Replay{engine: e, tree: v2.New(e, st), members: members}, nil
}

// Apply applies what an entry means for the tree. Entries come in order; data is not
// kept.
func (r *V2Replay) Apply(t raftpb.EntryType, data []byte) error {
	b := r.engine.NewBatch()
	result, err := r.apply(b, t, data)
	if err == nil {
		err = r.tree.Seal(b)
	}
	if err != nil {
		_ = b.Close()
		return fmt.Errorf("fsm: replay the tree of API v2: %w", err)
	}
	if err := r.engine.Commit(b); err != nil {
		return err
	}
	r.tree.Publish(result.Events)
	return nil
}

func (r *V2Replay) apply(b *engine.Batch, t raftpb.EntryType, data []byte) (none v2.Result, err error) {
	if t == raftpb.EntryType_EntryConfChange {
		return none, r.change(b, data)
	}
	request, ok := wire.DecodeV2(data)
	if !ok {
		return none, nil
	}
	if request.ClusterVersionSet != nil {
		return none, r.tree.Count(b, v2.SetsOK)
	}
	if set := request.ClusterMemberAttrSet; set != nil {
		next, ok := r.members.Publish(set.Member_ID, set.GetMemberAttributes().GetName(), set.GetMemberAttributes().GetClientUrls())
		if !ok {
			return none, nil
		}
		r.members = next
		return none, r.tree.Count(b, v2.SetsOK)
	}
	old, ok := wire.ParseV2(data)
	if !ok {
		return none, nil
	}
	return r.tree.Apply(b, old)
}

// change applies a change of members; one that was refused has changed nothing.
func (r *V2Replay) change(b *engine.Batch, data []byte) error {
	cc := new(raftpb.ConfChange)
	if err := proto.Unmarshal(data, cc); err != nil {
		return err
	}
	next, err := r.members.Apply(cc, 0)
	if err != nil {
		return nil
	}
	before := r.members.Member(cc.GetNodeId())
	r.members = next
	return r.tree.Count(b, memberCounts(before, next.Member(cc.GetNodeId()))...)
}
