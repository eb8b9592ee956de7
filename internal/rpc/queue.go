package rpc

import (
	"context"
	"fmt"

	"bowline/internal/server"
	"bowline/internal/watch"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// queue is what locks and elections are made of: those who want something put a
// key of their own, bound to their lease, under its name, and the one whose key
// was created first has it. Clients rely on the keys' names and on this order.
type queue struct {
	server *server.Server
	hub    *watch.Hub
}

// place is somebody's place in a queue.
type place struct {
	key   []byte
	lease int64
	// created is the key's create revision, and header that of the answer that
	// says so.
	created int64
	header  *pb.ResponseHeader
}

// leaseOfQueue is the TTL, in seconds, of a lease that we grant for a caller who
// has none. Nobody keeps it alive but the caller.
const leaseOfQueue = 60

func (q queue) leaseFor(ctx context.Context, id int64) (int64, error) {
	if id != 0 {
		return id, nil
	}
	a, err := q.server.LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: leaseOfQueue})
	resp, err := into(new(pb.LeaseGrantResponse), a, err)
	if err != nil {
		return 0, err
	}
	return resp.ID, nil
}

// enter takes a place, or finds the one that this lease has already. first is the
// key at the head of the queue, and own the caller's own if it was there before.
func (q queue) enter(ctx context.Context, name []byte, lease int64, value []byte) (p place, first, own *mvccpb.KeyValue, err error) {
	if p.lease, err = q.leaseFor(ctx, lease); err != nil {
		return p, nil, nil, err
	}
	prefix := append(append([]byte(nil), name...), '/')
	p.key = fmt.Appendf(append([]byte(nil), prefix...), "%x", p.lease)
	head := opRange(&pb.RangeRequest{Key: prefix, RangeEnd: prefixEnd(prefix), Limit: 1,
		SortTarget: pb.RangeRequest_CREATE, SortOrder: pb.RangeRequest_ASCEND})
	resp, err := q.txn(ctx, &pb.TxnRequest{
		Compare: []*pb.Compare{createdAt(p.key, 0)},
		Success: []*pb.RequestOp{opPut(&pb.PutRequest{Key: p.key, Value: value, Lease: p.lease}), head},
		Failure: []*pb.RequestOp{opRange(&pb.RangeRequest{Key: p.key}), head},
	})
	if err != nil {
		return p, nil, nil, err
	}
	p.header, p.created = resp.Header, resp.Header.Revision
	if !resp.Succeeded {
		own = resp.Responses[0].GetResponseRange().Kvs[0]
		p.created = own.CreateRevision
	}
	if kvs := resp.Responses[1].GetResponseRange().GetKvs(); len(kvs) > 0 {
		first = kvs[0]
	}
	return p, first, own, nil
}

// wait returns when every key under name that was created before p is gone. If
// the caller gives up, its place is given up too.
func (q queue) wait(ctx context.Context, name []byte, p place) (*pb.ResponseHeader, error) {
	prefix := append(append([]byte(nil), name...), '/')
	for {
		resp, err := q.get(ctx, &pb.RangeRequest{Key: prefix, RangeEnd: prefixEnd(prefix), Limit: 1,
			MaxCreateRevision: p.created - 1, SortTarget: pb.RangeRequest_CREATE, SortOrder: pb.RangeRequest_DESCEND})
		if err == nil && len(resp.Kvs) == 0 {
			return resp.Header, nil
		}
		if err == nil {
			err = q.awaitDeletion(ctx, resp.Kvs[0].Key, resp.Header.Revision+1)
		}
		if err != nil {
			q.leave(context.WithoutCancel(ctx), p)
			return nil, err
		}
	}
}

// leave gives up a place, if it is still there.
func (q queue) leave(ctx context.Context, p place) {
	ctx, cancel := context.WithTimeout(ctx, q.server.RequestTimeout())
	defer cancel()
	// Best effort: the lease ends it if this does not.
	_, _ = q.delete(ctx, p.key)
}

// awaitDeletion returns when key is deleted at or after a revision, or when
// that can no longer be told and the caller should look again.
func (q queue) awaitDeletion(ctx context.Context, key []byte, from int64) error {
	return q.awaitEvent(ctx, watch.CreateRequest{Key: key, StartRevision: from, NoPut: true})
}

// awaitEvent returns at the first event of a watch, or when it is canceled.
func (q queue) awaitEvent(ctx context.Context, r watch.CreateRequest) error {
	w, err := q.watch(ctx, r)
	if err != nil {
		return err
	}
	defer w.Close()
	for {
		r, err := w.Next(ctx)
		if err != nil {
			return err
		}
		if r.Events() > 0 || r.Canceled {
			return nil
		}
	}
}

// watch returns a stream with one watch, if the caller may have it. Close it.
func (q queue) watch(ctx context.Context, req watch.CreateRequest) (*watch.Stream, error) {
	if err := q.server.MayWatch(ctx, &pb.WatchCreateRequest{Key: req.Key, RangeEnd: req.End}); err != nil {
		return nil, err
	}
	w := q.hub.NewStream()
	if err := w.Create(ctx, req); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

func (q queue) txn(ctx context.Context, req *pb.TxnRequest) (*pb.TxnResponse, error) {
	raw, err := proto.Marshal(req)
	if err != nil {
		return nil, err
	}
	a, err := q.server.Txn(ctx, req, raw)
	return into(new(pb.TxnResponse), a, err)
}

func (q queue) get(ctx context.Context, req *pb.RangeRequest) (*pb.RangeResponse, error) {
	a, err := q.server.Range(ctx, req)
	return into(new(pb.RangeResponse), a, err)
}

func (q queue) delete(ctx context.Context, key []byte) (*pb.DeleteRangeResponse, error) {
	req := &pb.DeleteRangeRequest{Key: key}
	raw, err := proto.Marshal(req)
	if err != nil {
		return nil, err
	}
	a, err := q.server.DeleteRange(ctx, req, raw)
	return into(new(pb.DeleteRangeResponse), a, err)
}

func opPut(r *pb.PutRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: r}}
}

func opRange(r *pb.RangeRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: r}}
}

func createdAt(key []byte, rev int64) *pb.Compare {
	return &pb.Compare{Key: key, Target: pb.Compare_CREATE, Result: pb.Compare_EQUAL,
		TargetUnion: &pb.Compare_CreateRevision{CreateRevision: rev}}
}

// prefixEnd is the range end that makes a range of everything with a prefix that
// ends in a slash.
func prefixEnd(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	end[len(end)-1]++
	return end
}

// plain gives an error the code that everything from these two services has.
func plain(err error) error {
	if err == nil {
		return nil
	}
	return status.Error(codes.Unknown, status.Convert(toStatus(err)).Message())
}
