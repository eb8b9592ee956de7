package server

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/raft/v3"
	"go.uber.org/zap"
)

// waitScan is how often the deadlines of waiting requests are looked at.
const waitScan = 100 * time.Millisecond

// leaderTimes remembers when the leader last changed, for the text of time-outs.
type leaderTimes struct {
	// mu guards elected, and orders promotion and demotion of the leases' clock.
	mu      sync.Mutex
	elected time.Time
	changes atomic.Int64
}

// LeaderChanges is how often this member has seen the leader change.
func (s *Server) LeaderChanges() int64 { return s.leader.changes.Load() }

// LeaderSince is when this member has last seen a leader take over.
func (s *Server) LeaderSince() time.Time {
	s.leader.mu.Lock()
	defer s.leader.mu.Unlock()
	return s.leader.elected
}

// LeasesExpired is the number of leases that were revoked because their time was
// over.
func (s *Server) LeasesExpired() int64 { return s.expired.Load() }

// Run does the server's own work until ctx ends, then refuses what still waits.
func (s *Server) Run(ctx context.Context) {
	var group sync.WaitGroup
	for _, work := range []func(context.Context){s.expireWaits, s.expireLeases, s.followLeader, s.watchSpace, s.keepVersion, s.promoteLearners,
		s.compareHashes, s.checkpointLeases, s.expireV2, s.expireTokens, s.autoCompact} {
		group.Add(1)
		go func() {
			defer group.Done()
			work(ctx)
		}()
	}
	<-ctx.Done()
	s.waiters.close()
	group.Wait()
	s.background.Wait()
}

// expireWaits ends the waits of requests whose time is over.
func (s *Server) expireWaits(ctx context.Context) {
	for now := range ticks(ctx, waitScan) {
		s.waiters.expire(now, s.timeoutError)
	}
}

// timeoutError is the error of a request that was accepted at since and not
// applied in time.
func (s *Server) timeoutError(since time.Time) error {
	s.leader.mu.Lock()
	elected := s.leader.elected
	s.leader.mu.Unlock()
	if !elected.IsZero() && since.Before(elected) && since.After(elected.Add(-2*s.cfg.ElectionTimeout)) {
		return ErrTimeoutLeader
	}
	if s.lostTouch(since) {
		return ErrTimeoutLost
	}
	return ErrTimeout
}

// lostTouch tells whether this member has not been in touch all the time since a
// moment with whom it needs: a follower with the leader, the leader with a quorum.
func (s *Server) lostTouch(since time.Time) bool {
	st := s.node.Status()
	switch st.Leader {
	case 0:
		return false
	case s.cfg.MemberID:
		in, voters := 0, 0
		for _, m := range s.fsm.Members().Members() {
			if m.IsLearner {
				continue
			}
			voters++
			if m.ID == s.cfg.MemberID || s.activeSince(m.ID, since) {
				in++
			}
		}
		return in < voters/2+1
	}
	return !s.activeSince(st.Leader, since)
}

// followLeader takes note of changes of leadership.
func (s *Server) followLeader(ctx context.Context) {
	var last uint64
	for {
		changed := s.node.LeaderChanged()
		st := s.node.Status()
		if st.Leader != 0 && st.Leader != last {
			s.leader.changes.Add(1)
			s.leader.mu.Lock()
			s.leader.elected = time.Now()
			s.leader.mu.Unlock()
			last = st.Leader
		}
		s.demote()
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

// demote stops the leases' time unless this member leads. The lock orders it with
// EmptyEntry, which looks at the same status before it promotes.
func (s *Server) demote() {
	s.leader.mu.Lock()
	defer s.leader.mu.Unlock()
	if s.node.Status().State != raft.StateLeader {
		s.cfg.LeaseClock.Demote()
	}
}

// Join publishes this member and waits for the cluster version, without which no
// client is served; it tries until it has succeeded or ctx ends.
func (s *Server) Join(ctx context.Context) error {
	for s.waitForLeader(ctx) != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.cfg.Logger.Warn("waiting for a leader")
	}
	if err := s.refuseOld(ctx); err != nil {
		return err
	}
	for {
		err := s.Publish(ctx)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.cfg.Logger.Warn("failed to publish local member to cluster through raft", zap.Error(err))
	}
	return s.awaitVersion(ctx)
}
