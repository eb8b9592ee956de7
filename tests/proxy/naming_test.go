package proxy

import (
	"context"
	"net"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/naming/endpoints"
	"go.etcd.io/etcd/client/v3/naming/resolver"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
)

// service is a gRPC server that says its name in a header.
func service(t *testing.T, name string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s := grpc.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		if err := grpc.SetHeader(ctx, metadata.Pairs("name", name)); err != nil {
			return nil, err
		}
		return handle(ctx, req)
	}))
	healthpb.RegisterHealthServer(s, health.NewServer())
	go s.Serve(l)
	t.Cleanup(s.Stop)
	return l.Addr().String()
}

// TestResolver: programs find each other by a register in the cluster, directly and through the proxy, and follow its
// changes.
func TestResolver(t *testing.T) {
	s := startServer(t)
	p := startOutpost(t, "grpc-proxy", s.Addr)
	for name, addr := range map[string]string{"a member": s.Addr, "the proxy": p.addr} {
		t.Run(name, func(t *testing.T) {
			ctx, c := limited(t), client(t, addr)
			manager, err := endpoints.NewManager(c, "services/greeter")
			must(t, err)
			one, two := service(t, "one"), service(t, "two")
			must(t, manager.AddEndpoint(ctx, "services/greeter/one", endpoints.Endpoint{Addr: one, Metadata: "first"}))
			builder, err := resolver.NewBuilder(c)
			must(t, err)
			conn, err := grpc.NewClient("etcd:///services/greeter", grpc.WithResolvers(builder), grpc.WithTransportCredentials(insecure.NewCredentials()),
				grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`))
			must(t, err)
			defer conn.Close()
			who := func() string {
				var header metadata.MD
				_, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{}, grpc.Header(&header), grpc.WaitForReady(true))
				must(t, err)
				return header.Get("name")[0]
			}
			if got := who(); got != "one" {
				t.Errorf("found %s", got)
			}
			lease, err := c.Grant(ctx, 60)
			must(t, err)
			must(t, manager.AddEndpoint(ctx, "services/greeter/two", endpoints.Endpoint{Addr: two}, clientv3.WithLease(lease.ID)))
			waitFor(t, "the second to be found", func() bool { return who() == "two" })
			must(t, manager.DeleteEndpoint(ctx, "services/greeter/one"))
			waitFor(t, "the first to be left", func() bool { return who() == "two" && who() == "two" && who() == "two" })
			all, err := manager.List(ctx)
			must(t, err)
			if len(all) != 1 || all["services/greeter/two"].Addr != two {
				t.Errorf("the register has %v", all)
			}
			_, err = c.Revoke(ctx, lease.ID)
			must(t, err)
			if all, err = manager.List(ctx); err != nil || len(all) != 0 {
				t.Errorf("when its lease has ended the register has %v, %v", all, err)
			}
		})
	}
}
