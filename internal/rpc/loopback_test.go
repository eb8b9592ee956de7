package rpc

import (
	"context"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/test/bufconn"
)

// TestCallersWithinTheProcess: who calls over a connection that stays in the process is
// told apart, and may say for whom.
func TestCallersWithinTheProcess(t *testing.T) {
	within := bufconn.Listen(1).Addr()
	outside := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 7), Port: 1234}
	forwarded := metadata.Pairs("x-forwarded-for", "6.6.6.6, 10.0.0.9")
	for name, c := range map[string]struct {
		addr net.Addr
		says metadata.MD
		want string
	}{
		"the gateway":          {within, forwarded, "10.0.0.9"},
		"a program around it":  {within, nil, "loopback"},
		"a client":             {outside, nil, "10.0.0.7:1234"},
		"a client that forges": {outside, forwarded, "10.0.0.7:1234"},
	} {
		ctx := metadata.NewIncomingContext(peer.NewContext(t.Context(), &peer.Peer{Addr: c.addr}), c.says)
		if got := remoteOf(ctx); got != c.want {
			t.Errorf("%s: called from %q, want %q", name, got, c.want)
		}
	}
	if got := remoteOf(context.Background()); got != "" {
		t.Errorf("nobody called from %q", got)
	}
}

// TestLoopbackIsRecognized by what a service sees of a call over it.
func TestLoopbackIsRecognized(t *testing.T) {
	seen := make(chan net.Addr, 1)
	server := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
		p, _ := peer.FromContext(s.Context())
		seen <- p.Addr
		return nil
	}))
	defer server.Stop()
	conn, err := loopback(server)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.NewStream(t.Context(), &grpc.StreamDesc{}, "/a.Service/Method"); err != nil {
		t.Fatal(err)
	}
	if a := <-seen; !isLoopback(a) {
		t.Errorf("a call came from %s %s", a.Network(), a)
	}
}
