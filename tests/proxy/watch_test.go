package proxy

import (
	"context"
	"fmt"
	"sync"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// watchersOf is how many watches a member has.
func watchersOf(t *testing.T, addr string) string {
	t.Helper()
	return metric(t, "http://"+addr+"/metrics", "etcd_debugging_mvcc_watcher_total")
}

// TestThousandClientsAreOneWatch: those that begin now, those that begin at a revision to come, and those that begin in
// the past, once they have caught up; and every one of them sees every event.
func TestThousandClientsAreOneWatch(t *testing.T) {
	s := startServer(t)
	p := startOutpost(t, "grpc-proxy", s.Addr)
	ctx, c := limited(t), client(t, s.Addr)
	first := put(t, ctx, c, "k", "0")
	const clients = 1000
	conns := make([]*grpc.ClientConn, 20)
	for i := range conns {
		conn, err := grpc.NewClient(p.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		must(t, err)
		defer conn.Close()
		conns[i] = conn
	}
	watching, endAll := context.WithCancel(ctx)
	defer endAll()
	var created, seen sync.WaitGroup
	created.Add(clients)
	for i := range clients {
		stream, err := pb.NewWatchClient(conns[i%len(conns)]).Watch(watching)
		must(t, err)
		start := []int64{0, first + 1, first}[i%3]
		must(t, stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{
			CreateRequest: &pb.WatchCreateRequest{Key: []byte("k"), StartRevision: start}}}))
		seen.Go(func() {
			follow(t, stream, i, start == first, created.Done)
		})
	}
	created.Wait()
	waitFor(t, "the watches to become one", func() bool { return watchersOf(t, s.Addr) == "1" })
	if n := metric(t, "http://"+p.addr+"/proxy/metrics", "etcd_grpc_proxy_watchers_coalescing_total"); n != fmt.Sprint(clients-1) {
		t.Errorf("the proxy counts %s watches that cost nothing", n)
	}
	for i := 1; i <= 3; i++ {
		put(t, ctx, c, "k", fmt.Sprint(i))
	}
	seen.Wait()
	endAll()
	waitFor(t, "the watch to end", func() bool { return watchersOf(t, s.Addr) == "0" })
}

// follow reads a watch to value 3, which it must see once each, from 0 or 1 on.
func follow(t *testing.T, stream pb.Watch_WatchClient, i int, fromFirst bool, created func()) {
	want := 1
	if fromFirst {
		want = 0
	}
	for want <= 3 {
		resp, err := stream.Recv()
		if err != nil || resp.Canceled {
			t.Errorf("watch %d: %v, %v", i, resp, err)
			return
		}
		if resp.Created {
			created()
		}
		for _, e := range resp.Events {
			if string(e.Kv.Value) != fmt.Sprint(want) {
				t.Errorf("watch %d: got %s, not %d", i, e.Kv.Value, want)
			}
			want++
		}
	}
}

// TestSlowReaderIsBounded: who does not read holds up nobody, and is caught up when it does.
func TestSlowReaderIsBounded(t *testing.T) {
	s := startServer(t)
	p := startOutpost(t, "grpc-proxy", s.Addr)
	ctx, c := limited(t), client(t, s.Addr)
	conn, err := grpc.NewClient(p.addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithInitialWindowSize(1<<16))
	must(t, err)
	defer conn.Close()
	slow, err := pb.NewWatchClient(conn).Watch(ctx)
	must(t, err)
	must(t, slow.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: []byte("k")}}}))
	_, err = slow.Recv()
	must(t, err)
	fast := client(t, p.addr).Watch(ctx, "k")
	const events, size = 100, 512 << 10
	value := make([]byte, size)
	seen := 0
	for i := range events {
		put(t, ctx, c, "k", fmt.Sprintf("%03d", i)+string(value))
		for seen <= i {
			for _, e := range next(t, ctx, fast).Events {
				if got := string(e.Kv.Value[:3]); got != fmt.Sprintf("%03d", seen) {
					t.Fatalf("the fast reader sees %s, not %d", got, seen)
				}
				seen++
			}
		}
	}
	if n := metric(t, "http://"+p.addr+"/proxy/metrics", "bowline_grpc_proxy_watches_parked_total"); n == "0" || n == "" {
		t.Errorf("%q watches were parked", n)
	}
	for want := 0; want < events; {
		resp, err := slow.Recv()
		must(t, err)
		for _, e := range resp.Events {
			if got := string(e.Kv.Value[:3]); got != fmt.Sprintf("%03d", want) {
				t.Fatalf("the slow reader sees %s, not %d", got, want)
			}
			want++
		}
	}
	put(t, ctx, c, "k", "end")
	resp, err := slow.Recv()
	if err != nil || len(resp.Events) != 1 || string(resp.Events[0].Kv.Value) != "end" {
		t.Errorf("then it sees %v, %v", resp, err)
	}
	waitFor(t, "both to share a watch again", func() bool { return watchersOf(t, s.Addr) == "1" })
}

// TestWatchesOutliveARestart: watches go on where they were when the member comes back.
func TestWatchesOutliveARestart(t *testing.T) {
	s := startServer(t)
	p := startOutpost(t, "grpc-proxy", s.Addr)
	ctx, c := limited(t), client(t, p.addr)
	a, b := c.Watch(ctx, "k", clientv3.WithCreatedNotify()), c.Watch(ctx, "k", clientv3.WithPrevKV(), clientv3.WithCreatedNotify())
	next(t, ctx, a)
	next(t, ctx, b)
	put(t, ctx, c, "k", "1")
	next(t, ctx, a)
	next(t, ctx, b)
	must(t, s.Crash())
	must(t, s.Restart())
	put(t, ctx, client(t, s.Addr), "k", "2")
	for _, w := range []clientv3.WatchChan{a, b} {
		if r := next(t, ctx, w); len(r.Events) != 1 || string(r.Events[0].Kv.Value) != "2" {
			t.Errorf("after the restart came %+v", r)
		}
	}
}

// TestWatchesFollowRights: who may not read is refused, though another watches the same through the same proxy; who
// says nothing of itself is nobody.
func TestWatchesFollowRights(t *testing.T) {
	s := startServer(t)
	p := startOutpost(t, "grpc-proxy", s.Addr)
	ctx, c := limited(t), client(t, s.Addr)
	unnamed := client(t, p.addr)
	for _, user := range []string{"root", "reader", "other"} {
		_, err := c.UserAdd(ctx, user, "pw")
		must(t, err)
	}
	for _, role := range []string{"root", "reads"} {
		_, err := c.RoleAdd(ctx, role)
		must(t, err)
	}
	_, err := c.RoleGrantPermission(ctx, "reads", "k", "", clientv3.PermissionType(clientv3.PermRead))
	must(t, err)
	for user, role := range map[string]string{"root": "root", "reader": "reads"} {
		_, err := c.UserGrantRole(ctx, user, role)
		must(t, err)
	}
	before, err := unnamed.Get(ctx, "k", clientv3.WithSerializable()) // may be remembered
	must(t, err)
	_, err = c.AuthEnable(ctx)
	must(t, err)
	as := func(user string) *clientv3.Client {
		return connect(t, clientv3.Config{Endpoints: []string{p.addr}, Username: user, Password: "pw"})
	}
	root, reader, other := as("root"), as("reader"), as("other")
	w := reader.Watch(ctx, "k", clientv3.WithCreatedNotify())
	next(t, ctx, w)
	for name, denied := range map[string]*clientv3.Client{"other": other, "nobody": unnamed} {
		cut, cancel := context.WithCancel(ctx)
		for r := range denied.Watch(cut, "k") {
			if r.Err() == nil {
				t.Errorf("%s sees %+v", name, r)
			}
			cancel()
		}
		cancel()
	}
	put(t, ctx, root, "k", "secret")
	if r := next(t, ctx, w); len(r.Events) != 1 || r.Events[0].Type != mvccpb.PUT {
		t.Errorf("the reader sees %+v", r)
	}
	if r, err := reader.Get(ctx, "k", clientv3.WithSerializable()); err != nil || string(r.Kvs[0].Value) != "secret" {
		t.Errorf("the reader reads %v, %v", r, err)
	}
	if _, err := other.Get(ctx, "k", clientv3.WithSerializable()); err != rpctypes.ErrPermissionDenied {
		t.Errorf("who may not read is told %v", err)
	}
	if r, err := unnamed.Get(ctx, "k", clientv3.WithSerializable()); err == nil && (len(r.Kvs) > 0 || r.Header.Revision != before.Header.Revision) {
		t.Errorf("nobody reads %v", r)
	}
}
