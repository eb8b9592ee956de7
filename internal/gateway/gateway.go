package gateway

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	// defaultRetryDelay is what a delay of 0 stands for.
	defaultRetryDelay = 5 * time.Minute
	// dialTimeout is how long an endpoint may take to accept a connection.
	dialTimeout = 10 * time.Second
	// maxConnections is how many connections are passed on at once. More wait in the
	// listener's queue.
	maxConnections = 16384
	// acceptPause is how long nothing is accepted when the system has no room for more.
	acceptPause = 50 * time.Millisecond
)

// Config of a Gateway.
type Config struct {
	Endpoints []Endpoint
	// RetryDelay is after what time an endpoint that failed is tried again; 0 is five minutes.
	RetryDelay time.Duration
	// MaxConnections is how many connections are passed on at once; 0 means 16384.
	MaxConnections int
	Logger         *zap.Logger
}

// Gateway passes connections on.
type Gateway struct {
	cfg    Config
	pool   *pool
	places chan struct{} // one for each connection

	mu    sync.Mutex // guards conns
	conns map[net.Conn]struct{}
}

// New is a gateway that does nothing yet.
func New(cfg Config) *Gateway {
	if cfg.RetryDelay <= 0 {
		cfg.RetryDelay = defaultRetryDelay
	}
	if cfg.MaxConnections <= 0 {
		cfg.MaxConnections = maxConnections
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	return &Gateway{cfg: cfg, pool: newPool(cfg.Endpoints), places: make(chan struct{}, cfg.MaxConnections), conns: make(map[net.Conn]struct{})}
}

// Serve passes on what l accepts until ctx ends, which is no error, or l fails. It closes l and
// all connections.
func (g *Gateway) Serve(ctx context.Context, l net.Listener) error {
	var addrs []string
	for _, e := range g.cfg.Endpoints {
		addrs = append(addrs, e.Addr)
	}
	g.cfg.Logger.Info("ready to proxy client requests", zap.Strings("endpoints", addrs))
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { g.monitor(ctx) })
	stop := context.AfterFunc(ctx, func() { l.Close() })
	err := g.accept(ctx, l, &running)
	ended := ctx.Err() != nil
	cancel()
	if stop() {
		l.Close()
	}
	g.closeAll()
	running.Wait()
	if ended {
		return nil
	}
	return err
}

func (g *Gateway) accept(ctx context.Context, l net.Listener, running *sync.WaitGroup) error {
	for {
		select {
		case g.places <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		c, err := l.Accept()
		if err == nil {
			g.keep(c)
			running.Go(func() {
				defer func() { <-g.places }()
				g.pass(ctx, c)
			})
			continue
		}
		<-g.places
		var temporary interface{ Temporary() bool }
		if !errors.As(err, &temporary) || !temporary.Temporary() {
			return err
		}
		// Out of file descriptors, say: others may be closed meanwhile.
		select {
		case <-ctx.Done():
		case <-time.After(acceptPause):
		}
	}
}

// pass connects a client with an endpoint until both have said all they had to say.
func (g *Gateway) pass(ctx context.Context, client net.Conn) {
	defer g.drop(client)
	server := g.connect(ctx)
	if server == nil {
		return
	}
	g.keep(server)
	defer g.drop(server)
	if ctx.Err() != nil {
		return // the connections may have been closed before this one was kept
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		copyOneWay(client, server)
	}()
	copyOneWay(server, client)
	<-done
}

// copyOneWay copies until one side has said all, and tells the other so; if that cannot be, or
// after an error, both are closed, which ends the other way too.
func copyOneWay(to, from net.Conn) {
	_, err := io.Copy(to, from)
	half, ok := to.(interface{ CloseWrite() error })
	if err != nil || !ok || half.CloseWrite() != nil {
		to.Close()
		from.Close()
	}
}

// connect connects with an endpoint, taking those out of service with which that fails; nil if
// none is left.
func (g *Gateway) connect(ctx context.Context) net.Conn {
	for ctx.Err() == nil {
		i, ok := g.pool.pick()
		if !ok {
			return nil
		}
		c, err := dial(ctx, g.cfg.Endpoints[i].Addr)
		if err == nil {
			return c
		}
		if ctx.Err() == nil && g.pool.set(i, true) {
			g.cfg.Logger.Warn("deactivated endpoint", zap.String("address", g.cfg.Endpoints[i].Addr),
				zap.Duration("interval", g.cfg.RetryDelay), zap.Error(err))
		}
	}
	return nil
}

func dial(ctx context.Context, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout}
	return d.DialContext(ctx, "tcp", addr)
}

// monitor tries the endpoints that failed again and again.
func (g *Gateway) monitor(ctx context.Context) {
	tick := time.NewTicker(g.cfg.RetryDelay)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var tries sync.WaitGroup
		for _, i := range g.pool.failed() {
			tries.Go(func() { g.try(ctx, i) })
		}
		tries.Wait()
	}
}

func (g *Gateway) try(ctx context.Context, i int) {
	addr := zap.String("address", g.cfg.Endpoints[i].Addr)
	c, err := dial(ctx, g.cfg.Endpoints[i].Addr)
	switch {
	case err == nil:
		c.Close()
		g.pool.set(i, false)
		g.cfg.Logger.Info("activated", addr)
	case ctx.Err() == nil:
		g.cfg.Logger.Warn("failed to activate endpoint (stay inactive for another interval)", addr,
			zap.Duration("interval", g.cfg.RetryDelay), zap.Error(err))
	}
}

func (g *Gateway) keep(c net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.conns[c] = struct{}{}
}

func (g *Gateway) drop(c net.Conn) {
	c.Close()
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, c)
}

func (g *Gateway) closeAll() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.conns {
		c.Close()
	}
}
