package proxy

import (
	"context"
	"errors"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// wrapped is a store out of a client's KV: namespaces, orderings and leasings come as such.
type wrapped struct{ kv clientv3.KV }

func (w wrapped) do(ctx context.Context, op clientv3.Op, err error) (clientv3.OpResponse, error) {
	if err != nil {
		return clientv3.OpResponse{}, err
	}
	resp, err := w.kv.Do(ctx, op)
	return resp, toStatus(err)
}

// toStatus gives an error of the client back the code that it came with.
func toStatus(err error) error {
	var known rpctypes.EtcdError
	if errors.As(err, &known) {
		return status.Error(known.Code(), known.Error())
	}
	return err
}

func (w wrapped) Range(ctx context.Context, r *pb.RangeRequest, _ ...grpc.CallOption) (*pb.RangeResponse, error) {
	resp, err := w.do(ctx, rangeOp(r), nil)
	return (*pb.RangeResponse)(resp.Get()), err
}

func (w wrapped) Put(ctx context.Context, r *pb.PutRequest, _ ...grpc.CallOption) (*pb.PutResponse, error) {
	resp, err := w.do(ctx, putOp(r), nil)
	return (*pb.PutResponse)(resp.Put()), err
}

func (w wrapped) DeleteRange(ctx context.Context, r *pb.DeleteRangeRequest, _ ...grpc.CallOption) (*pb.DeleteRangeResponse, error) {
	resp, err := w.do(ctx, deleteOp(r), nil)
	return (*pb.DeleteRangeResponse)(resp.Del()), err
}

func (w wrapped) Txn(ctx context.Context, r *pb.TxnRequest, _ ...grpc.CallOption) (*pb.TxnResponse, error) {
	op, err := txnOp(r)
	resp, err := w.do(ctx, op, err)
	return (*pb.TxnResponse)(resp.Txn()), err
}

func (w wrapped) Compact(ctx context.Context, r *pb.CompactionRequest, _ ...grpc.CallOption) (*pb.CompactionResponse, error) {
	var opts []clientv3.CompactOption
	if r.Physical {
		opts = append(opts, clientv3.WithCompactPhysical())
	}
	resp, err := w.kv.Compact(ctx, r.Revision, opts...)
	return (*pb.CompactionResponse)(resp), toStatus(err)
}

func rangeOp(r *pb.RangeRequest) clientv3.Op {
	opts := []clientv3.OpOption{
		clientv3.WithRev(r.Revision), clientv3.WithLimit(r.Limit),
		clientv3.WithSort(clientv3.SortTarget(r.SortTarget), clientv3.SortOrder(r.SortOrder)),
		clientv3.WithMinModRev(r.MinModRevision), clientv3.WithMaxModRev(r.MaxModRevision),
		clientv3.WithMinCreateRev(r.MinCreateRevision), clientv3.WithMaxCreateRev(r.MaxCreateRevision),
	}
	for _, o := range []struct {
		wanted bool
		opt    func() clientv3.OpOption
	}{{r.CountOnly, clientv3.WithCountOnly}, {r.KeysOnly, clientv3.WithKeysOnly}, {r.Serializable, clientv3.WithSerializable}} {
		if o.wanted {
			opts = append(opts, o.opt())
		}
	}
	if len(r.RangeEnd) > 0 {
		opts = append(opts, clientv3.WithRange(string(r.RangeEnd)))
	}
	return clientv3.OpGet(string(r.Key), opts...)
}

func putOp(r *pb.PutRequest) clientv3.Op {
	opts := []clientv3.OpOption{clientv3.WithLease(clientv3.LeaseID(r.Lease))}
	for _, o := range []struct {
		wanted bool
		opt    func() clientv3.OpOption
	}{{r.PrevKv, clientv3.WithPrevKV}, {r.IgnoreValue, clientv3.WithIgnoreValue}, {r.IgnoreLease, clientv3.WithIgnoreLease}} {
		if o.wanted {
			opts = append(opts, o.opt())
		}
	}
	return clientv3.OpPut(string(r.Key), string(r.Value), opts...)
}

func deleteOp(r *pb.DeleteRangeRequest) clientv3.Op {
	var opts []clientv3.OpOption
	if r.PrevKv {
		opts = append(opts, clientv3.WithPrevKV())
	}
	if len(r.RangeEnd) > 0 {
		opts = append(opts, clientv3.WithRange(string(r.RangeEnd)))
	}
	return clientv3.OpDelete(string(r.Key), opts...)
}

func txnOp(r *pb.TxnRequest) (clientv3.Op, error) {
	compares := make([]clientv3.Cmp, len(r.Compare))
	for i, c := range r.Compare {
		compares[i] = clientv3.FromCompare(c)
	}
	then, err := branchOps(r.Success)
	if err != nil {
		return clientv3.Op{}, err
	}
	otherwise, err := branchOps(r.Failure)
	return clientv3.OpTxn(compares, then, otherwise), err
}

func branchOps(branch []*pb.RequestOp) ([]clientv3.Op, error) {
	var ops []clientv3.Op
	for _, r := range branch {
		var op clientv3.Op
		var err error
		switch {
		case r.GetRequestRange() != nil:
			op = rangeOp(r.GetRequestRange())
		case r.GetRequestPut() != nil:
			op = putOp(r.GetRequestPut())
		case r.GetRequestDeleteRange() != nil:
			op = deleteOp(r.GetRequestDeleteRange())
		case r.GetRequestTxn() != nil:
			op, err = txnOp(r.GetRequestTxn())
		default:
			err = rpctypes.ErrGRPCKeyNotFound // what a member says of an operation that is none
		}
		if err != nil {
			return nil, err
		}
		ops = append(ops, op)
	}
	return ops, nil
}
