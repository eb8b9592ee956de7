package rpc

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"bowline/internal/admission"
	"bowline/internal/audit"
	"bowline/internal/rpc/electionpb"
	"bowline/internal/rpc/lockpb"
	"bowline/internal/server"
	"bowline/internal/watch"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/stats"
)

// Config of the gRPC server.
type Config struct {
	Server   *server.Server
	Watch    *watch.Hub
	Snapshot Snapshotter
	Metrics  *Metrics
	// MaxRequestBytes bounds a proposal; a received message may be a little longer.
	MaxRequestBytes      int
	MaxConcurrentStreams uint32
	// ElectionTimeout is the pace at which streams that require a leader look for
	// one.
	ElectionTimeout time.Duration
	// KeepAliveMinTime is the shortest interval at which clients may ping;
	// KeepAliveInterval and KeepAliveTimeout are the server's own pings.
	KeepAliveMinTime, KeepAliveInterval, KeepAliveTimeout time.Duration
	// RevokeWatches ends running watches whose user has lost the right to them.
	RevokeWatches bool
	// Costs limits what users may ask, and Audit writes down what they do; both may be nil.
	Costs *admission.Costs
	Audit *audit.Log
	// Register adds services that are not the member's own. Their calls are for whoever makes them: what they may is
	// for the services to say. It may be nil.
	Register func(*grpc.Server)
	// Options are a program's own. Credentials, codec and interceptors remain the member's: the program's interceptors
	// are chained behind it. A second UnaryInterceptor or StreamInterceptor panics, as gRPC has it.
	Options []grpc.ServerOption
	// SlowRequest is from when a unary call, SlowApply from when the work of a read
	// is worth a warning.
	SlowRequest, SlowApply time.Duration
	// Calls, if not nil, makes spans of calls, and Tracer of what they consist of.
	Calls  stats.Handler
	Tracer trace.Tracer
	Logger *zap.Logger
}

// MessageOverhead is how much longer than a proposal a received message may be.
const MessageOverhead = 512 << 10

// maxHeaderBytes bounds the headers of a call, and handshakeTimeout how long a connection
// may take until the first.
const (
	maxHeaderBytes   = 64 << 10
	handshakeTimeout = 30 * time.Second
)

// streamWorkers is how many goroutines serve calls one after another. A call that
// finds none free gets a goroutine of its own, whose stack has yet to grow: that
// is what the workers save.
const streamWorkers = 128

// Service is the set of gRPC services of a member.
type Service struct {
	*grpc.Server
	health *health.Server
	// unary is the number of unary calls under way.
	unary *atomic.Int64
}

// New registers all services. The caller serves listeners and stops it. Connections
// with TLS come from a listener that has made the handshake: calls over them have
// credentials.TLSInfo, with the verified certificates, as their peer's AuthInfo.
func New(c Config) *Service {
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	m := &member{Config: c}
	opts := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(c.MaxRequestBytes + MessageOverhead),
		grpc.MaxSendMsgSize(math.MaxInt32),
		grpc.MaxHeaderListSize(maxHeaderBytes),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.MaxConcurrentStreams(c.MaxConcurrentStreams),
		grpc.NumStreamWorkers(streamWorkers),
	}
	if c.KeepAliveMinTime > 0 {
		opts = append(opts, grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: c.KeepAliveMinTime}))
	}
	if c.KeepAliveInterval > 0 && c.KeepAliveTimeout > 0 {
		opts = append(opts, grpc.KeepaliveParams(keepalive.ServerParameters{Time: c.KeepAliveInterval, Timeout: c.KeepAliveTimeout}))
	}
	if c.Calls != nil {
		opts = append(opts, grpc.StatsHandler(c.Calls))
	}
	opts = append(opts, c.Options...)
	opts = append(opts,
		grpc.Creds(shaken{}),
		grpc.ForceServerCodecV2(codec{&c.Metrics.receivedBytes, &c.Metrics.sentBytes}),
		grpc.UnaryInterceptor(m.unary),
		grpc.StreamInterceptor(m.stream),
	)
	s := &Service{Server: grpc.NewServer(opts...), health: health.NewServer(), unary: &m.calls}
	s.RegisterService(kvDesc(), c.Server)
	s.RegisterService(watchDesc(), m)
	pb.RegisterLeaseServer(s, &leases{server: c.Server})
	pb.RegisterClusterServer(s, &clusterService{server: c.Server})
	pb.RegisterMaintenanceServer(s, &maintenance{server: c.Server, snapshot: c.Snapshot, log: c.Logger})
	pb.RegisterAuthServer(s, &auth{server: c.Server})
	lockpb.RegisterLockServer(s, &lockService{queue: queue{c.Server, c.Watch}})
	electionpb.RegisterElectionServer(s, &electionService{queue: queue{c.Server, c.Watch}})
	s.health.SetServingStatus("", healthpb.HealthCheckResponse_SERVING)
	healthpb.RegisterHealthServer(s, s.health)
	c.Metrics.register(s.Server)
	if c.Register != nil {
		m.addForeign(s.Server)
	}
	return s
}

// member is what the interceptors and the watch service know of the member.
type member struct {
	Config
	foreign map[string]bool // services that Register has added
	calls   atomic.Int64    // unary ones under way
}

// addForeign has services registered that are not the member's own.
func (m *member) addForeign(s *grpc.Server) {
	own := s.GetServiceInfo()
	m.Register(s)
	m.foreign = make(map[string]bool)
	for name := range s.GetServiceInfo() {
		if _, ours := own[name]; !ours {
			m.foreign[name] = true
		}
	}
}

func (m *member) NewWatchStream() *watch.Stream { return m.Watch.NewStream() }

func (m *member) MayWatch(ctx context.Context, req *pb.WatchCreateRequest) error {
	return m.Server.MayWatch(ctx, req)
}

func (m *member) HeaderIDs() (clusterID, memberID, raftTerm uint64) {
	h := m.Server.Header(0)
	return h.ClusterID, h.MemberID, h.RaftTerm
}

// WatchLeader returns a context for a stream's work. If the client requires a
// leader it ends, with the error as its cause, when none has been seen for three
// election timeouts.
func (m *member) WatchLeader(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if requiresLeader(ctx) {
		go m.cutWithoutLeader(ctx, cancel)
	}
	return ctx, cancel
}

func (m *member) cutWithoutLeader(ctx context.Context, cancel context.CancelCauseFunc) {
	const patience = 3
	t := time.NewTicker(m.ElectionTimeout)
	defer t.Stop()
	missed := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if m.Server.HasLeader() {
			missed = 0
		} else if missed++; missed >= patience {
			cancel(server.ErrNoLeader)
			return
		}
	}
}

// StopWithin stops serving: no new calls are taken, and unary ones under way may
// finish until ctx ends. Streams never finish by themselves, so they are cut off
// as soon as no unary call is left.
func (s *Service) StopWithin(ctx context.Context) {
	s.health.Shutdown()
	done := make(chan struct{})
	go func() {
		s.GracefulStop()
		close(done)
	}()
	t := time.NewTicker(idleCheck)
	defer t.Stop()
	for idle := 0; idle < idleChecks; {
		select {
		case <-done:
			return
		case <-ctx.Done():
			idle = idleChecks
		case <-t.C:
			if idle++; s.unary.Load() > 0 {
				idle = 0
			}
		}
	}
	s.Stop()
	<-done
}

// A stopping server is idle when it was found without unary calls this often at
// this interval: clients need a moment to hear that it goes away.
const (
	idleCheck  = 20 * time.Millisecond
	idleChecks = 5
)
