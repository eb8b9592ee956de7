package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"bowline/internal/cluster"
	"bowline/internal/peers"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

// activeFor is how long a member must have been in touch, without interruption, to
// count when a change of members is weighed.
const activeFor = 5 * time.Second

// MemberAddition is what MemberAdd adds.
type MemberAddition struct {
	PeerURLs []string
	// Learner adds it without a vote; AutoPromote gives it one once it has caught up.
	Learner, AutoPromote bool
}

// MemberAdd adds a member, which may be started afterwards.
func (s *Server) MemberAdd(ctx context.Context, a MemberAddition) (*pb.MemberAddResponse, error) {
	urls, ok := memberURLs(a.PeerURLs)
	if !ok {
		return nil, ErrBadMemberURLs
	}
	view := s.fsm.Members()
	if s.cfg.StrictReconfig {
		if err := view.CheckAdd(a.Learner, s.reach()); err != nil {
			s.refuseChange("rejecting member add request", err)
			return nil, err
		}
	}
	m := cluster.Member{PeerURLs: urls, IsLearner: a.Learner, AutoPromote: a.Learner && a.AutoPromote}
	m.ID = cluster.MemberID(m.PeerURLs, strconv.FormatInt(time.Now().Unix(), 10))
	kind := raftpb.ConfChangeAddNode
	if a.Learner {
		kind = raftpb.ConfChangeAddLearnerNode
	}
	members, err := s.changeMembers(ctx, kind, m.ID, cluster.ChangeContext{Member: m})
	if err != nil {
		return nil, err
	}
	return &pb.MemberAddResponse{Header: s.header(0), Member: memberMessage(&m), Members: members}, nil
}

// memberURLs are URLs at which a member can be reached, in the form and the order that
// etcd gives them; ok is false if there is none, or if one is of no use.
func memberURLs(texts []string) (urls []string, ok bool) {
	for _, text := range texts {
		u, err := url.Parse(strings.TrimSpace(text))
		if err != nil || badMemberURL(u) {
			return nil, false
		}
		urls = append(urls, u.String())
	}
	slices.Sort(urls)
	return urls, len(urls) > 0
}

// badMemberURL tells that members cannot be reached at a URL.
func badMemberURL(u *url.URL) bool {
	switch u.Scheme {
	case "unix", "unixs":
		return false
	case "http", "https":
		_, _, err := net.SplitHostPort(u.Host)
		return err != nil || u.Path != ""
	}
	return true
}

// MemberRemove removes a member for good.
func (s *Server) MemberRemove(ctx context.Context, id uint64) (*pb.MemberRemoveResponse, error) {
	view := s.fsm.Members()
	if s.cfg.StrictReconfig {
		if err := view.CheckRemove(id, s.reach()); err != nil {
			s.refuseChange("rejecting member remove request", err)
			return nil, err
		}
	}
	members, err := s.changeMembers(ctx, raftpb.ConfChangeRemoveNode, id, nil)
	if err != nil {
		return nil, err
	}
	return &pb.MemberRemoveResponse{Header: s.header(0), Members: members}, nil
}

// MemberUpdate gives a member other peer URLs.
func (s *Server) MemberUpdate(ctx context.Context, id uint64, peerURLs []string) (*pb.MemberUpdateResponse, error) {
	members, err := s.changeMembers(ctx, raftpb.ConfChangeUpdateNode, id, cluster.Member{ID: id, PeerURLs: peerURLs})
	if err != nil {
		return nil, err
	}
	return &pb.MemberUpdateResponse{Header: s.header(0), Members: members}, nil
}

// MemberPromote gives a learner a vote. Only the leader knows whether it is ready, so
// another member asks the leader.
func (s *Server) MemberPromote(ctx context.Context, id uint64) (*pb.MemberPromoteResponse, error) {
	var members []*pb.Member
	err := s.askLeader(ctx, func(ctx context.Context) (err error) {
		members, err = s.promote(ctx, id)
		return err
	}, func(ctx context.Context, urls []string) error {
		err := s.cfg.Peers.Promote(ctx, urls, id, "")
		members = memberMessages(s.fsm.Members())
		return err
	})
	switch {
	case errors.Is(err, peers.ErrMemberNotFound):
		err = ErrMemberNotFound
	case errors.Is(err, peers.ErrNotLearner):
		err = ErrNotLearner
	case errors.Is(err, peers.ErrNotReady):
		err = ErrLearnerNotReady
	}
	if err != nil {
		return nil, err
	}
	return &pb.MemberPromoteResponse{Header: s.header(0), Members: members}, nil
}

// promote is MemberPromote on the leader.
func (s *Server) promote(ctx context.Context, id uint64) ([]*pb.Member, error) {
	members, err := s.tryPromote(ctx, id)
	if err != nil {
		s.stats.promotions.add(err.Error())
	} else {
		s.stats.Promotions.Add(1)
	}
	return members, err
}

func (s *Server) tryPromote(ctx context.Context, id uint64) ([]*pb.Member, error) {
	view := s.fsm.Members()
	// As in etcd readiness comes first; that a voter is no learner is found when the
	// change is applied.
	switch {
	case view.Member(id) == nil:
		return nil, ErrMemberNotFound
	case id != s.cfg.MemberID && !s.inSync(id):
		return nil, ErrLearnerNotReady
	}
	if s.cfg.StrictReconfig {
		if err := view.CheckPromote(s.reach()); err != nil {
			s.refuseChange("rejecting member promote request", err)
			return nil, err
		}
	}
	return s.changeMembers(ctx, raftpb.ConfChangeAddNode, id, cluster.ChangeContext{Member: cluster.Member{ID: id}, IsPromote: true})
}

// inSync tells whether the leader has seen a member hold nine tenths of the log, which
// is when etcd lets it vote.
func (s *Server) inSync(id uint64) bool {
	st := s.node.Status()
	for _, p := range st.Peers {
		if p.ID == id {
			return 10*p.Match >= 9*st.PeersCommit
		}
	}
	return false
}

func (s *Server) refuseChange(what string, err error) {
	s.cfg.Logger.Warn(what, zap.String("local-member-id", strconv.FormatUint(s.cfg.MemberID, 16)), zap.Error(err))
}

// reach is what this member sees of the others.
func (s *Server) reach() cluster.Reach {
	since := time.Now().Add(-activeFor)
	return cluster.Reach{Self: s.cfg.MemberID, Active: func(id uint64) bool { return s.activeSince(id, since) }}
}

// activeSince tells whether a member has been in touch without interruption since a
// moment.
func (s *Server) activeSince(id uint64, since time.Time) bool {
	if s.cfg.ActiveSince == nil {
		return false
	}
	t := s.cfg.ActiveSince(id)
	return !t.IsZero() && t.Before(since)
}

// changeMembers has a membership change agreed on, and returns the members after it.
func (s *Server) changeMembers(ctx context.Context, kind raftpb.ConfChangeType, id uint64, context any) ([]*pb.Member, error) {
	cc := &raftpb.ConfChange{Id: proto.Uint64(s.ids.next()), Type: kind.Enum(), NodeId: &id}
	if context != nil {
		var err error
		if cc.Context, err = json.Marshal(context); err != nil {
			return nil, fmt.Errorf("server: encode a membership change: %w", err)
		}
	}
	deadline := time.Now().Add(s.cfg.RequestTimeout())
	_, err := s.proposeUntilTaken(ctx, cc.GetId(), deadline, func(refused func(error)) {
		if err := s.node.ProposeConfChange(ctx, cc); err != nil {
			refused(err)
		}
	})
	switch {
	case err == nil:
		s.cfg.Logger.Info("applied a configuration change through raft", memberField("local-member-id", s.cfg.MemberID),
			zap.String("raft-conf-change", kind.String()), memberField("raft-conf-change-node-id", id))
		return memberMessages(s.fsm.Members()), nil
	case errors.Is(err, cluster.ErrIDRemoved), errors.Is(err, cluster.ErrIDNotFound):
		return nil, ErrMemberNotFound
	case errors.Is(err, cluster.ErrIDExists):
		return nil, ErrMemberExists
	case errors.Is(err, cluster.ErrPeerURLExists):
		return nil, ErrPeerURLExists
	case errors.Is(err, cluster.ErrNotLearner):
		return nil, ErrNotLearner
	case errors.Is(err, cluster.ErrTooManyLearners):
		return nil, ErrTooManyLearners
	}
	return nil, err
}

func memberMessages(v *cluster.View) []*pb.Member {
	members := v.Members()
	out := make([]*pb.Member, len(members))
	for i := range members {
		out[i] = memberMessage(&members[i])
	}
	return out
}

func memberMessage(m *cluster.Member) *pb.Member {
	return &pb.Member{ID: m.ID, Name: m.Name, PeerURLs: m.PeerURLs, ClientURLs: m.ClientURLs, IsLearner: m.IsLearner}
}

// MemberList returns the members, after a read index if it is to be linearizable.
func (s *Server) MemberList(ctx context.Context, linearizable bool) (*pb.MemberListResponse, error) {
	if linearizable {
		if err := s.readIndex(ctx); err != nil {
			return nil, err
		}
	}
	return &pb.MemberListResponse{Header: s.header(0), Members: memberMessages(s.fsm.Members())}, nil
}
