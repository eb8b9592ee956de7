package rpc

import (
	"context"

	"bowline/internal/wire"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// kvServer is what the KV service asks of the server.
type kvServer interface {
	Range(context.Context, *pb.RangeRequest) (*wire.Answer, error)
	RangeStream(context.Context, *pb.RangeRequest, func(*wire.Answer) error) error
	Put(ctx context.Context, req *pb.PutRequest, raw []byte) (*wire.Answer, error)
	DeleteRange(ctx context.Context, req *pb.DeleteRangeRequest, raw []byte) (*wire.Answer, error)
	Txn(ctx context.Context, req *pb.TxnRequest, raw []byte) (*wire.Answer, error)
	Compact(context.Context, *pb.CompactionRequest) (*wire.Answer, error)
}

// unary makes the handler of a method whose request is wanted decoded and raw,
// and whose answer is encoded already.
func unary[M any, P interface {
	*M
	proto.Message
}](service, method string, call func(ctx context.Context, kv kvServer, m P, raw []byte) (*wire.Answer, error)) grpc.MethodDesc {
	full := "/" + service + "/" + method
	return grpc.MethodDesc{
		MethodName: method,
		Handler: func(srv any, ctx context.Context, dec func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
			m := P(new(M))
			req := &request{msg: m}
			if err := dec(req); err != nil {
				return nil, err
			}
			handle := func(ctx context.Context, _ any) (any, error) {
				a, err := call(ctx, srv.(kvServer), m, req.raw)
				if err != nil {
					return nil, toStatus(err)
				}
				return a, nil
			}
			if intercept == nil {
				return handle(ctx, m)
			}
			return intercept(ctx, m, &grpc.UnaryServerInfo{Server: srv, FullMethod: full}, handle)
		},
	}
}

// kvDesc describes the KV service with handlers that pass encoded answers; the
// generated ones would decode and encode them again.
func kvDesc() *grpc.ServiceDesc {
	name := pb.KV_ServiceDesc.ServiceName
	return &grpc.ServiceDesc{
		ServiceName: name,
		HandlerType: (*kvServer)(nil),
		Methods: []grpc.MethodDesc{
			unary(name, "Range", func(ctx context.Context, kv kvServer, m *pb.RangeRequest, _ []byte) (*wire.Answer, error) {
				return kv.Range(ctx, m)
			}),
			unary(name, "Put", func(ctx context.Context, kv kvServer, m *pb.PutRequest, raw []byte) (*wire.Answer, error) {
				return kv.Put(ctx, m, raw)
			}),
			unary(name, "DeleteRange", func(ctx context.Context, kv kvServer, m *pb.DeleteRangeRequest, raw []byte) (*wire.Answer, error) {
				return kv.DeleteRange(ctx, m, raw)
			}),
			unary(name, "Txn", func(ctx context.Context, kv kvServer, m *pb.TxnRequest, raw []byte) (*wire.Answer, error) {
				return kv.Txn(ctx, m, raw)
			}),
			unary(name, "Compact", func(ctx context.Context, kv kvServer, m *pb.CompactionRequest, _ []byte) (*wire.Answer, error) {
				return kv.Compact(ctx, m)
			}),
		},
		Streams:  []grpc.StreamDesc{{StreamName: "RangeStream", Handler: rangeStream, ServerStreams: true}},
		Metadata: pb.KV_ServiceDesc.Metadata,
	}
}

func rangeStream(srv any, stream grpc.ServerStream) error {
	m := new(pb.RangeRequest)
	if err := stream.RecvMsg(m); err != nil {
		return err
	}
	return toStatus(srv.(kvServer).RangeStream(stream.Context(), m, func(a *wire.Answer) error {
		return stream.SendMsg(a)
	}))
}
