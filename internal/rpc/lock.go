package rpc

import (
	"context"
	"errors"

	"bowline/internal/rpc/lockpb"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

var errSessionExpired = errors.New("mutex: session is expired")

// lockService is the Lock service.
type lockService struct {
	lockpb.UnimplementedLockServer
	queue queue
}

func (l *lockService) Lock(ctx context.Context, r *lockpb.LockRequest) (*lockpb.LockResponse, error) {
	p, first, _, err := l.queue.enter(ctx, r.Name, r.Lease, nil)
	if err != nil {
		return nil, plain(err)
	}
	header := p.header
	if first != nil && first.CreateRevision != p.created {
		if header, err = l.queue.wait(ctx, r.Name, p); err != nil {
			return nil, plain(err)
		}
		own, err := l.queue.get(ctx, &pb.RangeRequest{Key: p.key})
		if err != nil {
			return nil, plain(err)
		}
		if len(own.Kvs) == 0 {
			return nil, plain(errSessionExpired)
		}
		header = own.Header
	}
	return &lockpb.LockResponse{Header: header, Key: p.key}, nil
}

func (l *lockService) Unlock(ctx context.Context, r *lockpb.UnlockRequest) (*lockpb.UnlockResponse, error) {
	resp, err := l.queue.delete(ctx, r.Key)
	if err != nil {
		return nil, plain(err)
	}
	return &lockpb.UnlockResponse{Header: resp.Header}, nil
}
