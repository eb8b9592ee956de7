package node

import (
	"errors"
	"fmt"
	"time"

	"bowline/internal/wal"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// walWork is one thing for the wal goroutine to do: a MsgStorageAppend, or something with the log itself.
type walWork struct {
	message *raftpb.Message
	control func(*wal.Log) error
}

// runWAL is the wal goroutine. Each turn stages everything that waits, makes it durable at once, and delivers the
// replies: to raft in one event, to other members directly. After a failure nothing is delivered any more.
func (n *Node) runWAL() {
	var work []walWork
	for {
		var ok bool
		if work, ok = n.walQueue.take(work); !ok {
			return
		}
		n.writing.Store(time.Now().UnixNano())
		err := n.writeLog(work)
		n.writing.Store(0)
		if err != nil {
			n.fatal(err)
			return
		}
	}
}

func (n *Node) writeLog(work []walWork) error {
	var own, others []*raftpb.Message
	written := 0
	for i := range work {
		if work[i].control != nil {
			if err := work[i].control(n.cfg.Log); err != nil {
				return err
			}
			continue
		}
		m := work[i].message
		state := wal.HardState{Term: m.GetTerm(), Vote: m.GetVote(), Commit: m.GetCommit()}
		if err := n.installSnapshot(m.GetSnapshot()); err != nil {
			return err
		}
		// gofail: var raftBeforeSave struct{}
		if err := n.cfg.Log.Append(m.GetEntries(), state); err != nil {
			return err
		}
		if len(m.GetEntries()) > 0 {
			written++
		}
		if own == nil && len(others) == 0 && allTo(m.GetResponses(), n.cfg.ID) {
			own = m.GetResponses()
			continue
		}
		for _, r := range m.GetResponses() {
			if r.GetTo() == n.cfg.ID {
				own = append(own, r)
			} else {
				others = append(others, r)
			}
		}
	}
	// A commit index alone is not worth a sync, not even where replies follow it: none of them depends on it. It stays
	// staged and goes with the next entries.
	if n.cfg.Log.NeedsSync() {
		if err := n.cfg.Log.Sync(); err != nil {
			return err
		}
	}
	// gofail: var raftAfterSave struct{}
	if len(others) > 0 {
		// gofail: var raftBeforeFollowerSend struct{}
		n.cfg.Send(others)
	}
	// gofail: var raftBeforeAdvance struct{}
	if len(own) > 0 || written > 0 {
		n.inbox.post(event{messages: own, written: written})
	}
	return nil
}

func allTo(messages []*raftpb.Message, id uint64) bool {
	for _, m := range messages {
		if m.GetTo() != id {
			return false
		}
	}
	return true
}

// installSnapshot makes a received state the one the log starts from. When MarkSnapshot has returned, the log says
// durably that this member's state is at least that of the mark; only then is the state replaced. A crash in between
// leaves a mark above the engine's index: at the next start whoever opens the log finishes the replacement. raft takes
// snapshots only if there is a SnapshotTransfer; see StepSnapshot.
func (n *Node) installSnapshot(s *raftpb.Snapshot) error {
	if raft.IsEmptySnap(s) {
		return nil
	}
	at := s.GetMetadata()
	mark := wal.Snapshot{Index: at.GetIndex(), Term: at.GetTerm(), ConfState: at.GetConfState()}
	// gofail: var raftBeforeSaveSnap struct{}
	if err := n.cfg.Log.MarkSnapshot(mark); err != nil {
		return err
	}
	// gofail: var raftAfterSaveSnap struct{}
	if err := n.cfg.Snapshots.Install(s); err != nil {
		return fmt.Errorf("node: install the snapshot of index %d: %w", mark.Index, err)
	}
	n.appliedTo(mark.Index)
	return nil
}

// runApply is the apply goroutine. Batches that wait are handed over together, up to a size.
func (n *Node) runApply() {
	var batches []*raftpb.Message
	for {
		var ok bool
		if batches, ok = n.applyQueue.take(batches); !ok {
			return
		}
		for next := 0; next < len(batches); {
			group, size := next, 0
			for next < len(batches) && (next == group || size < applyGroupBytes) {
				size += payloadBytes(batches[next].GetEntries())
				next++
			}
			if err := n.apply(batches[group:next]); err != nil {
				n.fatal(err)
				return
			}
			if n.isStopping() {
				return
			}
		}
	}
}

func payloadBytes(entries []*raftpb.Entry) (size int) {
	for _, e := range entries {
		size += len(e.GetData())
	}
	return size
}

func (n *Node) isStopping() bool {
	select {
	case <-n.stopping:
		return true
	default:
		return false
	}
}

// apply hands a group over and posts the replies.
func (n *Node) apply(group []*raftpb.Message) error {
	entries, replies := group[0].GetEntries(), group[0].GetResponses()
	for _, m := range group[1:] {
		entries = append(entries[:len(entries):len(entries)], m.GetEntries()...)
		replies = append(replies[:len(replies):len(replies)], m.GetResponses()...)
	}
	if err := n.cfg.Apply.Apply(entries, n); err != nil {
		return fmt.Errorf("node: apply entries %d to %d: %w", entries[0].GetIndex(), entries[len(entries)-1].GetIndex(), err)
	}
	n.appliedTo(entries[len(entries)-1].GetIndex())
	n.inbox.post(event{messages: replies, lazy: true, bytes: payloadBytes(entries)})
	return nil
}

// appliedTo moves the published applied index forward: a state that is installed can overtake entries being applied.
func (n *Node) appliedTo(index uint64) {
	for {
		old := n.applied.Load()
		if old >= index || n.applied.CompareAndSwap(old, index) {
			return
		}
	}
}

// ApplyConfChange implements ConfChanger, for the Applier only.
func (n *Node) ApplyConfChange(index uint64, cc raftpb.ConfChangeI) *raftpb.ConfState {
	done := make(chan *raftpb.ConfState, 1)
	n.inbox.post(event{control: func(l *loop) { done <- l.applyConfChange(index, cc) }})
	select {
	case conf := <-done:
		return conf
	case <-n.loopDone:
		return nil
	}
}

// RefuseConfChange implements ConfChanger, for the Applier only.
func (n *Node) RefuseConfChange(index uint64) *raftpb.ConfState {
	return n.ApplyConfChange(index, &raftpb.ConfChange{NodeId: new(uint64(raft.None))})
}

// runReader is the reader goroutine. There is at most one request at a time.
func (n *Node) runReader() {
	var requests []readRequest
	for {
		var ok bool
		if requests, ok = n.readQueue.take(requests); !ok {
			return
		}
		for _, r := range requests {
			entries, err := n.cfg.Log.Entries(r.lo, r.hi, readAheadBytes)
			if err != nil && !errors.Is(err, wal.ErrReleased) && !errors.Is(err, wal.ErrUnavailable) {
				n.fatal(fmt.Errorf("node: read the log back: %w", err))
				return
			}
			n.inbox.post(event{control: func(l *loop) { l.store.readDone(entries) }})
		}
	}
}
