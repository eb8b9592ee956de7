package server

import (
	"context"
	"errors"
	"time"

	"bowline/internal/lease"
	"bowline/internal/peers"
	"bowline/internal/wire"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
)

const (
	// expiryScan is how often expired leases are looked for, and expiryBatch how
	// many are taken at a time.
	expiryScan  = 500 * time.Millisecond
	expiryBatch = 500
	// parallelRevocations bounds the revocations in flight.
	parallelRevocations = 16
	// appliedPatience is how long a lease call waits for the applied index.
	appliedPatience = time.Second
)

// LeaseGrant grants a lease, under an ID of our choice if the request has none.
func (s *Server) LeaseGrant(ctx context.Context, req *pb.LeaseGrantRequest) (*wire.Answer, error) {
	if err := s.hasSpace(ctx, leaseCost); err != nil {
		return nil, err
	}
	if err := s.Identified(ctx); err != nil {
		return nil, err
	}
	if req.ID == 0 {
		req = &pb.LeaseGrantRequest{TTL: req.TTL, ID: s.ids.nextLease()}
	}
	r, err := s.propose(ctx, message(&pb.InternalRaftRequest{LeaseGrant: req}))
	if err != nil {
		return nil, err
	}
	return s.answer(r), nil
}

// LeaseRevoke revokes a lease and deletes its keys.
func (s *Server) LeaseRevoke(ctx context.Context, req *pb.LeaseRevokeRequest) (*wire.Answer, error) {
	if err := s.Identified(ctx); err != nil {
		return nil, err
	}
	r, err := s.ask(s.urgent(ctx), req, message(&pb.InternalRaftRequest{LeaseRevoke: req}))
	if err != nil {
		return nil, err
	}
	return s.answer(r), nil
}

// waitForLeader waits for a leader up to the request timeout.
func (s *Server) waitForLeader(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout())
	defer cancel()
	for {
		changed := s.node.LeaderChanged()
		if s.node.Status().Leader != 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ErrNoLeader
		}
	}
}

// LeaseKeepAlive renews a lease. An unknown or expired lease is answered with TTL
// 0, the latter once it is revoked. Only the leader keeps the time, so another member
// asks it.
func (s *Server) LeaseKeepAlive(ctx context.Context, id int64) (*pb.LeaseKeepAliveResponse, error) {
	if err := s.mayRenew(ctx, id); err != nil {
		return nil, err
	}
	resp := &pb.LeaseKeepAliveResponse{Header: s.header(s.store.Revision()), ID: id}
	err := s.askLeader(ctx, func(ctx context.Context) (err error) {
		resp.TTL, err = s.RenewLease(ctx, id)
		return again(err)
	}, func(ctx context.Context, urls []string) (err error) {
		resp.TTL, err = s.cfg.Peers.RenewLease(ctx, urls, id)
		return err
	})
	if errors.Is(err, lease.ErrNotFound) || errors.Is(err, peers.ErrLeaseNotFound) {
		return resp, nil
	}
	return resp, err
}

// mayRenew refuses a caller who may not write all keys that are attached to a lease.
func (s *Server) mayRenew(ctx context.Context, id int64) error {
	if err := s.Identified(ctx); err != nil || !s.fsm.Rules().Enabled {
		return err
	}
	if err := s.knownSoon(ctx, id); err != nil {
		return err
	}
	return s.mayDo(ctx, &pb.LeaseKeepAliveRequest{ID: id})
}

// again marks what a member answers that leads no longer, or not yet.
func again(err error) error {
	if errors.Is(err, lease.ErrNotPrimary) {
		return errAskAgain
	}
	return err
}

// RenewLease is LeaseKeepAlive on the leader: it refuses with lease.ErrNotPrimary or
// lease.ErrNotFound, and returns the TTL in seconds.
func (s *Server) RenewLease(ctx context.Context, id int64) (ttl int64, err error) {
	if err := s.knownSoon(ctx, id); err != nil {
		return 0, err
	}
	if s.cfg.LeaseClock.Recorded(id) {
		if err := s.checkpoint(ctx, []lease.Checkpoint{{ID: id}}); err != nil {
			return 0, err
		}
		s.cfg.LeaseClock.Unrecorded(id)
	}
	for {
		ttl, gone, err := s.cfg.LeaseClock.Renew(id)
		if err != nil {
			return 0, err
		}
		if gone == nil {
			s.stats.LeasesRenewed.Add(1)
			return ttl, nil
		}
		select {
		case <-gone:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// knownSoon waits until it is certain whether there is a lease. One that is known need
// not be waited for, if that is asked for: under a backlog leases are kept alive still.
func (s *Server) knownSoon(ctx context.Context, id int64) error {
	if s.cfg.FastKeepAlive {
		if _, ok := s.fsm.Leases().Get(id); ok {
			return nil
		}
	}
	return s.appliedSoon(ctx)
}

// appliedSoon waits, not long, until what is committed now is applied here, so
// that a lease granted just before is known.
func (s *Server) appliedSoon(ctx context.Context) error {
	index := s.node.Status().Commit
	if index <= s.fsm.Applied() {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, appliedPatience, ErrTimeoutApplied)
	defer cancel()
	if err := s.applied.wait(ctx, index); err != nil {
		return context.Cause(ctx)
	}
	return nil
}

// LeaseTimeToLive tells what is left of a lease, and its keys if asked.
func (s *Server) LeaseTimeToLive(ctx context.Context, req *pb.LeaseTimeToLiveRequest) (*pb.LeaseTimeToLiveResponse, error) {
	if err := s.Identified(ctx); err != nil {
		return nil, err
	}
	if err := s.mayDo(ctx, req); err != nil {
		return nil, err
	}
	var resp *pb.LeaseTimeToLiveResponse
	err := s.askLeader(ctx, func(ctx context.Context) (err error) {
		resp, err = s.LeaseLeft(ctx, req)
		return again(err)
	}, func(ctx context.Context, urls []string) (err error) {
		resp, err = s.cfg.Peers.LeaseTimeToLive(ctx, urls, req)
		return err
	})
	if errors.Is(err, lease.ErrNotFound) || errors.Is(err, peers.ErrLeaseNotFound) {
		resp, err = &pb.LeaseTimeToLiveResponse{ID: req.ID, TTL: -1}, nil
	}
	if err != nil {
		return nil, err
	}
	// The keys are those of a moment after the rules were asked.
	if err := s.mayReadAll(ctx, resp.Keys); err != nil {
		return nil, err
	}
	resp.Header = s.header(s.store.Revision())
	return resp, nil
}

// LeaseLeft is LeaseTimeToLive on the leader, without a header: it refuses with
// lease.ErrNotPrimary or lease.ErrNotFound.
func (s *Server) LeaseLeft(ctx context.Context, req *pb.LeaseTimeToLiveRequest) (*pb.LeaseTimeToLiveResponse, error) {
	if err := s.appliedSoon(ctx); err != nil {
		return nil, err
	}
	left, err := s.cfg.LeaseClock.Remaining(req.ID)
	if err != nil {
		return nil, err
	}
	l, ok := s.fsm.Leases().Get(req.ID)
	if !ok {
		return nil, lease.ErrNotFound
	}
	resp := &pb.LeaseTimeToLiveResponse{ID: req.ID, GrantedTTL: l.TTL, TTL: int64(left / time.Second)}
	if !req.Keys {
		return resp, nil
	}
	err = s.store.AttachedKeys(req.ID, func(key []byte) error {
		resp.Keys = append(resp.Keys, append([]byte(nil), key...))
		return ctx.Err()
	})
	return resp, err
}

// LeaseLeases lists the leases, those that end soonest first, to those who may read all
// keys that are attached to any.
func (s *Server) LeaseLeases(ctx context.Context) (*pb.LeaseLeasesResponse, error) {
	if err := s.Identified(ctx); err != nil {
		return nil, err
	}
	resp := &pb.LeaseLeasesResponse{Header: s.header(s.store.Revision())}
	ids := s.cfg.LeaseClock.Soonest()
	if ids == nil {
		ids = s.fsm.Leases().IDs()
	}
	for _, id := range ids {
		if err := s.mayDo(ctx, &pb.LeaseTimeToLiveRequest{ID: id, Keys: true}); err != nil {
			return nil, err
		}
		resp.Leases = append(resp.Leases, &pb.LeaseStatus{ID: id})
	}
	return resp, nil
}

// LeaseGranted and LeaseRevoked keep the leader's clock in step with what is
// applied.
func (s *Server) LeaseGranted(id, ttl int64) { s.cfg.LeaseClock.Track(id, ttl) }

// LeaseRevoked: see LeaseGranted.
func (s *Server) LeaseRevoked(id int64) { s.cfg.LeaseClock.Forget(id) }

// EmptyEntry is told of the entry that opens a term: if it is ours, the leases'
// time is ours to keep from here on.
func (s *Server) EmptyEntry(term uint64) {
	s.leader.mu.Lock()
	defer s.leader.mu.Unlock()
	st := s.node.Status()
	if st.Leader != s.cfg.MemberID || st.Term != term {
		return
	}
	s.cfg.LeaseClock.Promote(s.cfg.ElectionTimeout, s.fsm.Leases().All())
	select {
	case s.checkVersions <- struct{}{}:
	default:
	}
}

// expireLeases revokes leases whose time is over, until ctx ends.
func (s *Server) expireLeases(ctx context.Context) {
	slots := make(chan struct{}, parallelRevocations)
	for range ticks(ctx, expiryScan) {
		for _, id := range s.cfg.LeaseClock.Expired(expiryBatch) {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			s.background.Add(1)
			go func() {
				defer s.background.Done()
				defer func() { <-slots }()
				s.expired.Add(1)
				_, err := s.askAs(s.urgent(ctx), s.asRoot, message(&pb.InternalRaftRequest{LeaseRevoke: &pb.LeaseRevokeRequest{ID: id}}))
				if err != nil && ctx.Err() == nil && !errors.Is(err, lease.ErrNotFound) {
					s.cfg.Logger.Warn("failed to revoke an expired lease; it will be tried again",
						zap.Int64("lease-id", id), zap.Error(err))
				}
			}()
		}
	}
}

// checkpointScan is how often leases are looked for whose rest is to be written down.
const checkpointScan = 10 * time.Second

// checkpointLeases writes the rest of long leases to the log from time to time, while
// this member leads, so that a new leader goes on where it stopped.
func (s *Server) checkpointLeases(ctx context.Context) {
	for range ticks(ctx, checkpointScan) {
		for {
			due := s.cfg.LeaseClock.Checkpoints(lease.CheckpointLimit)
			if len(due) == 0 {
				break
			}
			if err := s.checkpoint(ctx, due); err != nil {
				if ctx.Err() == nil {
					s.cfg.Logger.Warn("failed to write down what leases have left", zap.Int("leases", len(due)), zap.Error(err))
				}
				break
			}
		}
	}
}

// checkpoint writes down what leases have left; 0 is the whole TTL.
func (s *Server) checkpoint(ctx context.Context, leases []lease.Checkpoint) error {
	req := new(pb.LeaseCheckpointRequest)
	for _, l := range leases {
		req.Checkpoints = append(req.Checkpoints, &pb.LeaseCheckpoint{ID: l.ID, Remaining_TTL: l.Remaining})
	}
	_, err := s.propose(ctx, message(&pb.InternalRaftRequest{LeaseCheckpoint: req}))
	return err
}
