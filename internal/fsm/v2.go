package fsm

import (
	"bowline/internal/cluster"
	"bowline/internal/v2"
	"bowline/internal/wire"
)

// applyV2 applies a request of API v2.
func (f *FSM) applyV2(g *group, index uint64) (Result, error) {
	if f.old.Method != wire.V2Read {
		f.v2.Settle(index)
	}
	r, err := f.v2.Apply(g.kv.Batch(), f.old)
	if err != nil {
		return Result{}, err
	}
	f.publishV2(g, r.Events)
	return Result{V2: &r}, nil
}

// countV2 counts changes of members in the tree's index, as etcd does, which keeps its
// members there.
func (f *FSM) countV2(g *group, changes ...v2.Counter) error {
	f.publishV2(g, nil)
	return f.v2.Count(g.kv.Batch(), changes...)
}

// publishV2 has a group publish events of the tree, all together, and its state.
func (f *FSM) publishV2(g *group, events []*v2.Event) {
	if !g.tree {
		g.tree = true
		g.after = append(g.after, func() { f.v2.Publish(g.treeEvents) })
	}
	g.treeEvents = append(g.treeEvents, events...)
}

// memberCounts is what a change of a member counts as.
func memberCounts(before, after *cluster.Member) []v2.Counter {
	switch {
	case after == nil: // it is deleted, and a tombstone created
		return []v2.Counter{v2.DeletesOK, v2.CreatesOK}
	case before != nil:
		return []v2.Counter{v2.UpdatesOK}
	}
	return []v2.Counter{v2.CreatesOK}
}
