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

// parseMinor reads "M.m" or "M.m.p", the latter with what semantic versioning allows
// behind it. As in etcd, leading zeros are no fault.
func parseMinor(s string) (minor, error) {
	bad := fmt.Errorf("server: %q is not a version", s)
	number, build, _ := strings.Cut(s, "+")
	number, release, _ := strings.Cut(number, "-")
	parts := strings.Split(number, ".")
	if len(parts) < 2 || len(parts) > 3 || len(parts) == 2 && number != s || !identifies(build) || !identifies(release) {
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

// identifies tells whether s may stand behind a version: words between dots, or nothing.
func identifies(s string) bool {
	if s == "" {
		return true
	}
	for word := range strings.SplitSeq(s, ".") {
		if strings.Trim(word, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "" || word == "" {
			return false
		}
	}
	return true
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
