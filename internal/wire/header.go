package wire

import "google.golang.org/protobuf/encoding/protowire"

// Header is an etcdserverpb.ResponseHeader.
type Header struct {
	ClusterID uint64
	MemberID  uint64
	Revision  int64
	RaftTerm  uint64
}

// maxHeaderField is the longest that AppendField appends.
const maxHeaderField = 2 + 4*11

// AppendField appends h as field 1 of a response.
func (h Header) AppendField(dst []byte) []byte {
	var buf [4 * 11]byte
	b := AppendInt(buf[:0], 1<<3, int64(h.ClusterID))
	b = AppendInt(b, 2<<3, int64(h.MemberID))
	b = AppendInt(b, 3<<3, h.Revision)
	b = AppendInt(b, 4<<3, int64(h.RaftTerm))
	dst = append(dst, 1<<3|2)
	dst = protowire.AppendVarint(dst, uint64(len(b)))
	return append(dst, b...)
}
