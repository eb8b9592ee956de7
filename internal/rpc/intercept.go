package rpc

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"bowline/internal/phase"
	"bowline/internal/recent"
	"bowline/internal/server"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Metadata keys of requests.
const (
	keyHasLeader  = "hasleader"
	keyAPIVersion = "client-api-version"
)

var (
	errNotCapable    = status.Error(codes.FailedPrecondition, "etcdserver: not capable")
	errLearner       = status.Error(codes.FailedPrecondition, "etcdserver: rpc not supported for learner")
	errBadAPIVersion = status.Error(codes.InvalidArgument, "etcdserver: invalid client api version")
)

func requiresLeader(ctx context.Context) bool {
	v := metadata.ValueFromIncomingContext(ctx, keyHasLeader)
	return len(v) > 0 && v[0] == "true"
}

// admit decides whether a call may begin, whatever it asks for.
func (m *member) admit(ctx context.Context, kind string, method string, req any) error {
	if m.Server.ClusterVersion() == "" && strings.HasPrefix(method, "/etcdserverpb.") {
		return errNotCapable
	}
	if m.Server.IsLearner() && !learnerServes(method, req) {
		return errLearner
	}
	version := ""
	if v := metadata.ValueFromIncomingContext(ctx, keyAPIVersion); len(v) > 0 {
		if version = v[0]; !utf8.ValidString(version) {
			return errBadAPIVersion
		}
	}
	m.Metrics.request(kind, version)
	if requiresLeader(ctx) && !m.Server.HasLeader() {
		return toStatus(server.ErrNoLeader)
	}
	return m.authorize(ctx, method, req)
}

// serializable is what a learner may answer.
type serializable interface{ GetSerializable() bool }

func learnerServes(method string, req any) bool {
	switch method {
	case "/etcdserverpb.Maintenance/Status", "/etcdserverpb.Maintenance/Snapshot":
		return true
	case "/etcdserverpb.KV/Range":
		r, ok := req.(serializable)
		return ok && r.GetSerializable()
	}
	return false
}

// unary serves a call with one answer: admission, the handler, and what is told of it.
func (m *member) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	m.calls.Add(1)
	defer m.calls.Add(-1)
	count := m.Metrics.started(info.FullMethod)
	if m.Costs == nil && !m.Audit.On() {
		return m.serve(ctx, req, info.FullMethod, handle, count, nil)
	}
	if strings.HasPrefix(info.FullMethod, "/etcdserverpb.") { // the others may wait for long
		ctx = server.FindOutOnce(ctx)
	}
	who, err := m.spend(ctx, req)
	var resp any
	var slow slowCall
	if err != nil {
		count.handled(err)
	} else if resp, err = m.serve(ctx, req, info.FullMethod, handle, count, &slow); err == nil {
		m.charge(who, resp)
	}
	m.audit(ctx, info.FullMethod, "", slow, req, resp, err)
	return resp, err
}

// slowCall is what the audit log is told of a call whose phases the log is told, too.
type slowCall struct {
	took   time.Duration
	phases []recent.Phase
}

// serve handles a call that may be slow, of which it tells in slow, unless that is nil.
func (m *member) serve(ctx context.Context, req any, method string, handle grpc.UnaryHandler, count *methodCount, slow *slowCall) (any, error) {
	if err := m.admit(ctx, "unary", method, req); err != nil {
		count.handled(err)
		return nil, err
	}
	line := phase.Begin(ctx, time.Now())
	resp, err := handle(line, req)
	count.handled(err)
	c := call{line: line, method: method, req: req, resp: resp, err: err, took: time.Since(line.Began)}
	m.finished(count, &c)
	if slow != nil && c.took > tellPhases {
		*slow = slowCall{c.took, durations(&c)}
	}
	return resp, err
}

func (m *member) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	count := m.Metrics.started(info.FullMethod)
	who, err := m.spend(stream.Context(), nil)
	if err == nil {
		err = m.admit(stream.Context(), "stream", info.FullMethod, nil)
	}
	if err == nil {
		began := time.Now()
		defer func() { m.Metrics.handledIn(count, time.Since(began)) }()
		err = m.whileLed(srv, &countedStream{ServerStream: stream, count: count, member: m, who: who, method: info.FullMethod}, info.FullMethod, handle)
	}
	if errors.Is(err, context.Canceled) {
		err = status.FromContextError(context.Canceled).Err()
	}
	count.handled(err)
	m.audit(stream.Context(), info.FullMethod, streamEnd, slowCall{}, nil, nil, err)
	return err
}

// whileLed handles a stream. One whose client requires a leader ends without, even if its
// handler waits for the client: that hears of the end when this returns. Watches
// look after it themselves, to end in order.
func (m *member) whileLed(srv any, stream *countedStream, method string, handle grpc.StreamHandler) error {
	if !requiresLeader(stream.Context()) || method == pb.Watch_Watch_FullMethodName {
		return handle(srv, stream)
	}
	ctx, cancel := m.WatchLeader(stream.Context())
	defer cancel(nil)
	stream.ctx = ctx
	handled := make(chan error, 1)
	go func() { handled <- handle(srv, stream) }()
	select {
	case err := <-handled:
		return err
	case <-ctx.Done():
	}
	if err := context.Cause(ctx); errors.Is(err, server.ErrNoLeader) {
		return toStatus(err)
	}
	return <-handled // the client has gone, which the handler hears too
}

// countedStream counts the messages of a stream as etcd does: also the end of
// those that come, and those that failed.
type countedStream struct {
	grpc.ServerStream
	count *methodCount
	ctx   context.Context // instead of the stream's, if it is not nil
	// member is told of messages, and who is charged for them.
	member      *member
	who, method string
}

func (s *countedStream) Context() context.Context {
	if s.ctx != nil {
		return s.ctx
	}
	return s.ServerStream.Context()
}

func (s *countedStream) SendMsg(m any) error {
	if s.method != pb.Watch_Watch_FullMethodName { // events are others' doing
		s.member.charge(s.who, m)
	}
	err := s.ServerStream.SendMsg(m)
	s.count.sent.Add(1)
	if err != nil && s.Context().Err() == nil {
		s.count.sendFailures.Add(1)
	}
	return err
}

func (s *countedStream) RecvMsg(m any) error {
	err := s.ServerStream.RecvMsg(m)
	s.count.received.Add(1)
	if err == nil {
		if s.who != "" {
			s.member.Costs.Charge(s.who, 1, sizeOf(m))
		}
		if s.method != pb.Watch_Watch_FullMethodName { // it tells by itself, with what became of it
			s.member.audit(s.Context(), s.method, streamMessage, slowCall{}, m, nil, nil)
		}
	}
	if err != nil && !errors.Is(err, io.EOF) && s.Context().Err() == nil {
		s.count.receiveFailures.Add(1)
	}
	return err
}
