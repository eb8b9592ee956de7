package rpc

import (
	"time"

	"bowline/internal/mvcc"
	"bowline/internal/recent"
	"bowline/internal/wire"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// Remember has the latest slow calls, those that take longer than from, and the keys of
// some of all calls kept in r. It is called before the first call.
func (m *Metrics) Remember(r *recent.Requests, from time.Duration) { m.recent, m.slowFrom = r, from }

// remember looks at a unary call that has ended. Most need nothing but two comparisons
// and a division.
func (m *Metrics) remember(count *methodCount, c *call) {
	if m.recent == nil {
		return
	}
	if c.took > m.slowFrom && !count.lazy { // lazy ones wait for others, as locks do
		s := recent.Slow{At: time.Now(), Took: c.took, Method: count.method, Request: withoutValues(c.req), Phases: durations(c)}
		if c.err != nil {
			s.Error = status.Convert(c.err).Message()
		}
		m.recent.AddSlow(s)
	}
	if m.recent.Picks(c.took) {
		if key, write, ok := keyOf(c.req); ok {
			m.recent.Count(key, write)
		}
	}
}

// withoutValues describes a request about keys, without values; others not at all.
func withoutValues(req any) string {
	switch r := req.(type) {
	case *pb.RangeRequest, *pb.PutRequest, *pb.DeleteRangeRequest, *pb.TxnRequest:
		return wire.Describe(r.(proto.Message))
	}
	return ""
}

// keyOf is the first key that a request is about.
func keyOf(req any) (key []byte, write, ok bool) {
	switch r := req.(type) {
	case *pb.RangeRequest:
		return r.Key, false, true
	case *pb.PutRequest:
		return r.Key, true, true
	case *pb.DeleteRangeRequest:
		return r.Key, true, true
	case *pb.TxnRequest:
		for _, ops := range [][]*pb.RequestOp{r.Success, r.Failure} {
			for _, op := range ops {
				if inner := innerOf(op); inner != nil {
					key, _, ok = keyOf(inner)
					return key, !mvcc.ReadOnly(r), ok
				}
			}
		}
	}
	return nil, false, false
}

// innerOf is an operation of a transaction, nil for a transaction.
func innerOf(op *pb.RequestOp) any {
	switch o := op.Request.(type) {
	case *pb.RequestOp_RequestRange:
		return o.RequestRange
	case *pb.RequestOp_RequestPut:
		return o.RequestPut
	case *pb.RequestOp_RequestDeleteRange:
		return o.RequestDeleteRange
	}
	return nil
}
