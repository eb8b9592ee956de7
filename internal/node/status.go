package node

import (
	"context"
	"strings"

	"bowline/internal/wal"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
	"go.uber.org/zap"
)

// Status is a view of the node. Commit and Applied may be newer than the rest.
type Status struct {
	ID, Term, Vote, Leader uint64
	State                  raft.StateType
	Commit, Applied        uint64
	// Peers is what the leader knows of the others, as of its last tick, when PeersCommit was
	// the commit index; empty on other members.
	Peers       []PeerProgress
	PeersCommit uint64
}

// PeerProgress is how far another member has the log.
type PeerProgress struct {
	ID, Match    uint64
	State        tracker.StateType
	RecentActive bool
	Learner      bool
}

// peerProgress is what a tick has seen of the others; it is replaced, never changed.
type peerProgress struct {
	peers  []PeerProgress
	commit uint64
}

// softState is replaced, never changed.
type softState struct {
	term, vote, leader uint64
	state              raft.StateType
	changed            chan struct{} // closed when this is no longer the newest
}

// Status returns the present state. It costs a few loads.
func (n *Node) Status() Status {
	soft := n.soft.Load()
	s := Status{ID: n.cfg.ID, Term: soft.term, Vote: soft.vote, Leader: soft.leader, State: soft.state, Applied: n.applied.Load(), Commit: n.commit.Load()}
	if known := n.peers.Load(); known != nil {
		s.Peers, s.PeersCommit = known.peers, known.commit
	}
	return s
}

// LeaderChanged returns a channel that is closed when the term, the leader or this member's role changes. To miss
// nothing, take the channel, then look at Status, then wait.
func (n *Node) LeaderChanged() <-chan struct{} { return n.soft.Load().changed }

// Commit returns the commit index, and Applied the index up to which the Applier has returned. Their difference is the
// backlog. Each is one load.
func (n *Node) Commit() uint64 { return n.commit.Load() }

// LateHeartbeats counts the ticks that came so late, while this member led, that heartbeats did.
func (n *Node) LateHeartbeats() int64 { return n.lateHeartbeats.Load() }

// Applied: see Commit.
func (n *Node) Applied() uint64 { return n.applied.Load() }

// Done returns a channel that is closed when the node is stopping, by itself or by Stop.
func (n *Node) Done() <-chan struct{} { return n.stopping }

// publish makes the newest state visible to other goroutines. What is read without raft depends on when this is
// called; see ReadIndex.
func (l *loop) publish() {
	n := l.node
	n.commit.Store(l.hard.Commit)
	if l.singleVoter && l.soft.RaftState == raft.StateLeader && l.committedInTerm() {
		n.readIndex.Store(l.hard.Commit)
	} else {
		n.readIndex.Store(0)
	}
	old := n.soft.Load()
	if old.term == l.hard.Term && old.vote == l.hard.Vote && old.leader == l.soft.Lead && old.state == l.soft.RaftState {
		return
	}
	n.soft.Store(&softState{term: l.hard.Term, vote: l.hard.Vote, leader: l.soft.Lead, state: l.soft.RaftState, changed: make(chan struct{})})
	close(old.changed)
}

func (l *loop) publishPeers() {
	if l.soft.RaftState != raft.StateLeader || l.alone {
		l.node.peers.Store(nil)
		return
	}
	known := &peerProgress{commit: l.hard.Commit}
	l.raft.WithProgress(func(id uint64, kind raft.ProgressType, p tracker.Progress) {
		if id != l.node.cfg.ID {
			known.peers = append(known.peers, PeerProgress{id, p.Match, p.State, p.RecentActive, kind == raft.ProgressTypeLearner})
		}
	})
	l.node.peers.Store(known)
}

// Step takes messages received from other members. It never blocks: beyond a limit they are dropped, as are messages that
// only a member's own threads may send, and snapshots, which come through StepSnapshot. It returns how many it took.
func (n *Node) Step(messages ...*raftpb.Message) (taken int) {
	accepted := make([]*raftpb.Message, 0, len(messages))
	for _, m := range messages {
		if raft.IsLocalMsg(m.GetType()) || raft.IsLocalMsgTarget(m.GetFrom()) || m.GetType() == raftpb.MsgSnap {
			continue
		}
		accepted = append(accepted, m)
	}
	if len(accepted) == 0 || !n.inbox.post(event{messages: accepted, received: true}) {
		return 0
	}
	return len(accepted)
}

// ReportUnreachable tells raft that messages to a member were lost.
func (n *Node) ReportUnreachable(id uint64) {
	n.inbox.post(event{control: func(l *loop) { l.raft.ReportUnreachable(id) }})
}

// ReportSnapshot tells raft whether a state that it asked to be sent has been installed.
func (n *Node) ReportSnapshot(id uint64, status raft.SnapshotStatus) {
	n.inbox.post(event{control: func(l *loop) { l.raft.ReportSnapshot(id, status) }})
}

// TransferLeader asks another voter to lead. Proposals are refused until it does, or an election timeout has passed.
func (n *Node) TransferLeader(to uint64) {
	n.inbox.post(event{control: func(l *loop) { l.raft.TransferLeader(to) }})
}

// AdvanceTicks lets raft's time run ahead, so that an election comes sooner.
func (n *Node) AdvanceTicks(ticks int) {
	n.inbox.post(event{control: func(l *loop) {
		for range ticks {
			l.raft.Tick()
		}
	}})
}

// ReleaseLog marks in the log that the state up to mark.Index is durable elsewhere, and deletes what the log need not
// keep, what HoldLog holds left out. It returns the first index left, once that is done. An error is also fatal to the node, unless it is ctx's.
func (n *Node) ReleaseLog(ctx context.Context, mark wal.Snapshot) (first uint64, err error) {
	done := make(chan uint64, 1)
	work := walWork{control: func(log *wal.Log) error {
		if err := log.MarkSnapshot(mark); err != nil {
			return err
		}
		first, err := log.Release(n.holds.below(mark.Index))
		if err != nil {
			return err
		}
		// gofail: var raftAfterWALRelease struct{}
		n.inbox.post(event{control: func(l *loop) { l.store.released(first) }})
		done <- first
		return nil
	}}
	if !n.walQueue.put(work) {
		return 0, ErrStopped
	}
	select {
	case first := <-done:
		return first, nil
	case <-n.stopping:
		return 0, ErrStopped
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// raftLogger lets raft write to our log.
type raftLogger struct{ *zap.SugaredLogger }

// Infof leaves out what raft says when two writes to the log vouch for the same entry, as
// they do whenever a commit index is written while entries are: a line for each proposal.
func (l raftLogger) Infof(format string, v ...any) {
	if !strings.HasSuffix(format, "missing from unstable log; ignoring") {
		l.SugaredLogger.Infof(format, v...)
	}
}

func (l raftLogger) Warning(v ...any)                 { l.Warn(v...) }
func (l raftLogger) Warningf(format string, v ...any) { l.Warnf(format, v...) }
