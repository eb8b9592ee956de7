package server

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"bowline/internal/wire"

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

// Publish tells the cluster this member's name and client URLs.
func (s *Server) Publish(ctx context.Context) error {
	attributes := &membershippb.Attributes{Name: s.cfg.Name, ClientUrls: s.cfg.ClientURLs}
	wire.MarkOurs(attributes)
	_, err := s.propose(ctx, message(&pb.InternalRaftRequest{ClusterMemberAttrSet: &membershippb.ClusterMemberAttrSetRequest{
		Member_ID: s.cfg.MemberID, MemberAttributes: attributes,
	}}))
	return err
}
