package server

import (
	"context"
	"time"

	"bowline/internal/cluster"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/membershippb"
	"go.etcd.io/raft/v3"
	"go.uber.org/zap"
)

const (
	// versionInterval is how often the leader compares the members' versions.
	versionInterval = 4 * time.Second
	// leastVersion is what a cluster begins with when not all members answer.
	leastVersion = "3.0.0"
)

// keepVersion has the leader decide the cluster version, at the beginning of its
// term and then from time to time, until ctx ends.
func (s *Server) keepVersion(ctx context.Context) {
	t := time.NewTicker(versionInterval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.checkVersions:
		case <-t.C:
		}
		if s.node.Status().State != raft.StateLeader {
			continue
		}
		if err := s.decideVersion(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Logger.Warn("failed to set the cluster version", zap.Error(err))
		}
	}
}

func (s *Server) decideVersion(ctx context.Context) error {
	want := s.wantedVersion(s.lowestVersion(ctx))
	if want == "" || want == s.fsm.ClusterVersion() {
		return nil
	}
	_, err := s.propose(ctx, message(&pb.InternalRaftRequest{
		ClusterVersionSet: &membershippb.ClusterVersionSetRequest{Ver: want},
	}))
	return err
}

// wantedVersion is what the cluster version should be when the members run at least
// lowest, nil if some did not answer; "" if it should stay.
func (s *Server) wantedVersion(lowest *minor) string {
	current := s.fsm.ClusterVersion()
	if lowest == nil {
		if current == "" {
			return leastVersion
		}
		return ""
	}
	now, err := parseMinor(current)
	if down := s.fsm.Downgrade(); down.Enabled && err == nil {
		target, err := parseMinor(down.Target)
		if err == nil && target != now && target == (minor{now.Major, now.Minor - 1}) && target == (minor{lowest.Major, lowest.Minor - 1}) {
			return target.full()
		}
		return "" // lowered already, or to be taken back by whoever wants it
	}
	if current != "" && (err != nil || now.Major != lowest.Major || now.Minor >= lowest.Minor) {
		return ""
	}
	return lowest.full()
}

// lowestVersion asks all members which version they run. It returns nil if one of
// them does not say.
func (s *Server) lowestVersion(ctx context.Context) *minor {
	own, err := parseMinor(Version)
	if err != nil {
		return nil
	}
	lowest, complete := own, true
	for _, m := range s.fsm.Members().Members() {
		if m.ID == s.cfg.MemberID {
			continue
		}
		v, err := s.versionOf(ctx, &m)
		if err != nil {
			s.cfg.Logger.Warn("failed to get version of remote peer", memberField("remote-peer-id", m.ID), zap.Error(err))
			complete = false
			continue
		}
		if v.Major < lowest.Major || v.Major == lowest.Major && v.Minor < lowest.Minor {
			lowest = v
		}
	}
	if !complete {
		return nil
	}
	return &lowest
}

func (s *Server) versionOf(ctx context.Context, m *cluster.Member) (minor, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ElectionTimeout)
	defer cancel()
	v, err := s.cfg.Peers.Version(ctx, m.PeerURLs)
	if err != nil {
		return minor{}, err
	}
	return parseMinor(v.Server)
}

// awaitVersion waits until the cluster version is decided here.
func (s *Server) awaitVersion(ctx context.Context) error {
	const interval = 20 * time.Millisecond
	t := time.NewTicker(interval)
	defer t.Stop()
	for s.fsm.ClusterVersion() == "" {
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
