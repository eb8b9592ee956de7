package wal

import (
	"encoding/binary"
	"hash/crc32"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Kinds of records, by the numbers that etcd gave them.
const (
	recordMetadata = 1
	recordEntry    = 2
	recordState    = 3
	recordCRC      = 4
	recordSnapshot = 5
)

const (
	frameHeaderBytes = 8
	sectorBytes      = 512 // what a disk writes whole or not at all

	// barrierBytes is the size of a checksum record's frame: its body has at most 8 bytes.
	barrierBytes = 16
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendRecord encodes one record whose data is the concatenation of head and body, and returns the running checksum
// behind it. The two parts save the copy of an entry's payload that encoding it first would cost.
func appendRecord(buf []byte, crc uint32, kind byte, head, body []byte) ([]byte, uint32) {
	crc = crc32.Update(crc, castagnoli, head)
	if len(body) > 0 {
		crc = crc32.Update(crc, castagnoli, body)
	}
	start := len(buf)
	buf = append(buf, 0, 0, 0, 0, 0, 0, 0, 0, 0x08, kind, 0x10)
	buf = protowire.AppendVarint(buf, uint64(crc))
	buf = append(buf, 0x1a)
	buf = protowire.AppendVarint(buf, uint64(len(head)+len(body)))
	buf = append(buf, head...)
	buf = append(buf, body...)
	return closeFrame(buf, start), crc
}

// appendChecksum encodes a checksum record: the head of a segment, or the sign that all before it is durable.
func appendChecksum(buf []byte, crc uint32) []byte {
	start := len(buf)
	buf = append(buf, 0, 0, 0, 0, 0, 0, 0, 0, 0x08, recordCRC, 0x10)
	buf = protowire.AppendVarint(buf, uint64(crc))
	return closeFrame(buf, start)
}

// closeFrame writes the length field of the frame that begins at start, and pads it to a multiple of 8.
func closeFrame(buf []byte, start int) []byte {
	n := len(buf) - start - frameHeaderBytes
	field := uint64(n)
	if pad := -n & 7; pad > 0 {
		field |= uint64(0x80|pad) << 56
		buf = append(buf, make([]byte, pad)...)
	}
	binary.LittleEndian.PutUint64(buf[start:], field)
	return buf
}

// appendEntryHead encodes an entry up to and without its payload's bytes, as protobuf would.
func appendEntryHead(buf []byte, e *raftpb.Entry) []byte {
	if e.Type != nil {
		buf = append(buf, 0x08)
		buf = protowire.AppendVarint(buf, uint64(*e.Type))
	}
	if e.Term != nil {
		buf = append(buf, 0x10)
		buf = protowire.AppendVarint(buf, *e.Term)
	}
	if e.Index != nil {
		buf = append(buf, 0x18)
		buf = protowire.AppendVarint(buf, *e.Index)
	}
	if e.Data != nil {
		buf = append(buf, 0x22)
		buf = protowire.AppendVarint(buf, uint64(len(e.Data)))
	}
	return buf
}

func appendHardState(buf []byte, s HardState) []byte {
	return appendUints(buf, s.Term, s.Vote, s.Commit)
}

func appendMetadata(buf []byte, m Metadata) []byte { return appendUints(buf, m.NodeID, m.ClusterID) }

// appendUints encodes a message whose fields 1, 2, ... are these numbers, zeros included, as etcd has them.
func appendUints(buf []byte, values ...uint64) []byte {
	for i, v := range values {
		buf = append(buf, byte(i+1)<<3)
		buf = protowire.AppendVarint(buf, v)
	}
	return buf
}

func appendSnapshot(buf []byte, s Snapshot) ([]byte, error) {
	buf = appendUints(buf, s.Index, s.Term)
	if s.ConfState == nil {
		return buf, nil
	}
	conf, err := proto.Marshal(s.ConfState)
	if err != nil {
		return nil, err
	}
	return protowire.AppendBytes(append(buf, 0x1a), conf), nil
}
