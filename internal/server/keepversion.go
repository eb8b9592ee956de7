package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
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
	lowest := s.lowestVersion(ctx)
	if lowest != nil && tooOld(*lowest) {
		return errOldMember
	}
	want := s.wantedVersion(lowest)
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
			s.cfg.Logger.Warn("failed to get version", memberField("remote-member-id", m.ID), zap.Error(err))
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

var errOldMember = errors.New("etcd up to 3.4 cannot be in one cluster with this release; upgrade it to 3.5 or later first")

// tooOld tells a version that cannot be in one cluster with this one: etcd up to 3.4 ends at the entries by which
// members publish themselves and the cluster version since.
func tooOld(v minor) bool { return v.Major < 3 || v.Major == 3 && v.Minor < 5 }

// refuseOld fails if a member, which is not known to be one of ours, is too old: what this one is about to write would
// end it. Those that do not answer are passed over.
func (s *Server) refuseOld(ctx context.Context) error {
	var asked sync.WaitGroup
	all := s.fsm.Members().Members()
	refusals := make([]error, len(all))
	for i := range all {
		m := &all[i]
		if m.Ours || m.ID == s.cfg.MemberID {
			continue
		}
		asked.Go(func() {
			if v, err := s.versionOf(ctx, m); err == nil && tooOld(v) {
				refusals[i] = fmt.Errorf("%w: member %x at %s runs %d.%d", errOldMember, m.ID, strings.Join(m.PeerURLs, ","), v.Major, v.Minor)
			}
		})
	}
	asked.Wait()
	return errors.Join(refusals...)
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
