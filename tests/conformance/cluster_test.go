package conformance

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"bowline/internal/testkit"
)

// startMembers starts as many members as a scenario needs, the leader first.
func startMembers(t *testing.T, sc *scenario, ports *testkit.Ports) []*testkit.Server {
	t.Helper()
	cluster, err := testkit.StartCluster(server.Path(t), t.TempDir(), max(1, sc.Members), ports, sc.Flags...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the ends of the members' logs:\n%s", cluster.Logs(10))
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), callPatience)
	defer cancel()
	leader, err := cluster.Leader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	rest := slices.DeleteFunc(slices.Clone(cluster.Members), func(m *testkit.Server) bool { return m == leader })
	return append([]*testkit.Server{leader}, rest...)
}

// player performs steps against the members of one cluster.
type player struct {
	members []*testkit.Server
	conns   []*grpc.ClientConn // one for each member
	names   *names
	streams map[string]*stream
	// shown is the highest revision that each member has answered with.
	shown []int64
}

// newPlayer connects, and learns what the members call themselves.
func newPlayer(members []*testkit.Server) (*player, error) {
	p := &player{members: members, names: newNames(), streams: map[string]*stream{}, shown: make([]int64, len(members))}
	for i, m := range members {
		conn, err := grpc.NewClient(m.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32), grpc.MaxCallSendMsgSize(math.MaxInt32)))
		if err != nil {
			p.close()
			return nil, err
		}
		p.conns = append(p.conns, conn)
		suffix := ""
		if i > 0 {
			suffix = fmt.Sprintf("_%d", i+1)
		}
		if err := p.learnNames(conn, suffix); err != nil {
			p.close()
			return nil, err
		}
	}
	return p, nil
}

// learnNames binds $cluster, and $member, $client_url and $peer_url of the member
// behind a connection, with a suffix for all but the first.
func (p *player) learnNames(conn *grpc.ClientConn, suffix string) error {
	ctx, cancel := context.WithTimeout(context.Background(), callPatience)
	defer cancel()
	list, err := etcdserverpb.NewClusterClient(conn).MemberList(ctx, &etcdserverpb.MemberListRequest{})
	if err != nil {
		return err
	}
	at := slices.IndexFunc(list.Members, func(m *etcdserverpb.Member) bool { return m.ID == list.Header.MemberId })
	if at < 0 {
		return fmt.Errorf("member %x does not list itself", list.Header.MemberId)
	}
	own := "members." + strconv.Itoa(at)
	return p.save(map[string]string{
		"cluster": "header.cluster_id", "member" + suffix: "header.member_id",
		"client_url" + suffix: own + ".clientURLs.0", "peer_url" + suffix: own + ".peerURLs.0",
	}, list)
}

func (p *player) close() {
	for _, s := range p.streams {
		s.cancel()
	}
	for _, conn := range p.conns {
		conn.Close()
	}
}

// at is the connection that a step is for.
func (p *player) at(s *step) *grpc.ClientConn { return p.conns[s.member()] }

// show remembers the revision of an answer of a member.
func (p *player) show(member int, answer proto.Message) {
	if a, ok := answer.(interface {
		GetHeader() *etcdserverpb.ResponseHeader
	}); ok {
		p.shown[member] = max(p.shown[member], a.GetHeader().GetRevision())
	}
}

// level waits until the member that a step is for has applied what others have
// already answered with. Members may do that at different times, and a step such as
// Status shows it, while the recording was made where they were all as far; for one that
// asks the leader how far a member is, all must be.
func (p *player) level(s *step) error {
	if s.Call == "Cluster/MemberPromote" && len(p.conns) > 1 {
		for at := range p.conns {
			if err := p.catchUp(at); err != nil {
				return err
			}
		}
		return nil
	}
	if at := s.member(); p.shown[at] < slices.Max(p.shown) {
		return p.catchUp(at)
	}
	return nil
}

// catchUp waits until a member has applied what is committed.
func (p *player) catchUp(at int) error {
	ctx, cancel := context.WithTimeout(context.Background(), callPatience)
	defer cancel()
	read, err := etcdserverpb.NewKVClient(p.conns[at]).Range(ctx, &etcdserverpb.RangeRequest{Key: []byte("\x00"), CountOnly: true})
	if err != nil {
		return fmt.Errorf("member %d does not catch up with the others: %w", at+1, err)
	}
	p.show(at, read)
	return nil
}
