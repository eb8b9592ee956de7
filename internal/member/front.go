package member

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"bowline/internal/httpapi"
	"bowline/internal/rpc"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// front is the listeners of a member and what serves on them.
type front struct {
	peers, clients, https, metrics []net.Listener
	servers, peerServers           []*http.Server
	serving, servingPeers          sync.WaitGroup
}

// bind binds all listeners; nothing is accepted yet.
func bind(cfg *Config) (*front, error) {
	f := new(front)
	for _, set := range []struct {
		urls []url.URL
		into *[]net.Listener
	}{
		{cfg.ListenPeerURLs, &f.peers}, {cfg.ListenClientURLs, &f.clients},
		{cfg.ListenHTTPURLs, &f.https}, {cfg.ListenMetricsURLs, &f.metrics},
	} {
		for _, u := range set.urls {
			l, err := listen(cfg, u)
			if err != nil {
				f.close(f.peers, f.clients, f.https, f.metrics)
				return nil, err
			}
			*set.into = append(*set.into, l)
		}
	}
	if err := f.limit(); err != nil {
		f.close(f.peers, f.clients, f.https, f.metrics)
		return nil, err
	}
	return f, nil
}

// limit bounds the connections of clients by the file descriptors there are. Where
// the system does not tell, there is no bound.
func (f *front) limit() error {
	descriptors, err := descriptorLimit()
	if err != nil {
		return nil
	}
	n, err := connectionLimit(descriptors)
	if err != nil {
		return err
	}
	limitConnections(f.clients, n)
	limitConnections(f.https, n)
	return nil
}

func listen(cfg *Config, u url.URL) (net.Listener, error) {
	switch u.Scheme {
	case "http":
		c := net.ListenConfig{Control: socketOptions(cfg), KeepAlive: tcpKeepAlive}
		return c.Listen(context.Background(), "tcp", u.Host)
	case "unix":
		path := filepath.Join(u.Host, u.Path)
		if u.Host == "" {
			path = u.Path
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		return net.Listen("unix", path)
	default:
		return nil, fmt.Errorf("cannot listen on %s: TLS is not built in this version", u.String())
	}
}

// tcpKeepAlive is how often an idle connection is probed.
const tcpKeepAlive = 30 * time.Second

// socketOptions sets SO_REUSEPORT and SO_REUSEADDR where asked.
func socketOptions(cfg *Config) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		set := func(fd uintptr, option int) {
			if err == nil {
				err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, option, 1)
			}
		}
		cerr := c.Control(func(fd uintptr) {
			if cfg.ReusePort {
				set(fd, unix.SO_REUSEPORT)
			}
			if cfg.ReuseAddress {
				set(fd, unix.SO_REUSEADDR)
			}
		})
		return errors.Join(cerr, err)
	}
}

// serveEarly begins to answer other members, without whom there is no agreement, and
// those who watch this member, since it may have to wait for agreement for long.
func (m *Member) serveEarly() {
	m.api = httpapi.New(probed{m}, requestTimeout(&m.cfg))
	m.calls = rpc.NewMetrics(m.cfg.ExtensiveMetrics)
	m.rpc = rpc.New(rpc.Config{
		Server: m.server, Watch: m.hub, Snapshot: m, Metrics: m.calls,
		MaxRequestBytes: m.cfg.MaxRequestBytes, MaxConcurrentStreams: m.cfg.MaxConcurrentStreams,
		ElectionTimeout:  m.cfg.electionTimeout(),
		KeepAliveMinTime: m.cfg.KeepAliveMinTime, KeepAliveInterval: m.cfg.KeepAliveInterval, KeepAliveTimeout: m.cfg.KeepAliveTimeout,
		SlowRequest: m.cfg.SlowRequest, SlowApply: m.cfg.SlowApply, Logger: m.log,
	})
	m.shown = metricsHandler(m.newRegistry(m.api, m.calls))
	for _, l := range m.front.metrics {
		m.front.goHTTP(m, l, metricsMux(m.api, m.shown))
	}
	f, handler := m.front, m.peerMux(m.api)
	for i, l := range f.peers {
		s := newHTTPServer(m, handler)
		f.peerServers = append(f.peerServers, s)
		f.goServe(m, &f.servingPeers, func() error { return s.Serve(l) })
		m.log.Info("now serving peer/client/metrics", zap.String("local-member-id", hex(m.id.memberID)),
			zap.String("listen-peer-url", m.cfg.ListenPeerURLs[i].String()))
	}
}

// serve begins to serve clients.
func (m *Member) serve() error {
	full := m.clientMux(m.api, m.shown)
	f := m.front
	for i, l := range f.clients {
		traffic := "grpc+http"
		if len(f.https) > 0 {
			traffic = "grpc"
			f.goServe(m, &f.serving, func() error { return m.rpc.Serve(l) })
		} else {
			grpcL, httpL := httpapi.Share(l)
			f.goServe(m, &f.serving, func() error { return m.rpc.Serve(grpcL) })
			f.goHTTP(m, httpL, full)
		}
		m.log.Info("ready to serve client requests")
		m.log.Info("serving client traffic insecurely; this is strongly discouraged!",
			zap.String("traffic", traffic), zap.String("address", addressOf(m.cfg.ListenClientURLs[i])))
	}
	for _, l := range f.https {
		f.goHTTP(m, l, full)
	}
	return nil
}

func addressOf(u url.URL) string {
	if u.Host != "" {
		return u.Host
	}
	return u.Path
}

func (f *front) goServe(m *Member, serving *sync.WaitGroup, serve func() error) {
	serving.Add(1)
	go func() {
		defer serving.Done()
		if err := serve(); err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, http.ErrServerClosed) {
			m.fail(fmt.Errorf("a listener failed: %w", err))
		}
	}()
}

// Limits of plain HTTP on our ports.
const (
	headerTimeout  = 30 * time.Second
	maxHeaderBytes = 1 << 20
)

func (f *front) goHTTP(m *Member, l net.Listener, h http.Handler) {
	s := newHTTPServer(m, h)
	f.servers = append(f.servers, s)
	f.goServe(m, &f.serving, func() error { return s.Serve(l) })
}

func newHTTPServer(m *Member, h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: headerTimeout, MaxHeaderBytes: maxHeaderBytes, ErrorLog: zap.NewStdLog(m.log)}
}

// stop ends serving clients: first gently, after patience by force.
func (f *front) stop(r *rpc.Service, patience time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	shutdown(ctx, f.servers)
	if r != nil {
		r.StopWithin(ctx)
	}
	f.close(f.clients, f.https, f.metrics)
	f.serving.Wait()
}

// stopPeers ends answering other members. The transport has ended its streams.
func (f *front) stopPeers(patience time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	shutdown(ctx, f.peerServers)
	f.close(f.peers)
	f.servingPeers.Wait()
}

func shutdown(ctx context.Context, servers []*http.Server) {
	for _, s := range servers {
		if err := s.Shutdown(ctx); err != nil {
			s.Close()
		}
	}
}

func (f *front) close(sets ...[]net.Listener) {
	for _, set := range sets {
		for _, l := range set {
			l.Close()
		}
	}
}
