package member

import (
	"context"
	"net/http"
	"sync"
	"time"

	"bowline/internal/cluster"
	"bowline/internal/httpapi/v2http"
	"bowline/internal/server"
	"bowline/internal/v2"
	"bowline/internal/wire"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// oldAPI is the member as API v2 sees it.
type oldAPI struct{ m *Member }

func (o oldAPI) Tree() *v2.Store                   { return o.m.fsm.V2() }
func (o oldAPI) Current(ctx context.Context) error { return o.m.server.V2Current(ctx) }
func (o oldAPI) Members() *cluster.View            { return o.m.fsm.Members() }

func (o oldAPI) Change(ctx context.Context, req wire.V2Request) (*v2.Event, error) {
	return o.m.server.V2(ctx, req)
}

func (o oldAPI) MemberAdd(ctx context.Context, peerURLs []string) (*pb.Member, error) {
	resp, err := o.m.server.MemberAdd(ctx, server.MemberAddition{PeerURLs: peerURLs})
	return resp.GetMember(), err
}

func (o oldAPI) MemberRemove(ctx context.Context, id uint64) error {
	_, err := o.m.server.MemberRemove(ctx, id)
	return err
}

func (o oldAPI) MemberUpdate(ctx context.Context, id uint64, peerURLs []string) error {
	_, err := o.m.server.MemberUpdate(ctx, id, peerURLs)
	return err
}

func (o oldAPI) Progress() (commit, term uint64) {
	st := o.m.node.Status()
	return st.Commit, st.Term
}

func (o oldAPI) SetLogLevel(level string) bool {
	return o.m.cfg.LogLevel != nil && o.m.cfg.LogLevel.UnmarshalText([]byte(level)) == nil
}

func (o oldAPI) Standing() v2http.Standing {
	st := o.m.node.Status()
	s := v2http.Standing{Name: o.m.cfg.Name, Started: o.m.started, Leader: st.Leader, Leads: st.State == raft.StateLeader}
	o.m.entries.show(&s, time.Now())
	s.LeaderSince = o.m.server.LeaderSince()
	if s.LeaderSince.IsZero() {
		s.LeaderSince = o.m.started
	}
	if s.Leads {
		for _, p := range st.Peers {
			if _, known := s.Followers[p.ID]; !known {
				s.Followers[p.ID] = v2http.Follower{Least: neverSent}
			}
		}
	}
	return s
}

// withV2 has API v2 answered before everything else on a client port, if it is enabled.
func (m *Member) withV2(next http.Handler) http.Handler {
	if !m.cfg.EnableV2 {
		return next
	}
	api := v2http.New(v2http.Config{
		Member: oldAPI{m}, MemberID: m.id.memberID, ClusterID: m.id.clusterID,
		CertificateNames: m.cfg.ClientTLS.ClientCertAuth, BcryptCost: m.cfg.BcryptCost,
		Stopping: m.v2Stop.channel(), Logger: m.log,
	})
	return api.Wrap(next)
}

// v2Stop ends the watches of API v2, which would keep their ports from closing.
type v2Stop struct {
	once sync.Once
	mu   sync.Mutex // guards made
	made chan struct{}
}

func (s *v2Stop) channel() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.made == nil {
		s.made = make(chan struct{})
	}
	return s.made
}

func (s *v2Stop) end() {
	s.channel()
	s.once.Do(func() { close(s.made) })
}

// send is the transport's Send.
func (m *Member) send(messages []*raftpb.Message) {
	if m.cfg.EnableV2 {
		m.entries.countSent(messages)
	}
	m.transport.Send(messages)
}
