package discovery

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"bowline/internal/config"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// guarded is a service that answers only those who have authenticated themselves.
type guarded struct {
	pb.UnimplementedAuthServer
	pb.UnimplementedKVServer
	entry string
}

func (g *guarded) Authenticate(_ context.Context, r *pb.AuthenticateRequest) (*pb.AuthenticateResponse, error) {
	if r.Name != "u" || r.Password != "p:w" {
		return nil, status.Error(codes.InvalidArgument, "etcdserver: authentication failed, invalid user ID or password")
	}
	return &pb.AuthenticateResponse{Token: "secret"}, nil
}

func (g *guarded) Range(ctx context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	if md, _ := metadata.FromIncomingContext(ctx); !slices.Equal(md.Get("token"), []string{"secret"}) {
		return nil, status.Error(codes.InvalidArgument, "etcdserver: user name is empty")
	}
	if r.RangeEnd == nil {
		return &pb.RangeResponse{Kvs: []*mvccpb.KeyValue{{Value: []byte("1")}}}, nil
	}
	return &pb.RangeResponse{Header: &pb.ResponseHeader{Revision: 1}, Kvs: []*mvccpb.KeyValue{
		{Key: []byte("/_etcd/registry/t/members/a"), Value: []byte(g.entry), CreateRevision: 1},
	}}, nil
}

func TestUserAndPassword(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	const entry = "me=http://127.0.0.1:2"
	g, s := &guarded{entry: entry}, grpc.NewServer()
	pb.RegisterAuthServer(s, g)
	pb.RegisterKVServer(s, g)
	go func() { _ = s.Serve(listener) }()
	defer s.Stop()
	stop := errors.New("stop")
	for _, c := range []struct {
		user, password string
		want           error
	}{
		{"u", "p:w", nil}, {"u:p:w", "", nil}, {"u", "x", errUser}, {"v:p:w", "", errUser}, {"", "", stop},
	} {
		got, err := Join(t.Context(), JoinConfig{
			Service: config.Discovery{Token: "t", Endpoints: []string{"unix://" + socket}, RequestTimeout: 5 * time.Second,
				DialTimeout: time.Second, InsecureTransport: true, User: c.user, Password: c.password},
			ID: 10, Entry: entry, Pause: func(context.Context, time.Duration) error { return stop },
		})
		if !errors.Is(err, c.want) || err == nil && got != entry {
			t.Errorf("%q %q: %q, %v, want %v", c.user, c.password, got, err, c.want)
		}
	}
}

func TestAddresses(t *testing.T) {
	for endpoint, want := range map[string]string{
		"a:1": "a:1", "http://a:1": "a:1", "https://a:1/": "a:1", "unix:///tmp/s": "unix:/tmp/s", "unix:s": "unix:s", "unixs:///s": "unix:/s",
	} {
		if got := addressOf(endpoint); got != want {
			t.Errorf("%s: %s, want %s", endpoint, got, want)
		}
	}
}

func TestTLSOfSettings(t *testing.T) {
	if c, err := tlsOf(&config.Discovery{InsecureTransport: true}); c != nil || err != nil {
		t.Errorf("plain: %v, %v", c, err)
	}
	if c, err := tlsOf(&config.Discovery{InsecureTransport: true, InsecureSkipTLSVerify: true}); err != nil || c == nil || !c.InsecureSkipVerify {
		t.Errorf("unverified: %v, %v", c, err)
	}
	if c, err := tlsOf(&config.Discovery{}); err != nil || c == nil || c.InsecureSkipVerify {
		t.Errorf("secure: %v, %v", c, err)
	}
	for _, cfg := range []config.Discovery{{CertFile: "x"}, {CertFile: "/no", KeyFile: "/no"}, {CAFile: "/no"}, {CAFile: "join_test.go"}} {
		if _, err := tlsOf(&cfg); err == nil {
			t.Errorf("%+v is taken", cfg)
		}
	}
}
