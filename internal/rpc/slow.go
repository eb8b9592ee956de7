package rpc

import (
	"fmt"
	"time"

	"bowline/internal/fsm"
	"bowline/internal/mvcc"
	"bowline/internal/phase"
	"bowline/internal/wire"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// call is a unary call that has ended.
type call struct {
	line   *phase.Timeline
	method string
	req    any
	resp   any
	err    error
	took   time.Duration
}

// finished counts a unary call and tells the log if it took long. While nothing is
// slow it only compares.
func (m *member) finished(count *methodCount, c *call) {
	m.Metrics.took(count, c)
	if c.took > m.SlowApply {
		m.warnSlowRead(c)
	}
	if c.took > tellPhases {
		m.tellPhases(c)
	}
	m.span(c)
	if c.took > m.SlowRequest {
		m.tellStats(zap.WarnLevel, c)
	} else if m.Logger.Core().Enabled(zap.DebugLevel) {
		m.tellStats(zap.DebugLevel, c)
	}
}

// warnSlowRead does for reads what package fsm does for what is applied.
func (m *member) warnSlowRead(c *call) {
	slow := fsm.Slow{Took: c.took, Expected: m.SlowApply}
	if c.err != nil {
		slow.Err = fmt.Errorf("%s", status.Convert(c.err).Message())
	}
	answer, _ := c.resp.(*wire.Answer)
	switch req := c.req.(type) {
	case *pb.RangeRequest:
		slow.Prefix, slow.Request = "read-only range ", wire.Describe(req)
		if answer != nil {
			slow.Response = fmt.Sprintf("range_response_count:%d size:%d", countFields(answer, rangeKVs), answer.Len())
		}
	case *pb.TxnRequest:
		if !mvcc.ReadOnly(req) {
			return // it was applied
		}
		slow.Prefix, slow.Request = "read-only txn ", wire.Describe(req)
		if answer != nil {
			slow.Response = fmt.Sprintf("responses:%d size:%d", countFields(answer, txnResponses), answer.Len())
		}
	default:
		return
	}
	m.Metrics.slowReads.Add(1)
	fsm.WarnSlow(m.Logger, slow)
}

// Fields of answers that tell how much is in them.
const (
	rangeKVs     protowire.Number = 2
	rangeCount   protowire.Number = 4
	deletedCount protowire.Number = 2
	txnSucceeded protowire.Number = 2
	txnResponses protowire.Number = 3
)

func countFields(a *wire.Answer, field protowire.Number) int {
	n := 0
	a.EachField(func(num protowire.Number, _ uint64) {
		if num == field {
			n++
		}
	})
	return n
}

func intField(a *wire.Answer, field protowire.Number) int64 {
	v := uint64(0)
	a.EachField(func(num protowire.Number, x uint64) {
		if num == field {
			v = x
		}
	})
	return int64(v)
}

// callStats is what the line about a call tells of it; -1 for calls other than those on
// keys.
type callStats struct {
	requests, requestBytes, responses, responseBytes int64
	content                                          string
}

// tellStats writes the line about a call that tools look for.
func (m *member) tellStats(level zapcore.Level, c *call) {
	ce := m.Logger.Check(level, "request stats")
	if ce == nil {
		return
	}
	remote := ""
	if p, ok := peer.FromContext(c.line); ok {
		remote = p.Addr.String()
	}
	s := statsOf(c)
	ce.Write(
		zap.Time("start time", time.Now().Add(-c.took)), zap.Duration("time spent", c.took), zap.String("remote", remote),
		zap.String("response type", c.method), zap.Int64("request count", s.requests), zap.Int64("request size", s.requestBytes),
		zap.Int64("response count", s.responses), zap.Int64("response size", s.responseBytes), zap.String("request content", s.content),
	)
}

func statsOf(c *call) callStats {
	answer, _ := c.resp.(*wire.Answer)
	if answer == nil {
		answer = new(wire.Answer)
	}
	var s callStats
	switch req := c.req.(type) {
	case *pb.RangeRequest:
		s = callStats{requestBytes: int64(proto.Size(req)), responses: intField(answer, rangeCount), content: wire.Describe(req)}
	case *pb.PutRequest:
		s = callStats{requests: 1, requestBytes: int64(proto.Size(req)), content: wire.Describe(req)}
	case *pb.DeleteRangeRequest:
		s = callStats{requestBytes: int64(proto.Size(req)), responses: intField(answer, deletedCount), content: wire.Describe(req)}
	case *pb.TxnRequest:
		ops := req.Failure
		if intField(answer, txnSucceeded) != 0 {
			ops = req.Success
		}
		s = callStats{requests: int64(len(ops)), content: wire.Describe(req)}
		for _, op := range ops {
			s.requestBytes += int64(proto.Size(op))
		}
	default:
		return callStats{-1, -1, -1, -1, ""}
	}
	s.responseBytes = int64(answer.Len())
	return s
}
