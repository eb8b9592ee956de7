package server

import (
	"context"
	"errors"

	"bowline/internal/cluster"
	"bowline/internal/lease"
	"bowline/internal/mvcc"
	"bowline/internal/peers"
	"bowline/internal/v2"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// PeerAPI is what this member answers the others.
func (s *Server) PeerAPI() peers.API { return peerAPI{s} }

type peerAPI struct{ s *Server }

func (p peerAPI) Members() []cluster.Member { return p.s.fsm.Members().Members() }

func (p peerAPI) Promote(ctx context.Context, id uint64) ([]cluster.Member, error) {
	_, err := p.s.MemberPromote(ctx, id)
	switch {
	case errors.Is(err, ErrMemberNotFound):
		err = peers.ErrMemberNotFound
	case errors.Is(err, ErrNotLearner):
		err = peers.ErrNotLearner
	case errors.Is(err, ErrLearnerNotReady):
		err = peers.ErrNotReady
	}
	return p.Members(), err
}

func (p peerAPI) HashKV(ctx context.Context, revision int64) (h peers.HashKV, err error) {
	sum, current, err := p.s.store.HashKV(ctx, revision)
	if errors.Is(err, mvcc.ErrCompacted) || errors.Is(err, mvcc.ErrFutureRevision) {
		err = &peers.HashRefusal{Text: err.Error()}
	}
	h.Header.Revision = current
	h.Hash, h.CompactRevision, h.HashRevision = sum.Sum, sum.Compacted, sum.Revision
	return h, err
}

func (p peerAPI) TreeHash(ctx context.Context, index uint64) (v2.Hash, error) {
	return p.s.TreeHash(ctx, index)
}

func (p peerAPI) RenewLease(ctx context.Context, id int64) (int64, error) {
	ttl, err := p.s.RenewLease(ctx, id)
	return ttl, leaseRefusal(err)
}

func (p peerAPI) LeaseTimeToLive(ctx context.Context, req *pb.LeaseTimeToLiveRequest) (*pb.LeaseTimeToLiveResponse, error) {
	resp, err := p.s.LeaseLeft(ctx, req)
	return resp, leaseRefusal(err)
}

func leaseRefusal(err error) error {
	switch {
	case errors.Is(err, lease.ErrNotFound):
		return peers.ErrLeaseNotFound
	case errors.Is(err, lease.ErrNotPrimary):
		return peers.ErrNotPrimary
	case errors.Is(err, ErrTimeoutApplied):
		return peers.ErrBehind
	}
	return err
}

func (p peerAPI) DowngradeEnabled(ctx context.Context) (bool, error) {
	err := p.s.readIndex(ctx)
	return p.s.fsm.Downgrade().Enabled, err
}
