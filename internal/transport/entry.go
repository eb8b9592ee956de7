package transport

import (
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// entryArena makes entries out of few allocations. What is made together is freed together, which suits raft: it lets go of
// entries in order.
type entryArena struct {
	boxes []entryBox
	data  []byte
}

const (
	arenaEntries = 64
	arenaBytes   = 64 << 10
)

// entryBox is an entry with what it points to.
type entryBox struct {
	entry       raftpb.Entry
	kind        raftpb.EntryType
	term, index uint64
}

// decode reads an entry; data may be used again afterwards.
func (a *entryArena) decode(data []byte) (*raftpb.Entry, error) {
	if len(a.boxes) == 0 {
		a.boxes = make([]entryBox, arenaEntries)
	}
	box := &a.boxes[0]
	payload, ok := box.parse(data)
	if !ok { // not as anybody writes it: damage, or a field from the future
		*box = entryBox{}
		e := new(raftpb.Entry)
		if err := proto.Unmarshal(data, e); err != nil {
			return nil, err
		}
		return e, nil
	}
	a.boxes = a.boxes[1:]
	if payload != nil {
		box.entry.Data = a.copy(payload)
	}
	return &box.entry, nil
}

// parse reads the four fields of an entry, each of which may be missing, and returns the last.
func (b *entryBox) parse(data []byte) (payload []byte, ok bool) {
	for len(data) > 0 {
		tag := data[0]
		var v uint64
		var n int
		if tag == 0x22 {
			payload, n = protowire.ConsumeBytes(data[1:])
		} else {
			v, n = protowire.ConsumeVarint(data[1:])
		}
		if n < 0 {
			return nil, false
		}
		data = data[1+n:]
		switch tag {
		case 0x08:
			if v > uint64(raftpb.EntryConfChangeV2) {
				return nil, false
			}
			b.kind = raftpb.EntryType(v)
			b.entry.Type = &b.kind
		case 0x10:
			b.term = v
			b.entry.Term = &b.term
		case 0x18:
			b.index = v
			b.entry.Index = &b.index
		case 0x22:
		default:
			return nil, false
		}
	}
	return payload, true
}

func (a *entryArena) copy(src []byte) []byte {
	if len(src) > arenaBytes/8 {
		return append(make([]byte, 0, len(src)), src...)
	}
	if a.data == nil || len(a.data)+len(src) > cap(a.data) {
		a.data = make([]byte, 0, arenaBytes)
	}
	at := len(a.data)
	a.data = append(a.data, src...)
	return a.data[at:len(a.data):len(a.data)]
}
