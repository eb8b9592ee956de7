package discovery

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"bowline/internal/config"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"
)

// maxAnswerBytes bounds an answer of the service.
const maxAnswerBytes = 2 << 20

// maxReconnect bounds the pause between attempts to connect to one endpoint; the
// pauses between our own attempts come on top.
const maxReconnect = 10 * time.Second

// dial prepares a connection to all endpoints. It does not wait for it.
func dial(cfg *config.Discovery) (*grpc.ClientConn, error) {
	secure, err := tlsOf(cfg)
	if err != nil {
		return nil, err
	}
	// As in etcd's client the first endpoint decides: one with a scheme outdoes the flags.
	switch first := cfg.Endpoints[0]; {
	case strings.HasPrefix(first, "https://") || strings.HasPrefix(first, "unixs:"):
		if secure == nil {
			secure = &tls.Config{MinVersion: tls.VersionTLS12}
		}
	case strings.HasPrefix(first, "http://") || strings.HasPrefix(first, "unix:"):
		secure = nil
	}
	creds := insecure.NewCredentials()
	if secure != nil {
		creds = credentials.NewTLS(secure)
	}
	var state resolver.State
	for _, endpoint := range cfg.Endpoints {
		address := addressOf(endpoint)
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			host = "localhost" // of a unix socket
		}
		state.Addresses = append(state.Addresses, resolver.Address{Addr: address, ServerName: host})
	}
	r := manual.NewBuilderWithScheme("discovery")
	r.InitialState(state)
	reconnect := backoff.DefaultConfig
	reconnect.MaxDelay = maxReconnect
	return grpc.NewClient(r.Scheme()+":///", grpc.WithResolvers(r), grpc.WithTransportCredentials(creds),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin": {}}]}`), grpc.WithContextDialer(connect),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect, MinConnectTimeout: cfg.DialTimeout}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: cfg.KeepAliveTime, Timeout: cfg.KeepAliveTimeout}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswerBytes)))
}

// addressOf is what is dialed for an endpoint: host:port, or unix: and a path.
func addressOf(endpoint string) string {
	for _, scheme := range []string{"http://", "https://"} {
		if rest, ok := strings.CutPrefix(endpoint, scheme); ok {
			return strings.TrimSuffix(rest, "/")
		}
	}
	for _, scheme := range []string{"unix:", "unixs:"} {
		if rest, ok := strings.CutPrefix(endpoint, scheme); ok {
			return "unix:" + strings.TrimPrefix(rest, "//")
		}
	}
	return endpoint
}

func connect(ctx context.Context, address string) (net.Conn, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", address)
}

// tlsOf is nil if the settings want no TLS.
func tlsOf(cfg *config.Discovery) (*tls.Config, error) {
	if cfg.CertFile == "" && cfg.KeyFile == "" && cfg.CAFile == "" && cfg.InsecureTransport && !cfg.InsecureSkipTLSVerify {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: cfg.InsecureSkipTLSVerify}
	if (cfg.CertFile == "") != (cfg.KeyFile == "") {
		return nil, fmt.Errorf("KeyFile and CertFile must both be present[key: %v, cert: %v]", cfg.KeyFile, cfg.CertFile)
	}
	if cfg.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(cfg.CertFile, cfg.KeyFile)
		if err != nil {
			return nil, err
		}
		c.Certificates = []tls.Certificate{pair}
	}
	if cfg.CAFile != "" {
		text, err := os.ReadFile(cfg.CAFile)
		if err != nil {
			return nil, err
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s holds no certificate", cfg.CAFile)
		}
	}
	return c, nil
}

// errUser says that the service does not know the user, or not with this password.
var errUser = errors.New("discovery: user or password is refused")

// authenticated adds a token to ctx if there is a user.
func (d *discovery) authenticated(ctx context.Context) (context.Context, error) {
	user, password := d.cfg.User, d.cfg.Password
	if before, after, ok := strings.Cut(user, ":"); ok && password == "" {
		user, password = before, after
	}
	if user == "" {
		return ctx, nil
	}
	limited, cancel := context.WithTimeout(ctx, d.cfg.RequestTimeout)
	defer cancel()
	r, err := pb.NewAuthClient(d.conn).Authenticate(limited, &pb.AuthenticateRequest{Name: user, Password: password})
	switch status.Code(err) {
	case codes.OK:
		return metadata.AppendToOutgoingContext(ctx, "token", r.Token), nil
	case codes.FailedPrecondition:
		return ctx, nil // the service has no access control, as etcd's client takes it
	case codes.InvalidArgument:
		return ctx, fmt.Errorf("%w (%s)", errUser, status.Convert(err).Message())
	}
	return ctx, err
}
