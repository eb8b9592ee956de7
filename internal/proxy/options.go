package proxy

import (
	"crypto/tls"
	"fmt"
	"math"
	"time"

	"bowline/internal/outpost"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/client/pkg/v3/tlsutil"
	"go.etcd.io/etcd/client/pkg/v3/transport"
)

// options are the flags of `etcd grpc-proxy start`.
type options struct {
	listen, metrics string
	endpoints       []string
	autoSync        time.Duration
	lookup          outpost.Lookup
	dataDir         string

	dialKeepAliveTime, dialKeepAliveTimeout time.Duration
	permitWithoutStream                     bool
	maxSend, maxRecv                        int

	// towards the cluster
	cert, key, ca string
	skipVerify    bool
	// towards clients
	certFile, keyFile, trustedCA, crl string
	cipherSuites                      []string
	autoTLS                           bool
	selfSignedYears                   uint
	tlsMin, tlsMax                    string

	advertise, resolverPrefix string
	resolverTTL               int
	namespace, leasing        string
	ordering                  bool

	pprof, logCalls, debug bool

	keepAliveMinTime, keepAliveInterval, keepAliveTimeout time.Duration
	maxStreams                                            uint32

	// queue bounds what waits for a client's watches; no flag sets it.
	queue bounds
}

// Command is `etcd grpc-proxy`.
func Command(env *outpost.Env) *cobra.Command {
	c := &cobra.Command{Use: "grpc-proxy <subcommand>", Short: "grpc-proxy related command"}
	c.AddCommand(startCommand(env))
	return c
}

// startCommand has the flags of etcd, with its words: scripts read its help.
func startCommand(env *outpost.Env) *cobra.Command {
	o := options{queue: bounds{maxQueuedResponses, maxQueuedBytes}}
	c := &cobra.Command{Use: "start", Short: "start the grpc proxy", Run: func(*cobra.Command, []string) { o.run(env) }}
	o.networkFlags(c)
	o.securityFlags(c)
	f := c.Flags()
	f.StringVar(&o.advertise, "advertise-client-url", "127.0.0.1:23790", "advertise address to register (must be reachable by client)")
	f.StringVar(&o.resolverPrefix, "resolver-prefix", "", "prefix to use for registering proxy (must be shared with other grpc-proxy members)")
	f.IntVar(&o.resolverTTL, "resolver-ttl", 0, "specify TTL, in seconds, when registering proxy endpoints")
	f.StringVar(&o.namespace, "namespace", "", "string to prefix to all keys for namespacing requests")
	f.BoolVar(&o.pprof, "enable-pprof", false, `Enable runtime profiling data via HTTP server. Address is at client URL + "/debug/pprof/"`)
	f.StringVar(&o.dataDir, "data-dir", "default.proxy", "Data directory for persistent data")
	f.BoolVar(&o.ordering, "experimental-serializable-ordering", false, "Ensure serializable reads have monotonically increasing store revisions across endpoints.")
	f.StringVar(&o.leasing, "experimental-leasing-prefix", "", "leasing metadata prefix for disconnected linearized reads.")
	f.BoolVar(&o.logCalls, "experimental-enable-grpc-logging", false, "logging all grpc requests and responses")
	f.BoolVar(&o.debug, "debug", false, "Enable debug-level logging for grpc-proxy.")
	return c
}

func (o *options) networkFlags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.listen, "listen-addr", "127.0.0.1:23790", "listen address")
	f.StringVar(&o.lookup.Domain, "discovery-srv", "", "domain name to query for SRV records describing cluster endpoints")
	f.StringVar(&o.lookup.Service, "discovery-srv-name", "", "service name to query when using DNS discovery")
	f.StringVar(&o.metrics, "metrics-addr", "", "listen for endpoint /metrics requests on an additional interface")
	f.BoolVar(&o.lookup.Insecure, "insecure-discovery", false, "accept insecure SRV records")
	f.StringSliceVar(&o.endpoints, "endpoints", []string{"127.0.0.1:2379"}, "comma separated etcd cluster endpoints")
	f.DurationVar(&o.autoSync, "endpoints-auto-sync-interval", 0, "etcd endpoints auto sync interval (disabled by default)")
	f.DurationVar(&o.dialKeepAliveTime, "dial-keepalive-time", 0, "keepalive time for client(grpc-proxy) connections (default 0, disable).")
	f.DurationVar(&o.dialKeepAliveTimeout, "dial-keepalive-timeout", 20*time.Second, "keepalive timeout for client(grpc-proxy) connections (default 20s).")
	f.BoolVar(&o.permitWithoutStream, "permit-without-stream", false, "Enable client(grpc-proxy) to send keepalive pings even with no active RPCs.")
	f.IntVar(&o.maxSend, "max-send-bytes", 1536<<10, "message send limits in bytes (default value is 1.5 MiB)")
	f.IntVar(&o.maxRecv, "max-recv-bytes", math.MaxInt32, "message receive limits in bytes (default value is math.MaxInt32)")
	f.DurationVar(&o.keepAliveMinTime, "grpc-keepalive-min-time", 5*time.Second, "Minimum interval duration that a client should wait before pinging proxy.")
	f.DurationVar(&o.keepAliveInterval, "grpc-keepalive-interval", 2*time.Hour, "Frequency duration of server-to-client ping to check if a connection is alive (0 to disable).")
	f.DurationVar(&o.keepAliveTimeout, "grpc-keepalive-timeout", 20*time.Second, "Additional duration of wait before closing a non-responsive connection (0 to disable).")
	f.Uint32Var(&o.maxStreams, "max-concurrent-streams", math.MaxUint32, "Maximum concurrent streams that each client can open at a time.")
}

func (o *options) securityFlags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.cert, "cert", "", "identify secure connections with etcd servers using this TLS certificate file")
	f.StringVar(&o.key, "key", "", "identify secure connections with etcd servers using this TLS key file")
	f.StringVar(&o.ca, "cacert", "", "verify certificates of TLS-enabled secure etcd servers using this CA bundle")
	f.BoolVar(&o.skipVerify, "insecure-skip-tls-verify", false,
		"skip authentication of etcd server TLS certificates (CAUTION: this option should be enabled only for testing purposes)")
	f.StringVar(&o.certFile, "cert-file", "", "identify secure connections to the proxy using this TLS certificate file")
	f.StringVar(&o.keyFile, "key-file", "", "identify secure connections to the proxy using this TLS key file")
	f.StringVar(&o.trustedCA, "trusted-ca-file", "", "verify certificates of TLS-enabled secure proxy using this CA bundle")
	f.StringSliceVar(&o.cipherSuites, "listen-cipher-suites", nil,
		"Comma-separated list of supported TLS cipher suites between client/proxy (empty will be auto-populated by Go).")
	f.BoolVar(&o.autoTLS, "auto-tls", false, "proxy TLS using generated certificates")
	f.StringVar(&o.crl, "client-crl-file", "", "proxy client certificate revocation list file.")
	f.UintVar(&o.selfSignedYears, "self-signed-cert-validity", 1, "The validity period of the proxy certificates, unit is year")
	f.StringVar(&o.tlsMin, "tls-min-version", string(tlsutil.TLSVersion12), "Minimum TLS version supported by grpc proxy. Possible values: TLS1.2, TLS1.3.")
	f.StringVar(&o.tlsMax, "tls-max-version", string(tlsutil.TLSVersionDefault),
		"Maximum TLS version supported by grpc proxy. Possible values: TLS1.2, TLS1.3 (empty defers to Go).")
}

// check refuses what does not go together.
func (o *options) check() error {
	switch {
	case o.resolverPrefix != "" && o.resolverTTL < 1:
		return fmt.Errorf("invalid resolver-ttl %d", o.resolverTTL)
	case o.resolverPrefix == "" && o.resolverTTL > 0:
		return fmt.Errorf("invalid resolver-prefix %q", o.resolverPrefix)
	case o.resolverPrefix != "" && o.advertise == "":
		return fmt.Errorf("invalid advertise-client-url %q", o.advertise)
	case o.autoTLS && o.selfSignedYears == 0:
		return fmt.Errorf("selfSignedCertValidity is invalid,it should be greater than 0")
	}
	least, err := tlsutil.GetTLSVersion(o.tlsMin)
	if err != nil {
		return fmt.Errorf("tls-min-version is invalid: %w", err)
	}
	most, err := tlsutil.GetTLSVersion(o.tlsMax)
	switch {
	case err != nil:
		return fmt.Errorf("tls-max-version is invalid: %w", err)
	case most != 0 && least > most:
		return fmt.Errorf("min version (%s) is greater than max version (%s)", o.tlsMin, o.tlsMax)
	case least == tls.VersionTLS13 && len(o.cipherSuites) > 0:
		return fmt.Errorf("cipher suites cannot be configured when only TLS1.3 is enabled")
	}
	_, err = tlsutil.GetCipherSuites(o.cipherSuites)
	return err
}

// tlsInfo is TLS by these files; nil if there are none. Towards a cluster the certificate must have no common name: it
// would be that of a user, whose rights all clients had.
func tlsInfo(ca, cert, key string, unnamed bool) *transport.TLSInfo {
	if ca == "" && cert == "" && key == "" {
		return nil
	}
	return &transport.TLSInfo{TrustedCAFile: ca, CertFile: cert, KeyFile: key, EmptyCN: unnamed && cert != ""}
}
