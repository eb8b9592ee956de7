package rpc

import (
	"bytes"
	"context"
	"errors"

	"bowline/internal/rpc/electionpb"
	"bowline/internal/watch"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc"
)

var (
	errNotElected    = errors.New("election: not leader")
	errNoneElected   = errors.New("election: no leader")
	errMissingLeader = errors.New(`"leader" field must be provided`)
)

// electionService is the Election service.
type electionService struct {
	electionpb.UnimplementedElectionServer
	queue queue
}

func (e *electionService) Campaign(ctx context.Context, r *electionpb.CampaignRequest) (*electionpb.CampaignResponse, error) {
	p, _, own, err := e.queue.enter(ctx, r.Name, r.Lease, r.Value)
	if err != nil {
		return nil, plain(err)
	}
	leader := &electionpb.LeaderKey{Name: r.Name, Key: p.key, Rev: p.created, Lease: p.lease}
	if own != nil && !bytes.Equal(own.Value, r.Value) {
		if _, err := e.proclaim(ctx, leader, r.Value); err != nil {
			e.queue.leave(context.WithoutCancel(ctx), p)
			return nil, plain(err)
		}
	}
	if _, err := e.queue.wait(ctx, r.Name, p); err != nil {
		return nil, plain(err)
	}
	// As in etcd the header is that of entering, however long the wait was.
	return &electionpb.CampaignResponse{Header: p.header, Leader: leader}, nil
}

func (e *electionService) Proclaim(ctx context.Context, r *electionpb.ProclaimRequest) (*electionpb.ProclaimResponse, error) {
	if r.Leader == nil {
		return nil, plain(errMissingLeader)
	}
	header, err := e.proclaim(ctx, r.Leader, r.Value)
	if err != nil {
		return nil, plain(err)
	}
	return &electionpb.ProclaimResponse{Header: header}, nil
}

func (e *electionService) proclaim(ctx context.Context, l *electionpb.LeaderKey, value []byte) (*pb.ResponseHeader, error) {
	resp, err := e.queue.txn(ctx, &pb.TxnRequest{
		Compare: []*pb.Compare{createdAt(l.Key, l.Rev)},
		Success: []*pb.RequestOp{opPut(&pb.PutRequest{Key: l.Key, Value: value, Lease: l.Lease})},
	})
	if err != nil {
		return nil, err
	}
	if !resp.Succeeded {
		return nil, errNotElected
	}
	return resp.Header, nil
}

func (e *electionService) Resign(ctx context.Context, r *electionpb.ResignRequest) (*electionpb.ResignResponse, error) {
	if r.Leader == nil {
		return nil, plain(errMissingLeader)
	}
	resp, err := e.queue.txn(ctx, &pb.TxnRequest{
		Compare: []*pb.Compare{createdAt(r.Leader.Key, r.Leader.Rev)},
		Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestDeleteRange{
			RequestDeleteRange: &pb.DeleteRangeRequest{Key: r.Leader.Key}}}},
	})
	if err != nil {
		return nil, plain(err)
	}
	return &electionpb.ResignResponse{Header: resp.Header}, nil
}

// head is the key at the head of an election, nil if there is none.
func (e *electionService) head(ctx context.Context, name []byte) (*pb.RangeResponse, *mvccpb.KeyValue, error) {
	prefix := append(append([]byte(nil), name...), '/')
	resp, err := e.queue.get(ctx, &pb.RangeRequest{Key: prefix, RangeEnd: prefixEnd(prefix), Limit: 1,
		SortTarget: pb.RangeRequest_CREATE, SortOrder: pb.RangeRequest_ASCEND})
	if err != nil {
		return nil, nil, err
	}
	if len(resp.Kvs) == 0 {
		return resp, nil, nil
	}
	return resp, resp.Kvs[0], nil
}

func (e *electionService) Leader(ctx context.Context, r *electionpb.LeaderRequest) (*electionpb.LeaderResponse, error) {
	resp, kv, err := e.head(ctx, r.Name)
	if err != nil {
		return nil, plain(err)
	}
	if kv == nil {
		return nil, plain(errNoneElected)
	}
	return &electionpb.LeaderResponse{Header: resp.Header, Kv: kv}, nil
}

// Observe streams the present leader, then each change and each proclamation.
func (e *electionService) Observe(r *electionpb.LeaderRequest, stream grpc.ServerStreamingServer[electionpb.LeaderResponse]) error {
	return plain(e.observe(stream.Context(), r.Name, stream.Send))
}

func (e *electionService) observe(ctx context.Context, name []byte, send func(*electionpb.LeaderResponse) error) error {
	for {
		resp, kv, err := e.head(ctx, name)
		if err != nil {
			return err
		}
		if kv == nil {
			if err := e.awaitSomebody(ctx, name, resp.Header.Revision+1); err != nil {
				return err
			}
			continue
		}
		if err := send(&electionpb.LeaderResponse{Header: resp.Header, Kv: kv}); err != nil {
			return err
		}
		if err := e.followLeader(ctx, kv, resp.Header.Revision+1, send); err != nil {
			return err
		}
	}
}

// awaitSomebody returns when a key was put under name at or after a revision.
func (e *electionService) awaitSomebody(ctx context.Context, name []byte, from int64) error {
	prefix := append(append([]byte(nil), name...), '/')
	return e.queue.awaitEvent(ctx, watch.CreateRequest{Key: prefix, End: prefixEnd(prefix), StartRevision: from, NoDelete: true})
}

// followLeader sends what the leader proclaims until its key is deleted.
func (e *electionService) followLeader(ctx context.Context, leader *mvccpb.KeyValue, from int64,
	send func(*electionpb.LeaderResponse) error) error {
	w, err := e.queue.watch(ctx, watch.CreateRequest{Key: leader.Key, StartRevision: from})
	if err != nil {
		return err
	}
	defer w.Close()
	for {
		r, err := w.Next(ctx)
		if err != nil {
			return err
		}
		if r.Canceled {
			return nil
		}
		resp, err := decodeWatch(r, e.queue.server.Header(0))
		if err != nil {
			return err
		}
		for _, ev := range resp.Events {
			if ev.Type == mvccpb.Event_DELETE {
				return nil
			}
			if err := send(&electionpb.LeaderResponse{Header: resp.Header, Kv: ev.Kv}); err != nil {
				return err
			}
		}
	}
}
