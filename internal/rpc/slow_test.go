package rpc

import (
	"context"
	"testing"
	"time"

	"bowline/internal/phase"
	"bowline/internal/wire"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// measured is a member that warns from a duration on, and what it logs.
func measured(level zapcore.Level, slow time.Duration) (*member, *observer.ObservedLogs) {
	core, logs := observer.New(level)
	return &member{
		Config: Config{Metrics: NewMetrics(false), SlowRequest: slow, SlowApply: slow, Logger: zap.New(core)},
	}, logs
}

func countOf(kind string) *methodCount { return &methodCount{timed: newKindTimes(kind)} }

func rangeCall(took time.Duration) *call {
	a := new(wire.Answer)
	a.Header(wire.Header{ClusterID: 1, MemberID: 2, Revision: 3, RaftTerm: 4})
	for range 3 {
		a.Message(2<<3|2, []byte("\x0a\x01k"))
	}
	a.Int(4<<3, 7)
	line := phase.Begin(context.Background(), time.Now().Add(-took))
	return &call{line: line, method: methodRange, req: &pb.RangeRequest{Key: []byte("k"), Limit: 3}, resp: a, took: took}
}

func TestSlowReadsAreTold(t *testing.T) {
	m, logs := measured(zap.WarnLevel, time.Second)
	for _, took := range []time.Duration{time.Second, time.Second + 1} {
		m.finished(countOf("Range"), rangeCall(took))
	}
	if n := m.Metrics.SlowReads(); n != 1 {
		t.Errorf("%d slow reads are counted, want the one that took longer than a second", n)
	}
	lines := logs.All()
	if len(lines) != 2 {
		t.Fatalf("%d lines, want two about one call", len(lines))
	}
	slow := lines[0].ContextMap()
	if lines[0].Message != "apply request took too long" || slow["prefix"] != "read-only range " ||
		slow["response"] != "range_response_count:3 size:27" || slow["expected-duration"] != time.Second || slow["error"] != nil {
		t.Errorf("%s %v", lines[0].Message, slow)
	}
	stats := lines[1].ContextMap()
	if lines[1].Message != "request stats" || stats["response type"] != methodRange || stats["response count"] != int64(7) ||
		stats["response size"] != int64(27) || stats["request size"] != int64(5) {
		t.Errorf("%s %v", lines[1].Message, stats)
	}
}

func TestStatsOfOtherCalls(t *testing.T) {
	put := &pb.PutRequest{Key: []byte("k"), Value: []byte("secret")}
	op := &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: put}}
	succeeded := new(wire.Answer)
	succeeded.Bool(2<<3, true)
	deleted := new(wire.Answer)
	deleted.Int(2<<3, 5)
	for _, c := range []struct {
		call call
		want callStats
	}{
		{call{req: put, resp: new(wire.Answer)}, callStats{1, 11, 0, 0, `key:"k" value_size:6`}},
		{call{req: &pb.DeleteRangeRequest{Key: []byte("k")}, resp: deleted}, callStats{0, 3, 5, 2, `key:"k"`}},
		{call{req: &pb.TxnRequest{Success: []*pb.RequestOp{op, op}}, resp: succeeded}, callStats{2, 26, 0, 2,
			`compare:<> success:<request_put:<key:"k" value_size:6> request_put:<key:"k" value_size:6>> failure:<>`}},
		{call{req: put, err: status.Error(codes.Unavailable, "x")}, callStats{1, 11, 0, 0, `key:"k" value_size:6`}},
		{call{req: &pb.LeaseGrantRequest{TTL: 5}, resp: new(pb.LeaseGrantResponse)}, callStats{-1, -1, -1, -1, ""}},
	} {
		if got := statsOf(&c.call); got != c.want {
			t.Errorf("%T: got %+v, want %+v", c.call.req, got, c.want)
		}
	}
}

func TestDebugTellsEveryCall(t *testing.T) {
	m, logs := measured(zap.DebugLevel, time.Hour)
	m.finished(countOf("Range"), rangeCall(time.Microsecond))
	if lines := logs.All(); len(lines) != 1 || lines[0].Level != zap.DebugLevel || lines[0].Message != "request stats" {
		t.Errorf("logged %v", lines)
	}
}

// BenchmarkMeasuring is what a unary call costs more for being measured.
func BenchmarkMeasuring(b *testing.B) {
	m, _ := measured(zap.InfoLevel, time.Hour)
	count := countOf("Range")
	req := &pb.RangeRequest{Key: []byte("k")}
	var resp any = new(wire.Answer)
	b.ReportAllocs()
	for b.Loop() {
		line := phase.Begin(context.Background(), time.Now())
		m.finished(count, &call{line: line, method: methodRange, req: req, resp: resp, took: time.Since(line.Began)})
	}
}
