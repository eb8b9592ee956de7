package transport

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// check refuses received messages on which raft would panic or which it would take for its own: with all members right they
// do not occur.
func check(m *raftpb.Message) error {
	kind, entries := m.GetType(), m.GetEntries()
	switch {
	case kind < 0 || int(kind) >= messageTypes: // raft.IsLocalMsg would panic
		return fmt.Errorf("transport: message of unknown type %d", kind)
	case raft.IsLocalMsg(kind):
		return fmt.Errorf("transport: %v comes from no other member", kind)
	case m.GetFrom() == 0:
		return fmt.Errorf("transport: %v from nobody", kind)
	case m.GetTerm() == 0 && kind != raftpb.MsgProp && kind != raftpb.MsgReadIndex:
		return fmt.Errorf("transport: %v without a term", kind)
	}
	switch kind {
	case raftpb.MsgSnap:
		return errors.New("transport: a snapshot without its state")
	case raftpb.MsgProp:
		if len(entries) == 0 {
			return errors.New("transport: a proposal of nothing")
		}
	case raftpb.MsgReadIndex, raftpb.MsgReadIndexResp:
		if len(entries) != 1 {
			return fmt.Errorf("transport: %v with %d entries", kind, len(entries))
		}
	case raftpb.MsgApp:
		return checkEntries(m)
	}
	return nil
}

// checkEntries wants entries that follow each other, beginning behind the message's index.
func checkEntries(m *raftpb.Message) error {
	index, term := m.GetIndex(), m.GetLogTerm()
	for _, e := range m.GetEntries() {
		index++
		if e.GetIndex() != index || e.GetTerm() < term || e.GetTerm() > m.GetTerm() {
			return fmt.Errorf("transport: entry %d of term %d in the place of entry %d, behind term %d, from a leader of term %d",
				e.GetIndex(), e.GetTerm(), index, term, m.GetTerm())
		}
		term = e.GetTerm()
	}
	return nil
}
