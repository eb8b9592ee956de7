package transport

import (
	"encoding/binary"
	"errors"
	"slices"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Kinds of frames on a stream of entries.
const (
	frameHeartbeat = 0
	frameEntries   = 1
	frameMessage   = 2
)

// errIncomplete is what an encoder says of an entry that is nil.
var errIncomplete = errors.New("transport: nil entry")

// encoder writes a stream's frames.
type encoder struct {
	kind streamKind
	track
}

// track is the position that both ends of a stream of entries remember: the last entry's term and index.
type track struct{ term, index uint64 }

// follow moves the position to the end of a message's entries.
func (k *track) follow(m *raftpb.Message) {
	k.term, k.index = m.GetTerm(), m.GetIndex()
	if n := len(m.GetEntries()); n > 0 {
		k.index = m.GetEntries()[n-1].GetIndex()
	}
}

// append encodes one message.
func (e *encoder) append(buf []byte, m *raftpb.Message) ([]byte, error) {
	if slices.Contains(m.GetEntries(), nil) {
		return buf, errIncomplete
	}
	if e.kind == messageStream {
		return appendMessage(buf, m)
	}
	if e.term != 0 && m.GetIndex() == e.index && m.GetLogTerm() == e.term && m.GetLogTerm() == m.GetTerm() {
		buf = append(buf, frameEntries)
		buf = binary.BigEndian.AppendUint64(buf, uint64(len(m.GetEntries())))
		for _, entry := range m.GetEntries() {
			buf = appendEntry(buf, entry)
		}
		e.index += uint64(len(m.GetEntries()))
		return binary.BigEndian.AppendUint64(buf, m.GetCommit()), nil
	}
	buf, err := appendMessage(append(buf, frameMessage), m)
	e.follow(m)
	return buf, err
}

// heartbeat encodes what a stream carries when there is nothing else to say.
func (e *encoder) heartbeat(buf []byte) []byte {
	if e.kind == entryStream {
		return append(buf, frameHeartbeat)
	}
	return append(buf, 0, 0, 0, 0, 0, 0, 0, 2, 0x08, byte(raftpb.MsgHeartbeat))
}

// appendMessage encodes a message behind its length.
func appendMessage(buf []byte, m *raftpb.Message) ([]byte, error) {
	start := len(buf)
	buf, err := proto.MarshalOptions{}.MarshalAppend(append(buf, 0, 0, 0, 0, 0, 0, 0, 0), m)
	binary.BigEndian.PutUint64(buf[start:], uint64(len(buf)-start-8))
	return buf, err
}

// appendEntry encodes an entry behind its length, as protobuf would.
func appendEntry(buf []byte, e *raftpb.Entry) []byte {
	start := len(buf)
	buf = append(buf, 0, 0, 0, 0, 0, 0, 0, 0)
	if e.Type != nil {
		buf = protowire.AppendVarint(append(buf, 0x08), uint64(*e.Type))
	}
	if e.Term != nil {
		buf = protowire.AppendVarint(append(buf, 0x10), *e.Term)
	}
	if e.Index != nil {
		buf = protowire.AppendVarint(append(buf, 0x18), *e.Index)
	}
	if e.Data != nil {
		buf = protowire.AppendVarint(append(buf, 0x22), uint64(len(e.Data)))
		buf = append(buf, e.Data...)
	}
	binary.BigEndian.PutUint64(buf[start:], uint64(len(buf)-start-8))
	return buf
}
