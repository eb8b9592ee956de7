package node

import (
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// maxHeld is how many messages with proposals of other members are kept at most, and
// maxHeldBytes how large they are together.
const (
	maxHeld      = 1024
	maxHeldBytes = 64 << 20
)

// heldProposal is a message with proposals that another member has forwarded to us, when
// we were about to give leadership away or did not know to whom it had gone, or when a
// change of members was not applied yet and raft takes no other. The member that sent
// it cannot know that it was not taken, and its clients would wait for nothing.
type heldProposal struct {
	message *raftpb.Message
	bytes   int // of its entries
	ticks   int // that have passed
}

// hold keeps a message that raft has dropped until there is a leader to take it: us, or
// another to whom raft forwards it. What a leader drops because it has too much to do is
// lost, as on a network: it would only add to it.
func (l *loop) hold(m *raftpb.Message) {
	st := l.raft.BasicStatus()
	if st.RaftState != raft.StateLeader || st.LeadTransferee != raft.None {
		l.keep(m)
	}
}

// keep keeps a message, if there is room.
func (l *loop) keep(m *raftpb.Message) {
	if len(l.held) == maxHeld {
		return
	}
	bytes := payloadBytes(m.GetEntries())
	all := bytes
	for i := range l.held {
		all += l.held[i].bytes
	}
	if all <= maxHeldBytes {
		l.held = append(l.held, heldProposal{message: m, bytes: bytes})
	}
}

// confChanges are the conf changes that a message proposes.
func confChanges(m *raftpb.Message) (changes map[int]*raftpb.Entry) {
	if m.GetType() != raftpb.MsgProp {
		return nil
	}
	for i, e := range m.GetEntries() {
		if e.GetType() == raftpb.EntryNormal {
			continue
		}
		if changes == nil {
			changes = make(map[int]*raftpb.Entry)
		}
		changes[i] = e
	}
	return changes
}

// holdDisplaced keeps the conf changes of m in whose places raft, as the leader's, has
// put empty entries, because an earlier one is not applied yet.
func (l *loop) holdDisplaced(m *raftpb.Message, changes map[int]*raftpb.Entry) {
	for i, e := range m.GetEntries() {
		if changes[i] != nil && changes[i] != e {
			l.keep(&raftpb.Message{Type: raftpb.MsgProp.Enum(), From: m.From, To: m.To, Entries: []*raftpb.Entry{changes[i]}})
		}
	}
}

// retryHeld steps the messages that are held once more, when the leader has changed or
// some ticks have passed. After two election timeouts clients have been told that their
// fate is unknown, and nobody waits for them any more.
func (l *loop) retryHeld(ticks int) {
	held := l.held
	l.held = nil
	for _, h := range held {
		before := len(l.held)
		l.step(h.message)
		if h.ticks += ticks; h.ticks > 2*l.node.cfg.ElectionTicks {
			l.held = l.held[:before]
		}
		for i := before; i < len(l.held); i++ { // it is held again, or what is left of it
			l.held[i].ticks = h.ticks
		}
	}
}
