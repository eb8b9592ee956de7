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
// we were about to give leadership away or did not know to whom it had gone. The member
// that sent it cannot know that it was not taken, and its clients would wait for nothing.
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
	if st.RaftState == raft.StateLeader && st.LeadTransferee == raft.None || len(l.held) == maxHeld {
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

// retryHeld steps the messages that are held once more, when the leader has changed or
// some ticks have passed. After two election timeouts clients have been told that their
// fate is unknown, and nobody waits for them any more.
func (l *loop) retryHeld(ticks int) {
	held := l.held
	l.held = nil
	for _, h := range held {
		before := len(l.held)
		l.step(h.message)
		if len(l.held) == before {
			continue
		}
		h.ticks += ticks
		l.held[before] = h
		if h.ticks > 2*l.node.cfg.ElectionTicks {
			l.held = l.held[:before]
		}
	}
}
