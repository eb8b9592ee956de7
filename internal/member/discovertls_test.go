package member

import (
	"context"
	"errors"
	"testing"
	"time"

	"bowline/internal/config"
	"bowline/internal/testkit"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// TestMembersFindEachOtherSecurely founds a cluster through a service with TLS that knows
// its callers by their certificates; who has none, or trusts another authority, does not get through.
func TestMembersFindEachOtherSecurely(t *testing.T) {
	at, files := startSecure(t)
	secure, err := at.sides.clients.Client("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient("passthrough:///"+at.clientAddr(), grpc.WithTransportCredentials(credentials.NewTLS(secure)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := pb.NewKVClient(conn).Put(t.Context(), &pb.PutRequest{Key: []byte("/_etcd/registry/tok/_config/size"), Value: []byte("2")}); err != nil {
		t.Fatal(err)
	}

	service := discoverySettings("https://"+at.clientAddr(), "tok")
	service.InsecureTransport = false
	service.CAFile, service.CertFile, service.KeyFile = files.TrustedCAFile, files.CertFile, files.KeyFile
	g := &group{t: t, configs: make(map[string]Config), members: make(map[string]*Member)}
	for _, name := range []string{"a", "b"} {
		cfg := g.config(name)
		cfg.InitialCluster, cfg.Discovery = nil, service
		g.configs[name] = cfg
	}
	t.Cleanup(g.stopAll)
	g.start("a", "b")
	if n := len(g.members["a"].fsm.Members().Members()); n != 2 {
		t.Errorf("%d members", n)
	}

	other, err := testkit.NewAuthority(t.TempDir(), "ca")
	if err != nil {
		t.Fatal(err)
	}
	nameless, stranger := service, service
	nameless.CertFile, nameless.KeyFile = "", ""
	stranger.CAFile = other.File
	for what, refused := range map[string]config.Discovery{"without a certificate": nameless, "another authority": stranger} {
		cfg := testConfig(t)
		cfg.InitialCluster, cfg.Discovery, cfg.Logger = nil, refused, zap.NewNop()
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		m, err := Start(ctx, cfg)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", what, err)
		}
		if err == nil {
			if err := m.Stop(); err != nil {
				t.Error(err)
			}
		}
	}
}
