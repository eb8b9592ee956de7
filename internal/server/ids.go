package server

import (
	"sync/atomic"
	"time"
)

// ids makes request and lease IDs as etcd does: 16 bits of the member, 40 of the
// time of its start in milliseconds, 8 and what they carry over of a counter. So
// a member's IDs differ from those of its earlier lives and of other members.
type ids struct{ last atomic.Uint64 }

func newIDs(member uint64, start time.Time) *ids {
	const milliBits = 40
	millis := uint64(start.UnixMilli()) & (1<<milliBits - 1)
	g := new(ids)
	g.last.Store(member<<48 | millis<<8)
	return g
}

// next returns a request ID, never 0.
func (g *ids) next() uint64 { return g.last.Add(1) }

// nextLease returns a positive lease ID.
func (g *ids) nextLease() int64 {
	for {
		if id := int64(g.next() &^ (1 << 63)); id != 0 {
			return id
		}
	}
}
