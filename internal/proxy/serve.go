package proxy

import (
	"context"
	"errors"
	"math"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"bowline/internal/httpapi"
	"bowline/internal/outpost"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
)

const (
	maxHeaderBytes = 64 << 10
	headerTimeout  = 30 * time.Second
	idleTimeout    = 5 * time.Minute
	// leastMessage is how long requests may be whatever the settings; gRPC's own default.
	leastMessage = 4 << 20
	// stopPatience is for how long calls under way may go on when the proxy stops, and stopPause how often they are
	// looked at.
	stopPatience = 5 * time.Second
	stopPause    = 20 * time.Millisecond
)

// run is the proxy's life.
func (o *options) run(env *outpost.Env) {
	err := o.check()
	if err != nil {
		env.Fail(err)
		return
	}
	level := zap.InfoLevel
	if o.debug {
		level = zap.DebugLevel
	}
	log, err := outpost.NewLogger(level)
	if err == nil {
		p := &proxy{options: o, log: log, figures: newFigures()}
		err = p.start(env.Context)
		if err == nil {
			log.Info("started gRPC proxy", zap.String("address", o.listen))
			env.Ready(log)
			err = p.wait(env.Context)
		}
		p.stop()
	}
	if err != nil && env.Context.Err() == nil {
		env.Fail(err)
	}
}

// proxy is all its parts.
type proxy struct {
	*options
	log     *zap.Logger
	figures *figures

	ctx     context.Context // of what runs beside calls
	cancel  context.CancelFunc
	client  *clientv3.Client
	self    *clientv3.Client
	unwrap  func()
	hub     *hub
	cache   *cache
	grpc    *grpc.Server
	https   []*http.Server
	unary   atomic.Int64 // calls under way
	serving sync.WaitGroup
	beside  sync.WaitGroup
	failed  chan error
	listens []net.Listener
}

func (p *proxy) start(ctx context.Context) error {
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.failed = make(chan error, 4)
	info, side, err := p.options.serving(p.log)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", p.listen)
	if err != nil {
		return err
	}
	p.listens = append(p.listens, l)
	p.log.Info("listening for gRPC proxy client requests", zap.String("address", p.listen))
	toCluster, err := p.clusterTLS(p.log)
	if err != nil {
		return err
	}
	if p.client, err = p.dialCluster(p.log, toCluster); err != nil {
		return err
	}
	if p.self, err = p.dialSelf(p.log, info); err != nil {
		return err
	}
	if err := p.build(ctx); err != nil {
		return err
	}
	metrics, err := p.listenMetrics(side, p.log)
	if err != nil {
		return err
	}
	w := &web{figures: p.figures, cluster: p.client, self: p.self, http: membersHTTP(toCluster), pprof: p.pprof, log: p.log}
	if p.pprof {
		p.log.Info("gRPC proxy enabled pprof", zap.String("path", "/debug/pprof"))
	}
	calls, requests := httpapi.Share(secure(l, side, p.log), p.maxStreams)
	p.serving.Go(func() { p.failed <- p.grpc.Serve(calls) })
	clients := p.server(w.mux(true))
	httpapi.SpeakBoth(clients)
	p.serving.Go(func() { p.failed <- clients.Serve(requests) })
	if metrics != nil {
		watchers := p.server(w.mux(false))
		p.log.Info("gRPC proxy server metrics URL serving")
		p.serving.Go(func() { p.failed <- watchers.Serve(metrics) })
	}
	return nil
}

func (p *proxy) server(h http.Handler) *http.Server {
	s := &http.Server{Handler: h, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: zap.NewStdLog(p.log.WithOptions(zap.IncreaseLevel(zap.WarnLevel)))}
	p.https = append(p.https, s)
	return s
}

// build makes the services.
func (p *proxy) build(ctx context.Context) error {
	conn, direct := p.client.ActiveConnection(), clientv3.RetryKVClient(p.client)
	through, unwrap, err := p.wrap(ctx, p.client, p.log)
	if err != nil {
		return err
	}
	p.unwrap = unwrap
	p.cache = newCache(p.figures)
	p.hub = newHub(p.ctx, pb.NewWatchClient(conn), direct, p.namespace, p.queue, p.cache, p.log)
	pass := &forwarder{conn}
	opts := []grpc.ServerOption{
		grpc.ForceServerCodecV2(codec{}), grpc.UnknownServiceHandler(pass.forward),
		grpc.UnaryInterceptor(p.watchUnary), grpc.StreamInterceptor(p.watchStream),
		grpc.MaxRecvMsgSize(max(leastMessage, p.maxSend)), grpc.MaxSendMsgSize(math.MaxInt32),
		grpc.MaxHeaderListSize(maxHeaderBytes), grpc.MaxConcurrentStreams(p.maxStreams), grpc.ConnectionTimeout(headerTimeout),
	}
	if p.keepAliveMinTime > 0 {
		opts = append(opts, grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: p.keepAliveMinTime}))
	}
	if p.keepAliveInterval > 0 || p.keepAliveTimeout > 0 {
		opts = append(opts, grpc.KeepaliveParams(keepalive.ServerParameters{Time: p.keepAliveInterval, Timeout: p.keepAliveTimeout}))
	}
	p.grpc = grpc.NewServer(opts...)
	_, changed := through.(wrapped)
	reads := []string{"Range", "Put", "DeleteRange", "Txn", "Compact"}
	if changed {
		reads = append(reads, "RangeStream")
	}
	p.grpc.RegisterService(only(pb.KV_ServiceDesc, reads...), &kv{store: through, cache: p.cache})
	pb.RegisterWatchServer(p.grpc, watches{hub: p.hub})
	own := []string{"LeaseKeepAlive"}
	if p.namespace != "" {
		own = append(own, "LeaseTimeToLive")
	}
	lessor := pb.NewLeaseClient(conn)
	p.grpc.RegisterService(only(pb.Lease_ServiceDesc, own...),
		&leases{keepers: newKeepers(p.ctx, lessor), client: lessor, prefix: []byte(p.namespace)})
	if p.advertise != "" {
		c := &cluster{client: p.client, advertise: p.advertise, prefix: p.resolverPrefix, ttl: p.resolverTTL, log: p.log}
		p.grpc.RegisterService(only(pb.Cluster_ServiceDesc, "MemberList"), c)
		if p.resolverPrefix != "" {
			p.beside.Go(func() { c.register(p.ctx) })
			p.beside.Go(func() { c.follow(p.ctx) })
		}
	}
	return nil
}

// only leaves of a service the calls that the proxy serves itself. All others are passed on.
func only(desc grpc.ServiceDesc, names ...string) *grpc.ServiceDesc {
	wanted := make(map[string]bool)
	for _, name := range names {
		wanted[name] = true
	}
	var methods []grpc.MethodDesc
	for _, m := range desc.Methods {
		if wanted[m.MethodName] {
			methods = append(methods, m)
		}
	}
	var streams []grpc.StreamDesc
	for _, s := range desc.Streams {
		if wanted[s.StreamName] {
			streams = append(streams, s)
		}
	}
	desc.Methods, desc.Streams = methods, streams
	return &desc
}

// watches is the Watch service.
type watches struct {
	pb.UnsafeWatchServer
	hub *hub
}

func (w watches) Watch(stream pb.Watch_WatchServer) error { return w.hub.serveWatch(stream) }

// wait waits until the proxy is asked to end, or cannot go on.
func (p *proxy) wait(ctx context.Context) error {
	select {
	case err := <-p.failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

// stop ends what start has begun, in the opposite order. Calls under way may go on for a moment, streams are cut.
func (p *proxy) stop() {
	if p.grpc != nil {
		p.stopCalls()
	}
	for _, s := range p.https {
		_ = s.Close() // closes its listener, which others have closed too
	}
	for _, l := range p.listens {
		l.Close()
	}
	if len(p.listens) > 0 {
		p.log.Info("stop listening gRPC proxy client requests", zap.String("address", p.listen))
	}
	p.serving.Wait()
	p.cancel()
	if p.hub != nil {
		p.hub.wait()
	}
	// Its place in the register is given back, if the cluster can be reached.
	ended := make(chan struct{})
	go func() {
		p.beside.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(stopPatience):
	}
	if p.unwrap != nil {
		p.unwrap()
	}
	for _, c := range []*clientv3.Client{p.self, p.client} {
		if c != nil {
			_ = c.Close()
		}
	}
	<-ended
}

func (p *proxy) stopCalls() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.grpc.GracefulStop()
	}()
	p.hub.expel(status.Error(codes.Unavailable, "etcdserver: server stopped"))
	tick := time.NewTicker(stopPause)
	defer tick.Stop()
	for idle, end := 0, time.Now().Add(stopPatience); idle < 5 && time.Now().Before(end); {
		select {
		case <-done:
			return
		case <-tick.C:
			if idle++; p.unary.Load() > 0 {
				idle = 0
			}
		}
	}
	p.grpc.Stop()
	<-done
}

// watchUnary counts calls that the proxy serves itself, and shows them to the log if that was asked for.
func (p *proxy) watchUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	p.unary.Add(1)
	defer p.unary.Add(-1)
	c := p.figures.begin(info.FullMethod)
	c.message(true)
	witness := p.witness(ctx, info.FullMethod)
	witness.see(true, req, nil)
	resp, err := handler(ctx, req)
	c.end(err)
	c.message(false)
	witness.see(false, resp, err)
	return resp, err
}

// watchStream does so for streams, and for calls that are passed on.
func (p *proxy) watchStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	c := p.figures.begin(info.FullMethod)
	if c != nil && c.kind == "unary" {
		p.unary.Add(1)
		defer p.unary.Add(-1)
	}
	err := handler(srv, &observed{ServerStream: stream, counted: c, witness: p.witness(stream.Context(), info.FullMethod)})
	if _, ok := status.FromError(err); !ok && errors.Is(err, context.Canceled) {
		err = status.Error(codes.Canceled, err.Error())
	}
	c.end(err)
	if changesMuch(info.FullMethod) {
		p.cache.clear()
	}
	return err
}

// changesMuch tells whether a call that is passed on may change keys, or who may read them.
func changesMuch(path string) bool {
	for _, calls := range []string{"/etcdserverpb.Lease/LeaseRevoke", "/etcdserverpb.Auth/", "/v3lockpb.Lock/", "/v3electionpb.Election/"} {
		if strings.HasPrefix(path, calls) {
			return true
		}
	}
	return false
}
