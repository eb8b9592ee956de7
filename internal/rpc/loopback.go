package rpc

import (
	"context"
	"math"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
)

// loopbackBytes is how much may be under way in each direction of a connection that
// stays in the process.
const loopbackBytes = 64 << 10

// Loopback returns a connection to the service that never leaves this process. Who
// calls over it has no certificate. It ends with the service, or when it is closed.
func (s *Service) Loopback() (*grpc.ClientConn, error) { return loopback(s.Server) }

func loopback(s *grpc.Server) (*grpc.ClientConn, error) {
	l := bufconn.Listen(loopbackBytes)
	dial := func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }
	conn, err := grpc.NewClient("passthrough:///loopback", grpc.WithContextDialer(dial),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(math.MaxInt32), grpc.MaxCallRecvMsgSize(math.MaxInt32)))
	if err != nil {
		return nil, err
	}
	go s.Serve(l) // which ends, without an error worth telling, when the service does
	return conn, nil
}

// isLoopback tells whether a caller's address is that of a connection of Loopback.
func isLoopback(a net.Addr) bool { return a.Network() == "bufconn" }
