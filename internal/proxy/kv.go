package proxy

import (
	"context"
	"errors"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// store is what answers reads and writes: the cluster itself, or wrappers of a client of it.
type store interface {
	Range(context.Context, *pb.RangeRequest, ...grpc.CallOption) (*pb.RangeResponse, error)
	Put(context.Context, *pb.PutRequest, ...grpc.CallOption) (*pb.PutResponse, error)
	DeleteRange(context.Context, *pb.DeleteRangeRequest, ...grpc.CallOption) (*pb.DeleteRangeResponse, error)
	Txn(context.Context, *pb.TxnRequest, ...grpc.CallOption) (*pb.TxnResponse, error)
	Compact(context.Context, *pb.CompactionRequest, ...grpc.CallOption) (*pb.CompactionResponse, error)
}

// kv is the KV service.
type kv struct {
	pb.UnsafeKVServer
	store store
	cache *cache
}

func (k *kv) Range(ctx context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	// What was read for one caller is not for another, who may not be allowed to read it.
	shared := callerOf(ctx).nobody()
	if r.Serializable && shared {
		answer, err := k.cache.get(r)
		if !errors.Is(err, errNotCached) {
			return answer, err
		}
	}
	answer, err := k.store.Range(onBehalf(ctx), r)
	if err == nil && shared {
		k.cache.add(r, answer)
	}
	return answer, err
}

// RangeStream is passed on, except where the cluster's keys are not those of the clients.
func (k *kv) RangeStream(_ *pb.RangeRequest, _ grpc.ServerStreamingServer[pb.RangeStreamResponse]) error {
	return status.Error(codes.Unimplemented, "RangeStream is not supported by the gRPC proxy")
}

func (k *kv) Put(ctx context.Context, r *pb.PutRequest) (*pb.PutResponse, error) {
	what := keyRange{string(r.Key), ""}
	k.cache.forget(what, 0)
	answer, err := k.store.Put(onBehalf(ctx), r)
	k.cache.forget(what, answer.GetHeader().GetRevision())
	return answer, err
}

func (k *kv) DeleteRange(ctx context.Context, r *pb.DeleteRangeRequest) (*pb.DeleteRangeResponse, error) {
	what := keyRange{string(r.Key), string(r.RangeEnd)}
	k.cache.forget(what, 0)
	answer, err := k.store.DeleteRange(onBehalf(ctx), r)
	k.cache.forget(what, answer.GetHeader().GetRevision())
	return answer, err
}

func (k *kv) Txn(ctx context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	k.forgetAll(r, 0)
	answer, err := k.store.Txn(onBehalf(ctx), r)
	k.forgetAll(r, answer.GetHeader().GetRevision())
	return answer, err
}

// forgetAll forgets what a transaction may write. Who compares has reason to doubt what it has read, so that is
// forgotten too.
func (k *kv) forgetAll(r *pb.TxnRequest, revision int64) {
	for _, c := range r.Compare {
		k.cache.forget(keyRange{string(c.Key), string(c.RangeEnd)}, 0)
	}
	for _, branch := range [][]*pb.RequestOp{r.Success, r.Failure} {
		for _, op := range branch {
			switch o := op.GetRequest().(type) {
			case *pb.RequestOp_RequestPut:
				k.cache.forget(keyRange{string(o.RequestPut.GetKey()), ""}, revision)
			case *pb.RequestOp_RequestDeleteRange:
				k.cache.forget(keyRange{string(o.RequestDeleteRange.GetKey()), string(o.RequestDeleteRange.GetRangeEnd())}, revision)
			case *pb.RequestOp_RequestTxn:
				if o.RequestTxn != nil {
					k.forgetAll(o.RequestTxn, revision)
				}
			}
		}
	}
}

func (k *kv) Compact(ctx context.Context, r *pb.CompactionRequest) (*pb.CompactionResponse, error) {
	answer, err := k.store.Compact(onBehalf(ctx), r)
	if err == nil {
		k.cache.compact(r.Revision)
	}
	return answer, err
}
