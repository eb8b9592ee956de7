package rpc

import (
	"context"
	"strings"
	"time"

	"bowline/internal/audit"
	"bowline/internal/wire"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// audit writes a call down, if that is wanted. stream is "" for a unary call.
func (m *member) audit(ctx context.Context, method, stream string, slow slowCall, req, resp any, err error) {
	if !m.Audit.On() || strings.HasPrefix(method, "/grpc.health.") {
		return
	}
	s := status.Convert(err)
	_, call, _ := strings.Cut(method, ".")
	r := &audit.Record{Call: call, Stream: stream, CommonName: commonName(ctx), Remote: remoteOf(ctx), Code: s.Code().String(),
		Error: s.Message(), Revision: revisionOf(resp)}
	if stream == streamMessage && method != pb.Watch_Watch_FullMethodName {
		r.Code = "" // what became of it is told by the stream's end
	}
	if id, err := m.Server.Identify(ctx); err == nil {
		r.User = id.User
	}
	describe(r, req)
	r.Took = milliseconds(slow.took)
	for _, p := range slow.phases {
		r.Phases = append(r.Phases, audit.Phase{Name: p.Name, Took: milliseconds(p.Took)})
	}
	m.Audit.Write(r)
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// What a record of a stream is about.
const (
	streamMessage = "message"
	streamEnd     = "end"
)

// remoteOf is the address that a call comes from. The JSON gateway, which calls from
// within the process, tells for whom; anybody else who says so is not believed.
func remoteOf(ctx context.Context) string {
	p, ok := peer.FromContext(ctx)
	switch {
	case !ok:
		return ""
	case !isLoopback(p.Addr):
		return p.Addr.String()
	}
	via := metadata.ValueFromIncomingContext(ctx, "x-forwarded-for")
	if len(via) == 0 {
		return "loopback" // a program that the member is a part of
	}
	all := strings.Split(via[len(via)-1], ",") // those before the last are what its client has said
	return strings.TrimSpace(all[len(all)-1])
}

// AuditWatch writes down what was asked on a stream of watches, and why it was refused.
func (m *member) AuditWatch(ctx context.Context, req *pb.WatchRequest, refused error) {
	m.audit(ctx, pb.Watch_Watch_FullMethodName, streamMessage, slowCall{}, req, nil, refused)
}

type withHeader interface{ GetHeader() *pb.ResponseHeader }

func revisionOf(resp any) int64 {
	switch a := resp.(type) {
	case *wire.Answer:
		return a.Revision()
	case withHeader:
		return a.GetHeader().GetRevision()
	}
	return 0
}
