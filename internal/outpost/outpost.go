package outpost

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"

	"go.etcd.io/etcd/client/pkg/v3/logutil"
	"go.etcd.io/etcd/client/pkg/v3/srv"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Env is what surrounds a program.
type Env struct {
	// Context ends when the program is asked to.
	Context        context.Context
	Stdout, Stderr io.Writer
	// Args is the whole command line.
	Args []string
	// Ready is called once clients are served.
	Ready func(*zap.Logger)
	// Exit is the code to exit with; the commands set it.
	Exit int
}

// Fail tells on standard error why the program cannot start.
func (e *Env) Fail(err error) {
	fmt.Fprintln(e.Stderr, err)
	e.Exit = 1
}

// Say tells on standard output why the program cannot start: some of etcd's reasons go there.
func (e *Env) Say(line string) {
	fmt.Fprint(e.Stdout, line)
	e.Exit = 1
}

// NewLogger is a log as etcd's proxies have it: JSON to standard error.
func NewLogger(level zapcore.Level) (*zap.Logger, error) {
	return logutil.CreateDefaultZapLogger(level)
}

// Lookup says where in DNS a cluster is found.
type Lookup struct {
	// Domain holds the records, and Service is added to the names of their services.
	Domain, Service string
	// Insecure takes the records as they are. Otherwise those are left whose endpoints have TLS and take connections.
	// Who they are is not looked at, as in etcd, although CAFile must be readable if it is said: that is for whoever
	// speaks TLS with them.
	Insecure bool
	CAFile   string
}

// Find returns the endpoints that a domain names and their records, in the same order; none if no
// domain is asked for.
func (l Lookup) Find(log *zap.Logger) (endpoints []string, records []*net.SRV, err error) {
	if l.Domain == "" {
		return nil, nil, nil
	}
	found, err := srv.GetClient("etcd-client", l.Domain, l.Service)
	if err != nil {
		return nil, nil, err
	}
	where, all := zap.String("srv-server", l.Domain), zap.Strings("endpoints", found.Endpoints)
	log.Info("discovered cluster from SRV", where, all)
	if l.Insecure {
		return found.Endpoints, found.SRVs, nil
	}
	log.Info("validating discovered SRV endpoints", where, all)
	good, err := transport.ValidateSecureEndpoints(transport.TLSInfo{TrustedCAFile: l.CAFile, ServerName: l.Domain}, found.Endpoints)
	if err != nil {
		log.Warn("failed to validate discovered endpoints", where, zap.Strings("endpoints", good), zap.Error(err))
	} else {
		log.Info("using validated discovered SRV endpoints", where, zap.Strings("endpoints", good))
	}
	endpoints, records = keep(found, good)
	return endpoints, records, nil
}

// keep leaves of what was found the good ones.
func keep(found *srv.SRVClients, good []string) (endpoints []string, records []*net.SRV) {
	isGood := make(map[string]bool, len(good))
	for _, endpoint := range good {
		isGood[endpoint] = true
	}
	for i, endpoint := range found.Endpoints {
		if isGood[endpoint] {
			endpoints, records = append(endpoints, endpoint), append(records, found.SRVs[i])
		}
	}
	return endpoints, records
}

// HostPort is an endpoint without what is before its host and behind its port.
func HostPort(endpoint string) string {
	if _, rest, ok := strings.Cut(endpoint, "://"); ok {
		rest, _, _ = strings.Cut(rest, "/")
		return rest
	}
	return endpoint
}
