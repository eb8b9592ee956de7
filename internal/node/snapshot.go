package node

import (
	"context"
	"errors"
	"slices"
	"sync"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// ErrNotTaken is returned for a state that raft has no use for: this member has it, or a newer one, or follows another
// leader, or is no member in it.
var ErrNotTaken = errors.New("node: raft has no use for the state")

// StepSnapshot gives raft a MsgSnap whose state has arrived whole and durably. When it returns nil, raft has taken it, and
// SnapshotTransfer.Install will be called for it, now or, after a crash, at the next start; otherwise it never will, and
// the state may be thrown away. An error other than ErrNotTaken leaves that open.
func (n *Node) StepSnapshot(ctx context.Context, m *raftpb.Message) error {
	if m.GetType() != raftpb.MsgSnap || raft.IsEmptySnap(m.GetSnapshot()) || raft.IsLocalMsgTarget(m.GetFrom()) || n.cfg.Snapshots == nil {
		return ErrNotTaken
	}
	index := m.GetSnapshot().GetMetadata().GetIndex()
	taken := make(chan bool, 1)
	posted := n.inbox.post(event{control: func(l *loop) {
		l.step(m)
		// At once, so that no event behind this one finds raft and the storage of two minds.
		l.handleReady()
		taken <- l.restored == index
	}})
	if !posted {
		return ErrStopped
	}
	select {
	case ok := <-taken:
		if !ok {
			return ErrNotTaken
		}
		return nil
	case <-n.loopDone:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

// restart follows raft, which has taken a state from another member in place of all that it had.
func (l *loop) restart(at *raftpb.SnapshotMetadata) {
	l.store.restart(at)
	l.restored = at.GetIndex()
	l.setConf(at.GetConfState())
}

// HoldLog keeps the entries above index in the log, for a member that is being sent the state up to there and will go on
// from them, until release is called, once or more often.
func (n *Node) HoldLog(index uint64) (release func()) { return n.holds.add(index) }

// holds are the indexes that HoldLog was asked for.
type holds struct {
	mu      sync.Mutex // guards indexes
	indexes []*uint64
}

func (h *holds) add(index uint64) (release func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	held := &index
	h.indexes = append(h.indexes, held)
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.indexes = slices.DeleteFunc(h.indexes, func(p *uint64) bool { return p == held })
	}
}

// below is how far the log may be released of what is not needed below index.
func (h *holds) below(index uint64) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, held := range h.indexes {
		index = min(index, *held)
	}
	return index
}
