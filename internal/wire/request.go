package wire

import (
	"unicode/utf8"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// The requests that are decoded on every write and every read are read by hand,
// their slices sharing the encoded bytes. Whatever is not exactly as expected (an
// unknown field, another wire type) is left to the generic decoder.

// DecodePut decodes b into r; r's slices share b's bytes.
func DecodePut(b []byte, r *pb.PutRequest) error {
	if decodePut(b, r) {
		return nil
	}
	return proto.Unmarshal(b, r)
}

func decodePut(b []byte, r *pb.PutRequest) bool {
	r.Key, r.Value, r.Lease, r.PrevKv, r.IgnoreValue, r.IgnoreLease = nil, nil, 0, false, false, false
	return fields(b, func(tag byte, n uint64, v []byte) bool {
		switch tag {
		case 1<<3 | 2:
			r.Key = v
		case 2<<3 | 2:
			r.Value = v
		case 3 << 3:
			r.Lease = int64(n)
		case 4 << 3:
			r.PrevKv = n != 0
		case 5 << 3:
			r.IgnoreValue = n != 0
		case 6 << 3:
			r.IgnoreLease = n != 0
		default:
			return false
		}
		return true
	})
}

// DecodeRange decodes b into r; r's slices share b's bytes.
func DecodeRange(b []byte, r *pb.RangeRequest) error {
	if decodeRange(b, r) {
		return nil
	}
	return proto.Unmarshal(b, r)
}

func decodeRange(b []byte, r *pb.RangeRequest) bool {
	proto.Reset(r)
	return fields(b, func(tag byte, n uint64, v []byte) bool {
		switch tag {
		case 1<<3 | 2:
			r.Key = v
		case 2<<3 | 2:
			r.RangeEnd = v
		case 3 << 3:
			r.Limit = int64(n)
		case 4 << 3:
			r.Revision = int64(n)
		case 7 << 3:
			r.Serializable = n != 0
		case 8 << 3:
			r.KeysOnly = n != 0
		case 9 << 3:
			r.CountOnly = n != 0
		default:
			return false
		}
		return true
	})
}

// Proposal is an encoded InternalRaftRequest taken apart.
type Proposal struct {
	// Field is the number of the request's field, and Request its encoding.
	Field   protowire.Number
	Request []byte
	// ID, User and AuthRevision are those of the header.
	ID           uint64
	User         []byte
	AuthRevision uint64
}

// SplitRequest finds the single request inside an encoded InternalRaftRequest
// that holds nothing else but a header. ok is false for anything less simple.
func SplitRequest(b []byte) (p Proposal, ok bool) {
	const header = 100
	headed := false
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 || typ != protowire.BytesType {
			return p, false
		}
		v, m := protowire.ConsumeBytes(b[n:])
		if m < 0 {
			return p, false
		}
		b = b[n+m:]
		switch {
		case num == header && !headed && p.readHeader(v):
			headed = true
		case num != header && p.Field == 0:
			p.Field, p.Request = num, v
		default:
			return p, false
		}
	}
	return p, p.Field != 0
}

func (p *Proposal) readHeader(b []byte) bool {
	return fields(b, func(tag byte, n uint64, v []byte) bool {
		switch tag {
		case 1 << 3:
			p.ID = n
		case 2<<3 | 2:
			p.User = v
			return utf8.Valid(v)
		case 3 << 3:
			p.AuthRevision = n
		default:
			return false
		}
		return true
	})
}

// fields calls f for each field of a message whose tags all take one byte; n is
// the value of a varint, v that of a length-delimited field. It is false if f is,
// or if anything else is met.
func fields(b []byte, f func(tag byte, n uint64, v []byte) bool) bool {
	for len(b) > 0 {
		tag := b[0]
		if tag >= 0x80 || tag>>3 == 0 {
			return false
		}
		var n uint64
		var v []byte
		var used int
		switch tag & 7 {
		case 0:
			n, used = protowire.ConsumeVarint(b[1:])
		case 2:
			v, used = protowire.ConsumeBytes(b[1:])
		default:
			return false
		}
		if used < 0 || !f(tag, n, v) {
			return false
		}
		b = b[1+used:]
	}
	return true
}
