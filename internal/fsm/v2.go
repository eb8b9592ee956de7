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
	g.tree, g.treeEvents = true, append(g.treeEvents, r.Events...)
	return Result{V2: &r}, nil
}

// countV2 counts changes of members in the tree's index, as etcd does, which keeps its
// members there.
func (f *FSM) countV2(g *group, changes ...v2.Counter) error {
	g.tree = true
	return f.v2.Count(g.kv.Batch(), changes...)
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
