package rpc

import (
	"context"
	"errors"
	"io"

	"bowline/internal/watch"
	"bowline/internal/wire"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// watchServer is what the Watch service asks of the member.
type watchServer interface {
	NewWatchStream() *watch.Stream
	HeaderIDs() (clusterID, memberID, raftTerm uint64)
	// MayWatch refuses a watch that the stream's caller may not have.
	MayWatch(context.Context, *pb.WatchCreateRequest) error
	// AuditWatch is told of each request, and why it was refused if it was.
	AuditWatch(ctx context.Context, req *pb.WatchRequest, refused error)
	// GuardWatches ends the watches of a stream whose caller loses the right to them; it
	// wants to know when one was created.
	GuardWatches(context.Context, *watch.Stream) (created func())
	// WatchLeader returns a context that ends, with the error for the client as its
	// cause, when a stream that requires a leader must be cut.
	WatchLeader(context.Context) (context.Context, context.CancelCauseFunc)
}

func watchDesc() *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: pb.Watch_ServiceDesc.ServiceName,
		HandlerType: (*watchServer)(nil),
		Streams: []grpc.StreamDesc{{
			StreamName: "Watch", Handler: handleWatch, ServerStreams: true, ClientStreams: true,
		}},
		Metadata: pb.Watch_ServiceDesc.Metadata,
	}
}

// handleWatch serves one stream: this goroutine sends, another one receives. The
// sender's end ends both.
func handleWatch(srv any, stream grpc.ServerStream) error {
	s := srv.(watchServer)
	ctx, cancel := s.WatchLeader(stream.Context())
	defer cancel(nil)
	w := s.NewWatchStream()
	defer w.Close()
	created := s.GuardWatches(ctx, w)
	received := make(chan error, 1)
	go func() {
		err := receiveWatch(ctx, s, stream, w, created)
		if err != nil {
			cancel(err)
		}
		received <- err
	}()
	err := sendWatch(ctx, s, stream, w)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	if stream.Context().Err() != nil {
		return status.Error(codes.Canceled, "etcdserver: watch canceled")
	}
	return toStatus(err)
}

func sendWatch(ctx context.Context, s watchServer, stream grpc.ServerStream, w *watch.Stream) error {
	var parts [][]byte
	for {
		r, err := w.Next(ctx)
		if err != nil {
			return err
		}
		cluster, member, term := s.HeaderIDs()
		parts = r.Encode(parts[:0], cluster, member, term)
		// gofail: var beforeSendWatchResponse struct{}
		if err := stream.SendMsg(encoded(parts)); err != nil {
			return err
		}
	}
}

// receiveWatch carries out the client's requests. The end of its sending side
// does not end the stream.
func receiveWatch(ctx context.Context, s watchServer, stream grpc.ServerStream, w *watch.Stream, created func()) error {
	for {
		req := new(pb.WatchRequest)
		if err := stream.RecvMsg(req); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := carryOut(ctx, s, req, w); err != nil {
			return err
		}
		if req.GetCreateRequest() != nil {
			created()
		}
	}
}

func carryOut(ctx context.Context, s watchServer, req *pb.WatchRequest, w *watch.Stream) error {
	switch r := req.RequestUnion.(type) {
	case *pb.WatchRequest_CreateRequest:
		c := r.CreateRequest
		if c == nil {
			return nil
		}
		if len(c.Key) == 0 {
			c.Key = []byte{0}
		}
		// As in etcd, that a revision cannot be is found first.
		if c.StartRevision >= 0 {
			if err := s.MayWatch(ctx, c); err != nil {
				s.AuditWatch(ctx, req, toStatus(err))
				return w.Refuse(ctx, toStatus(err).Error())
			}
		}
		create := watch.CreateRequest{
			ID: c.WatchId, Key: c.Key, End: c.RangeEnd, StartRevision: c.StartRevision,
			PrevKV: c.PrevKv, ProgressNotify: c.ProgressNotify, Fragment: c.Fragment,
		}
		for _, f := range c.Filters {
			create.NoPut = create.NoPut || f == pb.WatchCreateRequest_NOPUT
			create.NoDelete = create.NoDelete || f == pb.WatchCreateRequest_NODELETE
		}
		s.AuditWatch(ctx, req, nil)
		return w.Create(ctx, create)
	case *pb.WatchRequest_CancelRequest:
		if r.CancelRequest == nil {
			return nil
		}
		s.AuditWatch(ctx, req, nil)
		return w.Cancel(ctx, r.CancelRequest.WatchId)
	case *pb.WatchRequest_ProgressRequest:
		s.AuditWatch(ctx, req, nil)
		return w.Progress(ctx)
	}
	return nil
}

// decodeWatch turns a response back into its message, for services that are built
// on watches.
func decodeWatch(r *watch.Response, h wire.Header) (*pb.WatchResponse, error) {
	var raw []byte
	for _, part := range r.Encode(nil, h.ClusterID, h.MemberID, h.RaftTerm) {
		raw = append(raw, part...)
	}
	resp := new(pb.WatchResponse)
	return resp, proto.Unmarshal(raw, resp)
}
