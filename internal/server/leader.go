package server

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"bowline/internal/node"
	"bowline/internal/peers"

	"go.etcd.io/raft/v3"
	"go.uber.org/zap"
)

// leaderRetry is the pause before the leader is asked again.
const leaderRetry = 50 * time.Millisecond

// errAskAgain marks an error after which the leader may be asked again: it has
// changed, or could not be reached.
var errAskAgain = errors.New("server: the leader has changed")

// askLeader has the leader do something: here, if this member leads, or through one
// of the leader's peer URLs. It tries again, for no longer than a request may take,
// while there is no leader or the one asked no longer is or cannot be reached; an
// answer ends it, also one that refuses.
func (s *Server) askLeader(ctx context.Context, here func(context.Context) error, there func(ctx context.Context, urls []string) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.cfg.RequestTimeout(), ErrTimeout)
	defer cancel()
	for {
		err := s.askLeaderOnce(ctx, here, there)
		if !errors.Is(err, errAskAgain) {
			return err
		}
		t := time.NewTimer(leaderRetry)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return context.Cause(ctx)
		}
	}
}

func (s *Server) askLeaderOnce(ctx context.Context, here func(context.Context) error, there func(ctx context.Context, urls []string) error) error {
	if err := s.waitForLeader(ctx); err != nil {
		return err
	}
	id := s.node.Status().Leader
	if id == s.cfg.MemberID {
		return here(ctx)
	}
	m := s.fsm.Members().Member(id)
	if m == nil || s.cfg.Peers == nil {
		return errAskAgain
	}
	err := there(ctx, m.PeerURLs)
	if err == nil || refusedByPeer(err) {
		return err
	}
	s.cfg.Logger.Debug("the leader could not be asked", zap.Uint64("leader", id), zap.Error(err))
	return errAskAgain
}

// refusedByPeer tells an answer of the leader from a failure to ask it.
func refusedByPeer(err error) bool {
	return slices.ContainsFunc([]error{
		peers.ErrLeaseNotFound, peers.ErrMemberNotFound, peers.ErrNotLearner, peers.ErrNotReady,
	}, func(refusal error) bool { return errors.Is(err, refusal) })
}

func memberField(name string, id uint64) zap.Field {
	return zap.String(name, strconv.FormatUint(id, 16))
}

// MoveLeader hands leadership to another voter and waits until it leads.
func (s *Server) MoveLeader(ctx context.Context, target uint64) error {
	if s.node.Status().Leader != s.cfg.MemberID {
		return ErrNotLeader
	}
	m := s.fsm.Members().Member(target)
	if m == nil || m.IsLearner {
		return ErrBadTransferee
	}
	if target == s.cfg.MemberID {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout())
	defer cancel()
	s.cfg.Logger.Info("leadership transfer starting", memberField("local-member-id", s.cfg.MemberID),
		memberField("current-leader-member-id", s.cfg.MemberID), memberField("transferee-member-id", target))
	began := time.Now()
	s.node.TransferLeader(target)
	for {
		changed := s.node.LeaderChanged()
		if s.node.Status().Leader == target {
			s.cfg.Logger.Info("leadership transfer finished", memberField("local-member-id", s.cfg.MemberID),
				memberField("old-leader-member-id", s.cfg.MemberID), memberField("new-leader-member-id", target),
				zap.Duration("took", time.Since(began)))
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ErrTimeoutTransfer
		}
	}
}

// HandOver gives leadership to the member that has been in touch longest, so that a
// planned stop costs the cluster no election. It does nothing on other members.
func (s *Server) HandOver(ctx context.Context) error {
	st := s.node.Status()
	who := []zap.Field{memberField("local-member-id", s.cfg.MemberID), memberField("current-leader-member-id", st.Leader)}
	if st.State != raft.StateLeader {
		s.cfg.Logger.Info("skipped leadership transfer; local server is not leader", who...)
		return nil
	}
	if len(s.fsm.Members().ConfState().GetVoters()) == 1 {
		s.cfg.Logger.Info("skipped leadership transfer for single voting member cluster", who...)
		return nil
	}
	var best uint64
	var since time.Time
	for _, p := range st.Peers {
		if p.Learner || !p.RecentActive || s.cfg.ActiveSince == nil {
			continue
		}
		if t := s.cfg.ActiveSince(p.ID); !t.IsZero() && (best == 0 || t.Before(since)) {
			best, since = p.ID, t
		}
	}
	if best == 0 {
		return nil
	}
	return s.MoveLeader(ctx, best)
}

// promoteLearners makes voters of the learners that asked for it and have caught
// up, while this member leads, until ctx ends.
func (s *Server) promoteLearners(ctx context.Context) {
	const interval = time.Second
	for range ticks(ctx, interval) {
		for _, m := range s.fsm.Members().Members() {
			if !m.IsLearner || !m.AutoPromote || !m.Started() || !s.caughtUp(m.ID) {
				continue
			}
			_, err := s.promote(ctx, m.ID)
			if err != nil {
				s.cfg.Logger.Warn("a learner that has caught up could not be promoted; it will be tried again",
					memberField("learner-member-id", m.ID), zap.Error(err))
				continue
			}
			s.cfg.Logger.Info("promoted a learner that has caught up", memberField("learner-member-id", m.ID))
		}
	}
}

// caughtUpEntries is how far behind a learner may be to be promoted unasked.
const caughtUpEntries = 1000

// caughtUp tells that the leader, which this member must be, has heard lately from a
// learner that lacks next to nothing.
func (s *Server) caughtUp(id uint64) bool {
	st := s.node.Status()
	return slices.ContainsFunc(st.Peers, func(p node.PeerProgress) bool {
		return p.ID == id && p.RecentActive && p.Match+caughtUpEntries >= st.Commit && s.inSync(id)
	})
}
