package wire

import (
	"bytes"
	"encoding/binary"

	"google.golang.org/protobuf/encoding/protowire"
)

// The methods of v2 requests in the log.
const (
	V2Put    = "PUT"
	V2Post   = "POST"
	V2Delete = "DELETE"
	V2Read   = "QGET"
	V2Expire = "SYNC"
)

// V2Members begins the paths of what etcd keeps of its members in the tree.
const V2Members = "/0/"

// V2Request is a request of API v2. In the logs of etcd up to 3.5 it is bare, or in the
// second field of an InternalRaftRequest; see Entry for ours.
type V2Request struct {
	ID        uint64
	Method    string
	Path      string // with the prefix of its part of the tree: /1/foo
	Value     string
	Dir       bool
	PrevValue string
	PrevIndex uint64
	// PrevExist and Refresh are nil if the client does not say.
	PrevExist *bool
	// Expiration is when the node is to vanish, in nanoseconds since 1970; 0 is never.
	Expiration int64
	Recursive  bool
	// Time is the wall clock of who proposed it, in nanoseconds since 1970. etcd sets it
	// for expiry alone; here every request carries it, since whoever applies it has no
	// clock.
	Time    int64
	Refresh *bool
}

// treeTag begins an entry of ours that holds a request of API v2: it is the tag of field
// 1907.
const treeTag = "\x9a\x77"

// Entry returns what goes into the log: an InternalRaftRequest that checkpoints no
// leases, with the request in a field that etcd does not know. etcd from 3.6 on ends at
// a bare request, and this it applies without effect: it can be added to a cluster whose
// log holds such entries.
func (r *V2Request) Entry() []byte {
	const leaseCheckpoint = 11
	// The length of the request comes before it: its room is as wide as the widest.
	const head = 3 + binary.MaxVarintLen32
	bare := r.append(make([]byte, head, head+r.room()+24))
	var start [head]byte
	before := protowire.AppendVarint(append(start[:0], treeTag...), uint64(len(bare)-head))
	b := bare[head-len(before):]
	copy(b, before)
	b = protowire.AppendVarint(protowire.AppendTag(b, 1, protowire.VarintType), r.ID)
	return protowire.AppendBytes(protowire.AppendTag(b, leaseCheckpoint, protowire.BytesType), nil)
}

// tree returns the request in an entry of ours, or nil.
func tree(b []byte) []byte {
	inside, ours := bytes.CutPrefix(b, []byte(treeTag))
	if !ours {
		return nil
	}
	bare, _ := protowire.ConsumeBytes(inside)
	return bare
}

// Encode returns the bytes of a bare request, as etcd 3.4 has it. As there, every field is there but those that
// the client did not give.
func (r *V2Request) Encode() []byte {
	return r.append(make([]byte, 0, r.room()))
}

// room is at least the length of a bare request.
func (r *V2Request) room() int {
	const fixed = 128
	return fixed + len(r.Path) + len(r.Value) + len(r.PrevValue)
}

func (r *V2Request) append(b []byte) []byte {
	text := func(num protowire.Number, s string) {
		b = protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), s)
	}
	number := func(num protowire.Number, n uint64) {
		b = protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), n)
	}
	flag := func(num protowire.Number, set bool) { number(num, protowire.EncodeBool(set)) }
	number(1, r.ID)
	text(2, r.Method)
	text(3, r.Path)
	text(4, r.Value)
	flag(5, r.Dir)
	text(6, r.PrevValue)
	number(7, r.PrevIndex)
	if r.PrevExist != nil {
		flag(8, *r.PrevExist)
	}
	number(9, uint64(r.Expiration))
	flag(10, false)
	number(11, 0)
	flag(12, r.Recursive)
	flag(13, false)
	flag(14, r.Method == V2Read)
	number(15, uint64(r.Time))
	flag(16, false)
	if r.Refresh != nil {
		flag(17, *r.Refresh)
	}
	return b
}

// ParseV2 reads a request of API v2, in any of its forms. Its texts are
// copies. ok is false for anything else.
func ParseV2(b []byte) (*V2Request, bool) {
	b, ok := bareV2(b)
	if !ok {
		return nil, false
	}
	r := new(V2Request)
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil, false
		}
		m := protowire.ConsumeFieldValue(num, typ, b[n:])
		if m < 0 {
			return nil, false
		}
		field := b[n : n+m]
		b = b[n+m:]
		switch typ {
		case protowire.BytesType:
			v, _ := protowire.ConsumeBytes(field)
			r.setText(num, v)
		case protowire.VarintType:
			v, _ := protowire.ConsumeVarint(field)
			r.setNumber(num, v)
		}
	}
	return r, true
}

func (r *V2Request) setText(num protowire.Number, s []byte) {
	switch num {
	case 2:
		r.Method = method(s)
	case 3:
		r.Path = string(s)
	case 4:
		r.Value = string(s)
	case 6:
		r.PrevValue = string(s)
	}
}

// method is a method's name, for most without a copy.
func method(s []byte) string {
	for _, known := range [...]string{V2Put, V2Post, V2Delete, V2Read, V2Expire} {
		if string(s) == known {
			return known
		}
	}
	return string(s)
}

func (r *V2Request) setNumber(num protowire.Number, n uint64) {
	set := n != 0
	switch num {
	case 1:
		r.ID = n
	case 5:
		r.Dir = set
	case 7:
		r.PrevIndex = n
	case 8:
		r.PrevExist = new(set)
	case 9:
		r.Expiration = int64(n)
	case 12:
		r.Recursive = set
	case 15:
		r.Time = int64(n)
	case 17:
		r.Refresh = new(set)
	}
}

// bareV2 finds the request of API v2 in b: b itself, or what is in its second field. It
// looks no further than the second field, so that it costs nothing for other requests.
func bareV2(b []byte) ([]byte, bool) {
	if bare := tree(b); bare != nil {
		b = bare
	}
	for rest := b; len(rest) > 0; {
		num, typ, n := protowire.ConsumeTag(rest)
		if n < 0 || num > 2 {
			return nil, false
		}
		m := protowire.ConsumeFieldValue(num, typ, rest[n:])
		if m < 0 {
			return nil, false
		}
		if num == 2 && typ == protowire.BytesType {
			text, _ := protowire.ConsumeBytes(rest[n : n+m])
			switch string(text) {
			case V2Put, V2Post, V2Delete, V2Read, V2Expire:
				return b, true
			}
			if len(text) > 0 && text[0] == 1<<3 {
				return bareV2(text)
			}
			return nil, false
		}
		rest = rest[n+m:]
	}
	return nil, false
}
