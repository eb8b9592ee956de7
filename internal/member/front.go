package member

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"bowline/internal/certs"
	"bowline/internal/httpapi"
	"bowline/internal/httpapi/v2http"
	"bowline/internal/rpc"

	"go.uber.org/zap"
)

// front is the listeners of a member and what serves on them.
type front struct {
	peers, clients, https, metrics []*port
	servers, peerServers           []*http.Server
	serving, servingPeers          sync.WaitGroup
	handshakes                     int // how many may be under way at a port of clients
}

// bind binds all listeners; nothing is accepted yet.
func bind(cfg *Config) (*front, error) {
	f := new(front)
	for _, set := range []struct {
		urls []url.URL
		into *[]*port
	}{
		{cfg.ListenPeerURLs, &f.peers}, {cfg.ListenClientURLs, &f.clients},
		{cfg.ListenHTTPURLs, &f.https}, {cfg.ListenMetricsURLs, &f.metrics},
	} {
		var err error
		if *set.into, err = openPorts(cfg, set.urls); err != nil {
			f.close(f.peers, f.clients, f.https, f.metrics)
			return nil, err
		}
	}
	warnOfPlain(cfg.Logger, "peer", cfg.ListenPeerURLs, &cfg.PeerTLS)
	warnOfPlain(cfg.Logger, "client", slices.Concat(cfg.ListenClientURLs, cfg.ListenHTTPURLs), &cfg.ClientTLS)
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
	limitConnections(slices.Concat(f.clients, f.https), n)
	// Handshakes that nobody finishes leave most connections to those who do.
	f.handshakes = max(1, min(certs.MaxHandshakes, n/4))
	return nil
}

// serveEarly begins to answer other members, without whom there is no agreement, and
// those who watch this member, since it may have to wait for agreement for long.
func (m *Member) serveEarly() {
	m.api = httpapi.New(probed{m}, requestTimeout(&m.cfg))
	m.api.Former = m.cfg.FormerAnswers
	m.calls = rpc.NewMetrics(m.cfg.ExtensiveMetrics)
	m.rpc = rpc.New(m.traced(rpc.Config{
		Server: m.server, Watch: m.hub, Snapshot: m, Metrics: m.calls,
		MaxRequestBytes: m.cfg.MaxRequestBytes, MaxConcurrentStreams: m.cfg.MaxConcurrentStreams,
		ElectionTimeout:  m.cfg.electionTimeout(),
		KeepAliveMinTime: m.cfg.KeepAliveMinTime, KeepAliveInterval: m.cfg.KeepAliveInterval, KeepAliveTimeout: m.cfg.KeepAliveTimeout,
		RevokeWatches: m.cfg.RevokeWatches, Costs: m.costs, Audit: m.audit,
		Register: m.cfg.Services, Options: m.cfg.GRPCOptions, SlowRequest: m.cfg.SlowRequest, SlowApply: m.cfg.SlowApply, Logger: m.log,
	}))
	registry := m.newRegistry(m.api, m.calls)
	m.shown, m.registry = metricsHandler(registry), registry
	m.openRecent()
	for _, p := range m.front.metrics {
		p.secure(m.sides.clients, m.log, clientRejected, m.front.handshakes, alpnHTTP2, alpnHTTP1)
		m.front.goHTTP(m, p, newHTTPServer(m, m.cfg.clientBounds().Wrap(metricsMux(m.api, m.shown))))
		m.log.Info("serving metrics", zap.String("address", p.url))
	}
	f, handler := m.front, m.peerMux(m.api)
	for _, p := range f.peers {
		p.secure(m.sides.peers, m.log, peerRejected, 0, alpnHTTP1)
		s := newHTTPServer(m, handler)
		f.peerServers = append(f.peerServers, s)
		f.goServe(m, &f.servingPeers, func() error { return s.Serve(p) })
		m.log.Info("serving peer traffic", zap.String("address", p.url))
	}
	m.tellServing()
	if m.cfg.Begun != nil {
		m.cfg.Begun(m)
	}
}

// serve begins to serve clients.
func (m *Member) serve() error {
	mux, err := m.clientMux(m.api, m.shown)
	if err != nil {
		return err
	}
	full := m.cfg.clientBounds().Wrap(mux)
	f := m.front
	for _, p := range f.clients {
		traffic := "grpc+http"
		if len(f.https) > 0 {
			traffic = "grpc"
			p.secure(m.sides.clients, m.log, clientRejected, f.handshakes, alpnHTTP2)
			f.goServe(m, &f.serving, func() error { return m.rpc.Serve(p) })
		} else {
			p.secure(m.sides.clients, m.log, clientRejected, f.handshakes, alpnHTTP2, alpnHTTP1)
			grpcL, httpL := httpapi.Share(p, m.cfg.MaxConcurrentStreams)
			f.goServe(m, &f.serving, func() error { return m.rpc.Serve(grpcL) })
			s := newHTTPServer(m, full)
			httpapi.SpeakBoth(s)
			f.goHTTP(m, httpL, s)
		}
		m.logServing(p, traffic)
	}
	for _, p := range f.https {
		p.secure(m.sides.clients, m.log, clientRejected, f.handshakes, alpnHTTP2, alpnHTTP1)
		f.goHTTP(m, p, newHTTPServer(m, full))
		m.logServing(p, "http")
	}
	return nil
}

func (m *Member) logServing(p *port, traffic string) {
	m.log.Info("ready to serve client requests")
	fields := []zap.Field{zap.String("traffic", traffic), zap.String("address", p.address)}
	if p.plain {
		m.log.Info("serving client traffic insecurely; this is strongly discouraged!", fields...)
	}
	if p.tls {
		m.log.Info("serving client traffic securely", fields...)
	}
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

// Limits of HTTP on our ports.
const (
	headerTimeout = 30 * time.Second // a request's head
	bodyTimeout   = 30 * time.Second // a body
	readerTimeout = 30 * time.Second // a write of an answer
	idleTimeout   = 5 * time.Minute
	// maxHeaderBytes bounds a head. Tokens are some hundred bytes.
	maxHeaderBytes = 64 << 10
)

// clientBounds are those of requests of clients. In JSON a request takes more room.
func (c *Config) clientBounds() httpapi.Bounds {
	body := 2 * int64(c.MaxRequestBytes+rpc.MessageOverhead)
	if c.EnableV2 {
		body = max(body, v2http.MaxBody)
	}
	return httpapi.Bounds{Body: body, Arrival: bodyTimeout, Departure: readerTimeout}
}

func (f *front) goHTTP(m *Member, l net.Listener, s *http.Server) {
	f.servers = append(f.servers, s)
	f.goServe(m, &f.serving, func() error { return s.Serve(l) })
}

func newHTTPServer(m *Member, h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: zap.NewStdLog(m.log)}
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

func (f *front) close(sets ...[]*port) {
	for _, p := range slices.Concat(sets...) {
		p.Close()
	}
}
