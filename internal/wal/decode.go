package wal

import (
	"errors"
	"fmt"
	"math"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

var (
	errMalformed    = errors.New("malformed protobuf")
	errUnknownField = errors.New("unknown field")
)

// eachField calls number for the varint fields of a message and bytes for its length-delimited ones. Both report whether
// they know the field. Unknown ones are an error: the checksum does not cover a record's kind, so one that was
// damaged to another kind shows only in its fields.
func eachField(msg []byte, number func(field protowire.Number, v uint64) bool, bytes func(field protowire.Number, v []byte) bool) error {
	for len(msg) > 0 {
		field, wire, n := protowire.ConsumeTag(msg)
		if n < 0 {
			return errMalformed
		}
		msg = msg[n:]
		switch wire {
		case protowire.VarintType:
			v, k := protowire.ConsumeVarint(msg)
			if k < 0 {
				return errMalformed
			}
			if !number(field, v) {
				return errUnknownField
			}
			n = k
		case protowire.BytesType:
			v, k := protowire.ConsumeBytes(msg)
			if k < 0 {
				return errMalformed
			}
			if !bytes(field, v) {
				return errUnknownField
			}
			n = k
		default:
			return errUnknownField
		}
		msg = msg[n:]
	}
	return nil
}

// record is one record of a segment. Its data is valid until the scanner moves on.
type record struct {
	kind   uint64
	crc    uint32
	data   []byte
	offset int64  // of its frame
	before uint32 // running checksum in front of it
}

func decodeRecord(body []byte) (record, error) {
	var r record
	var crc uint64
	err := eachField(body, func(f protowire.Number, v uint64) bool {
		switch f {
		case 1:
			r.kind = v
		case 2:
			crc = v
		}
		return f <= 2
	}, func(f protowire.Number, v []byte) bool {
		r.data = v
		return f == 3
	})
	r.crc = uint32(crc)
	switch {
	case err != nil:
	case crc > math.MaxUint32:
		err = fmt.Errorf("checksum of more than 32 bits: %#x", crc)
	case r.kind < recordMetadata || r.kind > recordSnapshot:
		err = fmt.Errorf("unknown kind of record: %d", r.kind)
	case (r.kind == recordCRC) != (len(r.data) == 0):
		err = fmt.Errorf("a record of kind %d with %d bytes of data", r.kind, len(r.data))
	}
	return r, err
}

// entryFields is an entry in plain values. Type is 0 and Data nil also where they are absent.
type entryFields struct {
	kind        uint64
	term, index uint64
	data        []byte
	hasKind     bool
}

func decodeEntry(data []byte) (entryFields, error) {
	var e entryFields
	err := eachField(data, func(f protowire.Number, v uint64) bool {
		switch f {
		case 1:
			e.kind, e.hasKind = v, true
		case 2:
			e.term = v
		case 3:
			e.index = v
		}
		return f <= 3
	}, func(f protowire.Number, v []byte) bool {
		e.data = v
		return f == 4
	})
	if err != nil {
		return e, err
	}
	// A conf change says something; a hard state that was damaged to an entry does not.
	if e.index == 0 || e.index == math.MaxUint64 || e.term == 0 ||
		e.kind > uint64(raftpb.EntryConfChangeV2) || e.kind != uint64(raftpb.EntryNormal) && len(e.data) == 0 {
		err = fmt.Errorf("impossible entry: index %d, term %d, type %d, %d bytes", e.index, e.term, e.kind, len(e.data))
	}
	return e, err
}

func decodeUints(data []byte, into ...*uint64) error {
	return eachField(data, func(f protowire.Number, v uint64) bool {
		if int(f) > len(into) {
			return false
		}
		*into[f-1] = v
		return true
	}, func(protowire.Number, []byte) bool { return false })
}

func decodeHardState(data []byte) (HardState, error) {
	var s HardState
	err := decodeUints(data, &s.Term, &s.Vote, &s.Commit)
	if err == nil && s.Term == 0 {
		err = errors.New("hard state without a term")
	}
	return s, err
}

func decodeMetadata(data []byte) (Metadata, error) {
	var m Metadata
	err := decodeUints(data, &m.NodeID, &m.ClusterID)
	return m, err
}

func decodeSnapshot(data []byte) (Snapshot, error) {
	var s Snapshot
	var conf []byte
	err := eachField(data, func(f protowire.Number, v uint64) bool {
		switch f {
		case 1:
			s.Index = v
		case 2:
			s.Term = v
		}
		return f <= 2
	}, func(f protowire.Number, v []byte) bool {
		conf = v
		return f == 3
	})
	if err == nil && conf != nil {
		s.ConfState = &raftpb.ConfState{}
		err = proto.Unmarshal(conf, s.ConfState)
	}
	if err == nil && s.Index == math.MaxUint64 {
		err = fmt.Errorf("snapshot of index %d", s.Index)
	}
	return s, err
}

// entryArena makes raft entries in slabs: a log of small entries would otherwise cost four allocations each.
type entryArena struct {
	boxes []entryBox
	data  []byte
}

type entryBox struct {
	entry       raftpb.Entry
	kind        raftpb.EntryType
	term, index uint64
}

const (
	arenaEntries = 128
	arenaBytes   = 64 << 10
)

// entry copies e out of the reader's buffer.
func (a *entryArena) entry(e entryFields) *raftpb.Entry {
	if len(a.boxes) == 0 {
		a.boxes = make([]entryBox, arenaEntries)
	}
	box := &a.boxes[0]
	a.boxes = a.boxes[1:]
	box.term, box.index = e.term, e.index
	box.entry.Term, box.entry.Index = &box.term, &box.index
	if e.hasKind {
		box.kind = raftpb.EntryType(e.kind)
		box.entry.Type = &box.kind
	}
	if e.data != nil {
		box.entry.Data = a.copy(e.data)
	}
	return &box.entry
}

func (a *entryArena) copy(src []byte) []byte {
	if len(src) > arenaBytes/8 {
		return append(make([]byte, 0, len(src)), src...)
	}
	if len(a.data)+len(src) > cap(a.data) {
		a.data = make([]byte, 0, arenaBytes)
	}
	at := len(a.data)
	a.data = append(a.data, src...)
	return a.data[at:len(a.data):len(a.data)]
}
