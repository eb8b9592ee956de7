package httpapi

import (
	"context"
	"net/http"
	"strings"

	"bowline/internal/rpc/electionpb"
	"bowline/internal/rpc/lockpb"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"go.etcd.io/etcd/api/v3/etcdserverpb/gw"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
)

const (
	gatewayPath    = "/v3/"
	gatewayOldPath = "/v3beta/" // of etcd 3.3, whose scripts still run
)

// Gateway is API v3 as JSON: each call is a POST below /v3/, its request the body. Names
// are those of the .proto files, bytes are in base64, 64-bit numbers texts. Answers of
// streams are a line each. A WebSocket to any path makes the call with messages instead of lines.
type Gateway struct {
	// Named tells whether a request comes with a certificate whose name would count
	// if it came as gRPC. It does not count here, and who relies on it is told so.
	Named func(*http.Request) bool
	// MaxMessage bounds a message over a WebSocket, in bytes; 0 is the library's 32 KiB.
	MaxMessage int64
	calls      *runtime.ServeMux
}

// NewGateway returns a gateway that makes its calls over conn, until ctx ends.
func NewGateway(ctx context.Context, conn *grpc.ClientConn) (*Gateway, error) {
	calls := runtime.NewServeMux(runtime.WithMarshalerOption(runtime.MIMEWildcard, &runtime.HTTPBodyMarshaler{
		Marshaler: &runtime.JSONPb{
			MarshalOptions:   protojson.MarshalOptions{UseProtoNames: true},
			UnmarshalOptions: protojson.UnmarshalOptions{DiscardUnknown: true},
		},
	}))
	for _, register := range []func(context.Context, *runtime.ServeMux, *grpc.ClientConn) error{
		gw.RegisterKVHandler, gw.RegisterWatchHandler, gw.RegisterLeaseHandler, gw.RegisterClusterHandler,
		gw.RegisterMaintenanceHandler, gw.RegisterAuthHandler, lockpb.RegisterLockHandler, electionpb.RegisterElectionHandler,
	} {
		if err := register(ctx, calls, conn); err != nil {
			return nil, err
		}
	}
	return &Gateway{calls: calls}, nil
}

// Register adds the gateway to mux.
func (g *Gateway) Register(mux *http.ServeMux) {
	mux.Handle(gatewayPath, g)
	mux.HandleFunc(gatewayOldPath, func(w http.ResponseWriter, r *http.Request) {
		r = r.Clone(r.Context())
		r.URL.Path = gatewayPath + strings.TrimPrefix(r.URL.Path, gatewayOldPath)
		g.ServeHTTP(w, r)
	})
}

// ServeHTTP implements http.Handler.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if g.Named != nil && g.Named(r) {
		http.Error(w, "CommonName of client sending a request against gateway will be ignored and not used as expected", http.StatusBadRequest)
		return
	}
	if isUpgrade(r) {
		g.speak(w, r)
		return
	}
	g.calls.ServeHTTP(w, r)
}
