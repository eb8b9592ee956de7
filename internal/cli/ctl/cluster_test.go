package ctl

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// fakeCluster is servers that agree on a list of members, and on nothing else.
type fakeCluster struct {
	promotes bool // whether it knows of learners that promote themselves

	mu      sync.Mutex // guards what follows
	members []*pb.Member
	wished  []string         // metadata of the calls of MemberAdd
	calls   []string         // changes, in order
	refuse  map[string]error // by call
}

// fakeMember is one server of a fakeCluster.
type fakeMember struct {
	pb.UnimplementedClusterServer
	pb.UnimplementedKVServer
	pb.UnimplementedMaintenanceServer
	id      uint64
	cluster *fakeCluster
}

// start runs a server for each of n members; their IDs are 1, 2 and so on.
func startFakeCluster(t *testing.T, n int) *fakeCluster {
	t.Helper()
	c := &fakeCluster{refuse: map[string]error{}}
	for i := range n {
		m := &fakeMember{id: uint64(i + 1), cluster: c}
		c.members = append(c.members, &pb.Member{
			ID: m.id, Name: fmt.Sprintf("m%d", m.id), PeerURLs: []string{fmt.Sprintf("http://peer%d:2380", m.id)},
			ClientURLs: []string{"http://" + m.serve(t)},
		})
	}
	return c
}

func (m *fakeMember) serve(t *testing.T) (addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	pb.RegisterClusterServer(server, m)
	pb.RegisterKVServer(server, m)
	pb.RegisterMaintenanceServer(server, m)
	served := make(chan error)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) { // before it had begun
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

// silence makes a member's URL one where nobody listens.
func (c *fakeCluster) silence(t *testing.T, id uint64) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.members[id-1].ClientURLs = []string{"http://" + listener.Addr().String()}
	listener.Close()
}

// run runs a command line with these members as endpoints.
func (c *fakeCluster) run(t *testing.T, endpoints []uint64, args ...string) (b *bench, code int) {
	t.Helper()
	b = newBench(t)
	b.env.Dial = clientv3.New
	list := ""
	for _, id := range endpoints {
		list += "," + c.members[id-1].ClientURLs[0]
	}
	return b, b.run("", append(args, "--command-timeout=500ms", "--endpoints="+list[1:])...)
}

func (m *fakeMember) header() *pb.ResponseHeader {
	return &pb.ResponseHeader{ClusterId: 255, MemberId: m.id, RaftTerm: 2}
}

func (m *fakeMember) MemberList(context.Context, *pb.MemberListRequest) (*pb.MemberListResponse, error) {
	m.cluster.mu.Lock()
	defer m.cluster.mu.Unlock()
	return &pb.MemberListResponse{Header: m.header(), Members: slices.Clone(m.cluster.members)}, nil
}

func (m *fakeMember) MemberAdd(ctx context.Context, req *pb.MemberAddRequest) (*pb.MemberAddResponse, error) {
	c := m.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, "add")
	if err := c.refuse["add"]; err != nil {
		return nil, err
	}
	md, _ := metadata.FromIncomingContext(ctx)
	wish := md.Get(autoPromoteKey)
	c.wished = append(c.wished, fmt.Sprint(wish))
	if c.promotes && len(wish) > 0 {
		if err := grpc.SetHeader(ctx, metadata.Pairs(autoPromoteKey, "1")); err != nil {
			return nil, err
		}
	}
	added := &pb.Member{ID: 99, PeerURLs: req.PeerURLs, IsLearner: req.IsLearner}
	c.members = append(c.members, added)
	return &pb.MemberAddResponse{Header: m.header(), Member: added, Members: slices.Clone(c.members)}, nil
}

func (m *fakeMember) MemberRemove(_ context.Context, req *pb.MemberRemoveRequest) (*pb.MemberRemoveResponse, error) {
	c := m.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, "remove")
	if err := c.refuse["remove"]; err != nil {
		return nil, err
	}
	at := slices.IndexFunc(c.members, func(member *pb.Member) bool { return member.ID == req.ID })
	if at < 0 {
		return nil, rpctypes.ErrGRPCMemberNotFound
	}
	c.members = slices.Delete(slices.Clone(c.members), at, at+1)
	return &pb.MemberRemoveResponse{Header: m.header(), Members: slices.Clone(c.members)}, nil
}

func (m *fakeMember) Status(context.Context, *pb.StatusRequest) (*pb.StatusResponse, error) {
	return &pb.StatusResponse{Header: m.header(), Leader: 2}, nil
}

func (m *fakeMember) MoveLeader(_ context.Context, req *pb.MoveLeaderRequest) (*pb.MoveLeaderResponse, error) {
	if m.id != 2 {
		return nil, rpctypes.ErrGRPCNotLeader
	}
	return &pb.MoveLeaderResponse{Header: m.header()}, nil
}

func (m *fakeMember) Range(context.Context, *pb.RangeRequest) (*pb.RangeResponse, error) {
	m.cluster.mu.Lock()
	defer m.cluster.mu.Unlock()
	if err := m.cluster.refuse[fmt.Sprintf("read %d", m.id)]; err != nil {
		return nil, err
	}
	return &pb.RangeResponse{Header: m.header()}, nil
}
