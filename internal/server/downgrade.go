package server

import (
	"context"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/membershippb"
)

// Downgrade validates, begins or cancels the lowering of the cluster version. It is
// complete when all members run the lower version; a leader of that version, which
// this program never is, takes note of that.
func (s *Server) Downgrade(ctx context.Context, req *pb.DowngradeRequest) (*pb.DowngradeResponse, error) {
	resp := &pb.DowngradeResponse{Header: s.header(s.store.Revision())}
	switch req.Action {
	case pb.DowngradeRequest_VALIDATE:
		current, _, err := s.checkDowngrade(ctx, req.Version)
		if err != nil {
			return nil, err
		}
		resp.Version = current.String()
		return resp, nil
	case pb.DowngradeRequest_CANCEL:
		return s.setDowngrade(ctx, &membershippb.DowngradeInfoSetRequest{})
	case pb.DowngradeRequest_ENABLE:
		_, target, err := s.checkDowngrade(ctx, req.Version)
		if err != nil {
			return nil, err
		}
		return s.setDowngrade(ctx, &membershippb.DowngradeInfoSetRequest{Enabled: true, Ver: target.full()})
	default:
		return nil, ErrUnknownMethod
	}
}

// setDowngrade proposes that a downgrade begins, or ends unless there is none.
func (s *Server) setDowngrade(ctx context.Context, set *membershippb.DowngradeInfoSetRequest) (*pb.DowngradeResponse, error) {
	if err := s.readIndex(ctx); err != nil {
		return nil, err
	}
	current, err := clusterMinor(s.fsm.ClusterVersion())
	if err != nil {
		return nil, err
	}
	if set.Enabled || s.fsm.Downgrade().Enabled {
		if _, err := s.propose(ctx, message(&pb.InternalRaftRequest{DowngradeInfoSet: set})); err != nil {
			return nil, err
		}
	}
	return &pb.DowngradeResponse{Header: s.header(s.store.Revision()), Version: current.String()}, nil
}

// checkDowngrade checks the target of a downgrade. It returns the cluster version, too.
func (s *Server) checkDowngrade(ctx context.Context, version string) (current, target minor, err error) {
	if err := s.readIndex(ctx); err != nil {
		return current, target, err
	}
	if target, err = parseMinor(version); err != nil {
		return current, target, ErrBadVersion
	}
	if current, err = clusterMinor(s.fsm.ClusterVersion()); err != nil {
		return current, target, err
	}
	// The leader lowers the version some time after the downgrade has begun: until it has,
	// other targets are judged first, as in etcd, and the one that was given never is wrong.
	d := s.fsm.Downgrade()
	switch again := d.Enabled && d.Target == target.full(); {
	case !again && (target.Major != current.Major || target.Minor != current.Minor-1):
		return current, target, ErrInvalidTarget
	case d.Enabled:
		return current, target, ErrDowngraded
	}
	return current, target, nil
}

// minor is a version without its patch.
type minor struct{ Major, Minor int64 }

func (m minor) String() string { return fmt.Sprintf("%d.%d", m.Major, m.Minor) }

// full is the version as the cluster keeps it.
func (m minor) full() string { return m.String() + ".0" }
