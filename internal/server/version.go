package server

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/membershippb"
)

// parseMinor reads "M.m" or "M.m.p", with what semantic versioning allows behind
// them. As in etcd, leading zeros are no fault.
func parseMinor(s string) (minor, error) {
	bad := fmt.Errorf("server: %q is not a version", s)
	s, _, _ = strings.Cut(s, "+")
	s, _, _ = strings.Cut(s, "-")
	parts := strings.Split(s, ".")
	if len(parts) < 2 || len(parts) > 3 {
		return minor{}, bad
	}
	var n [3]int64
	for i, p := range parts {
		v, err := strconv.ParseInt(p, 10, 64)
		if err != nil {
			return minor{}, bad
		}
		n[i] = v
	}
	return minor{Major: n[0], Minor: n[1]}, nil
}

func clusterMinor(s string) (minor, error) {
	if s == "" {
		return minor{}, ErrNoVersion
	}
	return parseMinor(s)
}

// publish tells the cluster this member's name and client URLs.
func (s *Server) publish(ctx context.Context) error {
	_, err := s.propose(ctx, message(&pb.InternalRaftRequest{ClusterMemberAttrSet: &membershippb.ClusterMemberAttrSetRequest{
		Member_ID:        s.cfg.MemberID,
		MemberAttributes: &membershippb.Attributes{Name: s.cfg.Name, ClientUrls: s.cfg.ClientURLs},
	}}))
	return err
}

// setClusterVersion raises the cluster version to this member's minor, which is
// right while it is the only member.
func (s *Server) setClusterVersion(ctx context.Context) error {
	own, err := parseMinor(Version)
	if err != nil {
		return err
	}
	want := fmt.Sprintf("%d.%d.0", own.Major, own.Minor)
	if s.fsm.ClusterVersion() == want {
		return nil
	}
	_, err = s.propose(ctx, message(&pb.InternalRaftRequest{
		ClusterVersionSet: &membershippb.ClusterVersionSetRequest{Ver: want},
	}))
	return err
}

// MemberList returns the members, after a read index if it is to be linearizable.
func (s *Server) MemberList(ctx context.Context, linearizable bool) (*pb.MemberListResponse, error) {
	if linearizable {
		if err := s.readIndex(ctx); err != nil {
			return nil, err
		}
	}
	resp := &pb.MemberListResponse{Header: s.header(0)}
	for _, m := range s.fsm.Members().Members() {
		resp.Members = append(resp.Members, &pb.Member{
			ID: m.ID, Name: m.Name, PeerURLs: m.PeerURLs, ClientURLs: m.ClientURLs, IsLearner: m.IsLearner,
		})
	}
	return resp, nil
}
