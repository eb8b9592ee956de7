package embed

import (
	"context"
	"fmt"

	"bowline/internal/member"

	"github.com/coreos/go-semver/semver"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/types"
	"google.golang.org/protobuf/proto"
)

// Server is the member itself. What it tells is of the moment, and needs no answer of the other members.
type Server struct {
	member   *member.Member
	ready    chan struct{}
	stop     context.CancelFunc
	stopping <-chan struct{}
	ended    chan struct{}
}

// ReadyNotify is closed when the member serves clients: it knows a leader, and is known to the others.
func (s *Server) ReadyNotify() <-chan struct{} { return s.ready }

// StoppingNotify is closed when the member begins to end, of itself or not.
func (s *Server) StoppingNotify() <-chan struct{} { return s.stopping }

// StopNotify is closed when the member has ended, of itself or not.
func (s *Server) StopNotify() <-chan struct{} { return s.ended }

// Stop ends the member and waits for its end. It may be called more than once, and while the member is starting.
func (s *Server) Stop() {
	s.stop()
	<-s.ended
}

// HardStop is Stop: a member always ends in order.
func (s *Server) HardStop() { s.Stop() }

// ID is the member's ID.
func (s *Server) ID() types.ID { return types.ID(s.member.ID()) }

// MemberID is ID, by its newer name.
func (s *Server) MemberID() types.ID { return s.ID() }

// Leader is the ID of the member that leads, 0 if none is known.
func (s *Server) Leader() types.ID { return types.ID(s.member.Requests().Status().Leader) }

// Lead is Leader, as a number.
func (s *Server) Lead() uint64 { return uint64(s.Leader()) }

// IsLearner tells whether the member has no vote.
func (s *Server) IsLearner() bool { return s.member.Requests().IsLearner() }

// Term is that of the latest election that the member knows of.
func (s *Server) Term() uint64 { return s.member.Requests().Status().RaftTerm }

// CommittedIndex is the last entry of the log that the member knows a majority to have.
func (s *Server) CommittedIndex() uint64 { return s.member.Requests().Status().RaftIndex }

// AppliedIndex is the last entry of the log whose change the member's data has.
func (s *Server) AppliedIndex() uint64 { return s.member.Requests().Status().RaftAppliedIndex }

// ClusterVersion is the version that all members understand, nil while it is not known.
func (s *Server) ClusterVersion() *semver.Version { return s.Cluster().Version() }

// MoveLeader hands leadership, which must be this member's (lead), to the voter transferee, and waits until it leads.
func (s *Server) MoveLeader(ctx context.Context, lead, transferee uint64) error {
	if lead != uint64(s.ID()) {
		return fmt.Errorf("embed: member %s can give away its own leadership alone, not that of %s", s.ID(), types.ID(lead))
	}
	return s.member.Requests().MoveLeader(ctx, transferee)
}

// TryTransferLeadershipOnShutdown hands leadership, if it is this member's, to the voter that has been in touch
// longest. Stop does so by itself.
func (s *Server) TryTransferLeadershipOnShutdown() error {
	return s.member.Requests().HandOver(context.Background())
}

// Cluster is what the member knows of its cluster.
func (s *Server) Cluster() Cluster { return Cluster{s} }

// Cluster is a view of the cluster, as new as the moment of each call.
type Cluster struct{ server *Server }

// ID is the cluster's ID.
func (c Cluster) ID() types.ID {
	return types.ID(c.server.member.Requests().Header(0).ClusterID)
}

// Members are the cluster's members.
func (c Cluster) Members() []*pb.Member {
	// Who does not ask for agreement is not refused.
	list, err := c.server.member.Requests().MemberList(context.Background(), false)
	if err != nil {
		return nil
	}
	return proto.Clone(list).(*pb.MemberListResponse).Members
}

// Member is that of an ID, nil if there is none.
func (c Cluster) Member(id types.ID) *pb.Member {
	for _, m := range c.Members() {
		if m.ID == uint64(id) {
			return m
		}
	}
	return nil
}

// ClientURLs are where the members serve clients.
func (c Cluster) ClientURLs() []string {
	var urls []string
	for _, m := range c.Members() {
		urls = append(urls, m.ClientURLs...)
	}
	return urls
}

// Version is Server.ClusterVersion.
func (c Cluster) Version() *semver.Version {
	v, err := semver.NewVersion(c.server.member.Requests().ClusterVersion())
	if err != nil {
		return nil
	}
	return v
}
