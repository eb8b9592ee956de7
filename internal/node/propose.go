package node

import (
	"context"
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// Propose hands data to raft as the payload of an entry, and returns when raft has taken or refused it. Taken does not
// mean committed: whether and when that happens, the Applier learns. If ctx ends first, the proposal may still be
// taken.
func (n *Node) Propose(ctx context.Context, data []byte) error {
	return n.propose(ctx, data, raftpb.EntryNormal)
}

// ProposeConfChange proposes a membership change. It is refused with ErrConfChangePending if this member leads
// and an earlier change has not been applied; if another leads, that one takes it later.
func (n *Node) ProposeConfChange(ctx context.Context, cc *raftpb.ConfChange) error {
	kind, data, err := raftpb.MarshalConfChange(cc)
	if err != nil {
		return fmt.Errorf("node: encode conf change: %w", err)
	}
	return n.propose(ctx, data, kind)
}

func (n *Node) propose(ctx context.Context, data []byte, kind raftpb.EntryType) error {
	done := n.answers.Get().(chan error)
	if err := n.inbox.propose(proposal{data: data, kind: kind, done: done}); err != nil {
		n.answers.Put(done)
		return err
	}
	select {
	case err := <-done:
		n.answers.Put(done)
		return err
	case <-ctx.Done():
		return ctx.Err() // the channel is left to the answer that may still come
	}
}

// ProposeAsync hands data to raft without waiting. If raft refuses it, refused, which may be nil, is told why: by the
// raft goroutine, or before ProposeAsync returns.
func (n *Node) ProposeAsync(data []byte, refused func(error)) {
	if err := n.inbox.propose(proposal{data: data, refused: refused}); err != nil && refused != nil {
		refused(err)
	}
}

// propose steps proposals, as many as can be at a time.
func (l *loop) propose(batch []proposal) {
	for len(batch) > 0 {
		size, count := 0, 0
		for count < len(batch) && (count == 0 || size+len(batch[count].data) <= proposeStepBytes) {
			size += len(batch[count].data)
			count++
		}
		l.stepProposals(batch[:count])
		batch = batch[count:]
	}
}

func (l *loop) stepProposals(batch []proposal) {
	// Two allocations for all. They are not reused: a follower forwards the entries themselves.
	slab := make([]raftpb.Entry, len(batch))
	entries := make([]*raftpb.Entry, len(batch))
	for i := range batch {
		slab[i].Data = batch[i].data
		if batch[i].kind != raftpb.EntryNormal {
			slab[i].Type = batch[i].kind.Enum()
		}
		entries[i] = &slab[i]
	}
	err := l.raft.Step(&raftpb.Message{Type: raftpb.MsgProp.Enum(), From: &l.node.cfg.ID, Entries: entries})
	if err != nil {
		err = ErrProposalDropped
		if l.raft.BasicStatus().Lead == raft.None {
			err = ErrNoLeader
		}
	}
	for i := range batch {
		if err == nil && batch[i].kind != raftpb.EntryNormal && entries[i] != &slab[i] {
			// A leader that has a change pending puts an empty entry in place of the next.
			batch[i].answer(ErrConfChangePending)
			continue
		}
		batch[i].answer(err)
	}
}
