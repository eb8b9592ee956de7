package ctl

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc/grpclog"

	"bowline/internal/cli"
)

// session is what a command has once its settings are known: the printer, the
// configuration of clients and, after connect, a client.
type session struct {
	*clientv3.Client
	*cli.Printer

	env *Env
	cfg clientv3.Config
}

// connect applies the environment and makes the client that most commands need.
// The variables in known belong to the command itself.
func (env *Env) connect(ctx context.Context, known ...string) (*session, error) {
	s, err := env.prepare(ctx, known...)
	if err != nil {
		return nil, err
	}
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// open makes the session's client, for all endpoints.
func (s *session) open(ctx context.Context) (err error) {
	for i, ep := range s.cfg.Endpoints {
		s.cfg.Endpoints[i] = strings.TrimSpace(ep)
	}
	s.Client, err = s.dial(ctx, s.cfg)
	return err
}

// prepare applies the environment and checks all settings, without a client.
func (env *Env) prepare(ctx context.Context, known ...string) (*session, error) {
	lg := newLogger(env.Err, env.clientLogLevel())
	if err := env.applyEnvironment(lg, known...); err != nil {
		return nil, err
	}
	g := &env.globals
	if g.debug {
		env.startDebug()
	}
	format, err := cli.ParseFormat(g.writeOut)
	if err != nil {
		return nil, err
	}
	s := &session{
		Printer: &cli.Printer{Out: env.Out, Format: format, Hex: g.hex},
		env:     env,
	}
	endpoints, serverName, err := env.endpoints(ctx)
	if err != nil {
		return nil, err
	}
	secure, err := env.secureConfig(serverName)
	if err != nil {
		return nil, err
	}
	auth, err := env.authConfig()
	if err != nil {
		return nil, err
	}
	cfg, err := clientv3.NewClientConfig(&clientv3.ConfigSpec{
		Endpoints:          endpoints,
		DialTimeout:        g.dialTimeout,
		KeepAliveTime:      g.keepAliveTime,
		KeepAliveTimeout:   g.keepAliveWait,
		MaxCallSendMsgSize: g.maxRequestBytes,
		MaxCallRecvMsgSize: g.maxRecvBytes,
		Secure:             secure,
		Auth:               auth,
	}, lg)
	if err != nil {
		return nil, cli.Exit(cli.ExitBadArgs, err)
	}
	s.cfg = *cfg
	if s.cfg.TLS != nil && serverName != "" && !g.insecureSkip {
		s.cfg.TLS.VerifyConnection = certifiedFor(serverName)
	}
	s.cfg.Logger = env.untilInterrupted(lg).Named("etcd-client")
	return s, nil
}

// certifiedFor wants certificates that are good for a domain. Names of hosts come from DNS, where whoever can change
// its answers names hosts of his own, with certificates of theirs; and gRPC asks for the name of the host alone,
// whatever the configuration says.
func certifiedFor(domain string) func(tls.ConnectionState) error {
	return func(c tls.ConnectionState) error { return c.PeerCertificates[0].VerifyHostname(domain) }
}

// dial makes a client; that it fails, by a refused login above all, has an exit
// code of its own.
func (s *session) dial(ctx context.Context, cfg clientv3.Config) (*clientv3.Client, error) {
	cfg.Context = ctx
	client, err := s.env.Dial(cfg)
	if err != nil {
		return nil, cli.Exit(cli.ExitBadConnection, err)
	}
	return client, nil
}

// dialEndpoint makes a client for one endpoint.
func (s *session) dialEndpoint(ctx context.Context, endpoint string) (*clientv3.Client, error) {
	cfg := s.cfg
	cfg.Endpoints = []string{endpoint}
	return s.dial(ctx, cfg)
}

// dialQuietly makes a client for one endpoint that may well be down: what goes
// wrong is not logged, the caller tells it if it matters.
func (s *session) dialQuietly(ctx context.Context, endpoint string) (*clientv3.Client, error) {
	cfg := s.cfg
	cfg.Endpoints = []string{endpoint}
	cfg.Logger = zap.NewNop()
	return s.dial(ctx, cfg)
}

// Close releases the client, if there is one.
func (s *session) Close() {
	if s.Client != nil {
		s.Client.Close()
	}
}

// limit bounds a short command by --command-timeout. Commands that wait for
// other people do without it.
func (s *session) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.env.globals.commandTimeout)
}

// startDebug writes the settings in force and turns on the log of gRPC.
func (env *Env) startDebug() {
	env.flags.VisitAll(func(f *pflag.Flag) { fmt.Fprintf(env.Err, "%s=%v\n", envName(f.Name), f.Value) })
	grpclog.SetLoggerV2(grpclog.NewLoggerV2WithVerbosity(env.Err, env.Err, env.Err, 4))
}

// endpoints returns the endpoints, and the name that their certificates must
// have if discovery decides it.
func (env *Env) endpoints(ctx context.Context) (endpoints []string, serverName string, err error) {
	g := &env.globals
	if g.discoverySRV == "" {
		return slices.Clone(g.endpoints), "", nil
	}
	found, err := env.discover(ctx)
	if err != nil {
		return nil, "", err
	}
	if g.insecureDiscovery {
		return found, "", nil
	}
	for _, ep := range found {
		if strings.HasPrefix(ep, "http://") {
			fmt.Fprintf(env.Err, "ignoring discovered insecure endpoint %q\n", ep)
			continue
		}
		endpoints = append(endpoints, ep)
	}
	return endpoints, g.discoverySRV, nil
}

// discover resolves --discovery-srv: first the records of endpoints with TLS,
// then those without. It fails only when neither can be had.
func (env *Env) discover(ctx context.Context) ([]string, error) {
	var endpoints []string
	lookup := func(service, scheme string) error {
		if name := env.globals.discoveryName; name != "" {
			service += "-" + name
		}
		_, records, err := env.LookupSRV(ctx, service, "tcp", env.globals.discoverySRV)
		for _, r := range records {
			host := strings.TrimSuffix(r.Target, ".")
			endpoints = append(endpoints, scheme+"://"+net.JoinHostPort(host, fmt.Sprint(r.Port)))
		}
		return err
	}
	errTLS := lookup("etcd-client-ssl", "https")
	errPlain := lookup("etcd-client", "http")
	if errTLS != nil && errPlain != nil {
		return nil, fmt.Errorf("dns lookup errors: %w and %w", errTLS, errPlain)
	}
	return endpoints, nil
}

// secureConfig collects the TLS flags. One that is given without a value is
// more likely an unset shell variable than a wish.
func (env *Env) secureConfig(serverName string) (*clientv3.SecureConfig, error) {
	g := &env.globals
	for _, name := range []string{"cert", "key", "cacert"} {
		if f := env.flags.Lookup(name); f.Changed && f.Value.String() == "" {
			return nil, cli.BadArgs("empty string is passed to --%s option", name)
		}
	}
	return &clientv3.SecureConfig{
		Cert:               g.cert,
		Key:                g.key,
		Cacert:             g.caCert,
		ServerName:         serverName,
		InsecureTransport:  g.insecureTransport,
		InsecureSkipVerify: g.insecureSkip,
	}, nil
}

// authConfig finds out who we are, and asks for the password if nobody gave it.
func (env *Env) authConfig() (*clientv3.AuthConfig, error) {
	g := &env.globals
	switch {
	case g.token != "":
		return &clientv3.AuthConfig{Token: g.token}, nil
	case g.user == "":
		return nil, nil
	}
	name, password, err := env.credentials(g.user, g.password, "Password: ")
	if err != nil {
		return nil, err
	}
	return &clientv3.AuthConfig{Username: name, Password: password}, nil
}

// credentials splits name[:password]; a separate password leaves the name whole.
func (env *Env) credentials(user, password, prompt string) (string, string, error) {
	if password != "" {
		return user, password, nil
	}
	if name, password, found := strings.Cut(user, ":"); found {
		return name, password, nil
	}
	password, err := env.readPassword(prompt)
	return user, password, err
}
