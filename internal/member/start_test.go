package member

import (
	"context"
	"net"
	"net/url"
	"testing"
	"time"

	"bowline/internal/config"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// local is a URL at which any free port of this machine is listened on.
func local() []url.URL { return []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}} }

// testConfig is a member alone, in a directory of its own, that decides quickly.
func testConfig(t *testing.T) Config {
	const peer = "http://127.0.0.1:1"
	return Config{
		Name: "one", DataDir: t.TempDir(),
		ListenPeerURLs: local(), ListenClientURLs: local(),
		AdvertisePeerURLs: []string{peer}, AdvertiseClientURLs: []string{"http://127.0.0.1:2"},
		InitialCluster: map[string][]string{"one": {peer}}, InitialToken: "t",
		Tick: 10 * time.Millisecond, ElectionTicks: 10, HeartbeatTicks: 1, PreVote: true,
		MaxRequestBytes: 1 << 20, MaxTxnOps: 128, MaxConcurrentStreams: 1 << 20,
		SlowRequest: time.Minute, SlowApply: time.Minute, Gates: config.Features{FastLeaseKeepAlive: true}.Gates(),
	}
}

// startMember starts a member that ends, leaving no goroutine, with the test.
func startMember(t *testing.T, cfg Config) *Member {
	t.Helper()
	before := goleak.IgnoreCurrent()
	m, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Stop(); err != nil {
			t.Error(err)
		}
		goleak.VerifyNone(t, before)
	})
	return m
}

func (m *Member) clientAddr() string { return m.front.clients[0].Addr().String() }

// dial connects to a member; the connection ends before the member does.
func dial(t *testing.T, m *Member) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(m.clientAddr(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}
