package watch

import (
	"google.golang.org/protobuf/encoding/protowire"

	"bowline/internal/wire"
)

// Tags of etcdserverpb.WatchResponse.
const (
	tagWatchID         = 2 << 3
	tagCreated         = 3 << 3
	tagCanceled        = 4 << 3
	tagCompactRevision = 5 << 3
	tagCancelReason    = 6<<3 | 2
	tagFragment        = 7 << 3
)

// headBytes is more than any head takes that has no reason in it: the header with
// four numbers, the watch ID, a compact revision and the flags.
const headBytes = 2 + 4*11 + 2*11 + 3*2

// Response is one etcdserverpb.WatchResponse to be sent. The one that Next returns
// is valid until the following call of Next.
type Response struct {
	WatchID int64
	// Revision is that of the header.
	Revision        int64
	Created         bool
	Canceled        bool
	CompactRevision int64
	CancelReason    string
	// Fragment tells that more events of the same revisions follow.
	Fragment bool

	events [][]byte
	size   int // sum of the lengths of events
	// ticket tells that a slot among the unsent answers is free once this is sent.
	ticket bool
}

// Events returns the number of events in r.
func (r *Response) Events() int { return len(r.events) }

// Size returns about how many bytes r takes on the wire, never too few.
func (r *Response) Size() int { return headBytes + 11 + len(r.CancelReason) + r.size }

// Encode appends the parts of the encoded response to dst: a head of its own and
// the events' bytes, which others share and nobody may modify. The parts, but not
// dst, may be kept beyond the next call of Next.
func (r *Response) Encode(dst [][]byte, clusterID, memberID, raftTerm uint64) [][]byte {
	header := wire.Header{ClusterID: clusterID, MemberID: memberID, Revision: r.Revision, RaftTerm: raftTerm}
	b := header.AppendField(make([]byte, 0, headBytes+len(r.CancelReason)))
	b = wire.AppendInt(b, tagWatchID, r.WatchID)
	b = wire.AppendBool(b, tagCreated, r.Created)
	b = wire.AppendBool(b, tagCanceled, r.Canceled)
	b = wire.AppendInt(b, tagCompactRevision, r.CompactRevision)
	if r.CancelReason != "" {
		b = append(b, tagCancelReason)
		b = protowire.AppendString(b, r.CancelReason)
	}
	b = wire.AppendBool(b, tagFragment, r.Fragment)
	return append(append(dst, b), r.events...)
}

func (r *Response) add(event []byte) {
	r.events = append(r.events, event)
	r.size += len(event)
}

// reset empties r but keeps the room for events.
func (r *Response) reset() {
	clear(r.events)
	*r = Response{events: r.events[:0]}
}
