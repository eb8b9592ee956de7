package wire

import (
	"go.etcd.io/etcd/api/v3/membershippb"
	"google.golang.org/protobuf/encoding/protowire"
)

// fieldOurs marks, among the attributes that a member publishes of itself, one that is
// Bowline. etcd knows no such field and passes over it.
const fieldOurs = 1907

// MarkOurs adds the mark.
func MarkOurs(a *membershippb.Attributes) {
	mark := protowire.AppendTag(nil, fieldOurs, protowire.VarintType)
	a.ProtoReflect().SetUnknown(protowire.AppendVarint(mark, 1))
}

// MarkedOurs tells whether the mark is there.
func MarkedOurs(a *membershippb.Attributes) bool {
	for b := a.ProtoReflect().GetUnknown(); len(b) > 0; {
		num, _, n := protowire.ConsumeField(b)
		if n < 0 {
			return false
		}
		if num == fieldOurs {
			return true
		}
		b = b[n:]
	}
	return false
}
