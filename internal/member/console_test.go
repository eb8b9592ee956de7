package member

import (
	"context"
	"net"
	"net/url"
	"testing"
	"time"

	"bowline/internal/config"
	"bowline/internal/testkit"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// startSecure starts a member with a console that asks clients for certificates of an
// authority of its own. Its settings name the authority and a pair that is good for clients, too.
func startSecure(t *testing.T) (*Member, config.Certificates) {
	t.Helper()
	a, pair := testkit.NewServerPair(t)
	cfg := testConfig(t)
	cfg.Console = true
	cfg.ListenClientURLs = []url.URL{{Scheme: "https", Host: "127.0.0.1:0"}}
	cfg.ClientTLS = config.Certificates{CertFile: pair.Cert, KeyFile: pair.Key, TrustedCAFile: a.File, ClientCertAuth: true}
	return startMember(t, cfg), cfg.ClientTLS
}

// TestOtherMembersAreAskedWithTLS connects as the console does to members that serve
// clients with TLS: its own kind, and one whose authority it does not know.
func TestOtherMembersAreAskedWithTLS(t *testing.T) {
	m, _ := startSecure(t)
	other, _ := startSecure(t)
	at, stranger := url.URL{Scheme: "https", Host: m.clientAddr()}, url.URL{Scheme: "https", Host: other.clientAddr()}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := grpc.NewClient("passthrough:///"+at.Host, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return m.dialClientURL(ctx, at) }))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if s, err := pb.NewMaintenanceClient(conn).Status(ctx, &pb.StatusRequest{}); err != nil || s.Header.MemberId != m.ID() {
		t.Errorf("its own kind: %v, %v", s, err)
	}
	if c, err := m.dialClientURL(ctx, stranger); err == nil {
		c.Close()
		t.Error("a server that an unknown authority has signed was accepted")
	}
	if c, err := startMember(t, testConfig(t)).dialClientURL(ctx, at); err == nil {
		c.Close()
		t.Error("a member without certificates has connected")
	}
}
