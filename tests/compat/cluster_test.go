package compat

import (
	"context"
	"fmt"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"bowline/internal/testkit"
)

// startCluster starts a cluster that ends with the test, and a client of all its
// members.
func startCluster(t *testing.T, n int) (*testkit.Cluster, *clientv3.Client, context.Context) {
	t.Helper()
	t.Parallel() // these tests wait for elections and for members' connections to age
	c, err := testkit.StartCluster(server.Path(t), t.TempDir(), n, &ports)
	must(t, err)
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the ends of the logs:\n%s", c.Logs(10))
		}
	})
	client, err := c.Client()
	must(t, err)
	t.Cleanup(func() { client.Close() })
	return c, client, limited(t)
}

// putAgain writes a key, however often that takes: while a leader is elected,
// writes are refused.
func putAgain(t *testing.T, ctx context.Context, kv clientv3.KV, key, value string) {
	t.Helper()
	for {
		attempt, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, err := kv.Put(attempt, key, value)
		cancel()
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("put %s: %v", key, err)
		}
	}
}

func TestClusterOutlivesItsLeader(t *testing.T) {
	c, client, ctx := startCluster(t, 3)
	putAgain(t, ctx, client, "before", "1")
	old, err := c.Leader(ctx)
	must(t, err)
	must(t, old.Crash())
	putAgain(t, ctx, client, "without", "2")
	leader, err := c.Leader(ctx)
	must(t, err)
	if leader == old {
		t.Error("a member leads that does not run")
	}
	must(t, old.Restart())
	must(t, c.WaitHealthy(ctx))
	must(t, c.SameHashes(ctx))
	for key, want := range map[string]string{"before": "1", "without": "2"} {
		if got := get(t, ctx, client, key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
}

func TestClusterGoesOnWithAPausedMember(t *testing.T) {
	c, client, ctx := startCluster(t, 3)
	leader, err := c.Leader(ctx)
	must(t, err)
	must(t, leader.Pause())
	other, err := c.Leader(ctx)
	must(t, err)
	if other == leader {
		t.Fatal("a paused member leads")
	}
	putAgain(t, ctx, client, "a", "1")
	must(t, leader.Resume())
	must(t, c.WaitHealthy(ctx))
	must(t, c.SameHashes(ctx))
}

func TestMemberRejoinsWithoutItsData(t *testing.T) {
	c, client, ctx := startCluster(t, 3)
	for i := range 100 {
		put(t, ctx, client, fmt.Sprintf("k%03d", i), "v")
	}
	lost := c.Members[1]
	must(t, c.Rejoin(ctx, lost))
	must(t, c.WaitHealthy(ctx))
	must(t, c.SameHashes(ctx))
	list, err := client.MemberList(ctx)
	must(t, err)
	if len(list.Members) != 3 {
		t.Errorf("%d members: %v", len(list.Members), list.Members)
	}
	own, err := clientv3.New(clientConfig(lost))
	must(t, err)
	t.Cleanup(func() { own.Close() })
	if got := get(t, ctx, own, "k099"); got != "v" {
		t.Errorf("k099 at the member that came back is %q", got)
	}
}

func TestClusterGrowsByALearnerAndShrinks(t *testing.T) {
	c, client, ctx := startCluster(t, 3)
	put(t, ctx, client, "a", "1")
	added, err := c.Add(ctx, true)
	must(t, err)
	must(t, c.Promote(ctx, added))
	must(t, c.Remove(ctx, c.Members[0]))
	putAgain(t, ctx, client, "b", "2")
	must(t, c.WaitHealthy(ctx))
	must(t, c.SameHashes(ctx))
	list, err := client.MemberList(ctx)
	must(t, err)
	if len(list.Members) != 3 {
		t.Errorf("%d members: %v", len(list.Members), list.Members)
	}
	for _, m := range list.Members {
		if m.IsLearner {
			t.Errorf("%s is a learner still", m.Name)
		}
	}
}

func TestPlannedRestartOfEveryMember(t *testing.T) {
	c, client, ctx := startCluster(t, 3)
	for i, m := range c.Members {
		must(t, m.Shutdown())
		putAgain(t, ctx, client, fmt.Sprintf("k%d", i), "v")
		must(t, m.Restart())
	}
	must(t, c.WaitHealthy(ctx))
	must(t, c.SameHashes(ctx))
}

// TestKeepAlivesEndWithoutALeader: those of a client that requires one hear of it.
func TestKeepAlivesEndWithoutALeader(t *testing.T) {
	c, client, ctx := startCluster(t, 3)
	granted, err := client.Grant(ctx, 60)
	must(t, err)
	kept := c.Members[0]
	conn, err := grpc.NewClient(kept.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	stream, err := pb.NewLeaseClient(conn).LeaseKeepAlive(clientv3.WithRequireLeader(ctx))
	must(t, err)
	must(t, stream.Send(&pb.LeaseKeepAliveRequest{ID: int64(granted.ID)}))
	alive, err := stream.Recv()
	must(t, err)
	if alive.TTL != 60 {
		t.Errorf("TTL %d", alive.TTL)
	}
	for _, other := range c.Members[1:] {
		must(t, other.Crash())
	}
	if _, err = stream.Recv(); rpctypes.ErrorDesc(err) != "etcdserver: no leader" {
		t.Errorf("the stream ends with %v", err)
	}
}
