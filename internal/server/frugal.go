package server

import (
	"context"
	"errors"

	"bowline/internal/mvcc"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// What is cheap while memory is short: answers of so many bytes, and ranges of so many
// keys in requests that are applied, whose answers all members make.
const (
	cheapBytes = 1 << 20
	cheapKeys  = 1000
)

// view is the newest state, for ranges that are cheap if memory is short.
func (s *Server) view() mvcc.View {
	v := s.store.View()
	if s.cfg.Memory.Short() {
		return v.Bounded(cheapBytes)
	}
	return v
}

// dear is the refusal of a read that turned out to be dear.
func (s *Server) dear(err error) error {
	if errors.Is(err, mvcc.ErrBounded) {
		return s.cfg.Memory.Refuse()
	}
	return err
}

// affordable refuses a write that reads much, if memory is short. It cannot be told
// when it is applied: that is the same on all members.
func (s *Server) affordable(ctx context.Context, ops ...*pb.RequestOp) error {
	if !s.cfg.Memory.Short() {
		return nil
	}
	keys, err := s.keysRead(ctx, ops)
	if err == nil && keys > cheapKeys {
		err = s.cfg.Memory.Refuse()
	}
	return err
}

// keysRead is how many keys operations answer with, nested ones and both branches
// included.
func (s *Server) keysRead(ctx context.Context, ops []*pb.RequestOp) (int64, error) {
	var all int64
	for _, op := range ops {
		var n int64
		var err error
		switch {
		case op.GetRequestRange() != nil:
			r := op.GetRequestRange()
			if r.CountOnly {
				continue
			}
			n, err = s.store.View().Count(ctx, r.Key, r.RangeEnd)
			if byKey := r.SortOrder == pb.RangeRequest_NONE && r.SortTarget == pb.RangeRequest_KEY; byKey && r.Limit > 0 {
				n = min(n, r.Limit)
			}
		case op.GetRequestDeleteRange().GetPrevKv():
			d := op.GetRequestDeleteRange()
			n, err = s.store.View().Count(ctx, d.Key, d.RangeEnd)
		case op.GetRequestTxn() != nil:
			var then, otherwise int64
			if then, err = s.keysRead(ctx, op.GetRequestTxn().Success); err == nil {
				otherwise, err = s.keysRead(ctx, op.GetRequestTxn().Failure)
			}
			n = then + otherwise
		}
		if err != nil {
			return 0, err
		}
		if all += n; all > cheapKeys {
			return all, nil
		}
	}
	return all, nil
}

// MaySnapshot refuses a snapshot if memory is short.
func (s *Server) MaySnapshot() error {
	if s.cfg.Memory.Short() {
		return s.cfg.Memory.Refuse()
	}
	return nil
}
