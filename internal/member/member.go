package member

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"bowline/internal/admission"
	"bowline/internal/archive"
	"bowline/internal/audit"
	"bowline/internal/auth"
	"bowline/internal/console"
	"bowline/internal/engine"
	"bowline/internal/fsm"
	"bowline/internal/httpapi"
	"bowline/internal/lease"
	"bowline/internal/mvcc"
	"bowline/internal/node"
	"bowline/internal/recent"
	"bowline/internal/reclaim"
	"bowline/internal/rpc"
	"bowline/internal/server"
	"bowline/internal/tracing"
	"bowline/internal/transport"
	"bowline/internal/wal"
	"bowline/internal/watch"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

// Member is a running member.
type Member struct {
	cfg Config
	log *zap.Logger
	id  identity

	dir    *dataDir
	engine *engine.Engine
	fsm    *fsm.FSM
	wal    *wal.Log
	node   *node.Node
	hub    *watch.Hub
	server *server.Server
	tokens auth.Tokens
	rpc    *rpc.Service
	// gateway is the connection of the JSON gateway and the console to rpc; nil if there
	// is neither.
	gateway *grpc.ClientConn
	console *console.Console
	front   *front
	api     *httpapi.API
	calls   *rpc.Metrics // of clients' calls
	shown   http.Handler // the metrics
	// registry has the figures that are shown, and recent what was asked lately; recent is
	// nil without a console.
	registry prometheus.Gatherer
	recent   *recent.Requests

	memory    *admission.Memory // nil if it is not watched
	costs     *admission.Costs  // nil if there is no limit
	audit     *audit.Log        // nil if there is none
	spans     *tracing.Spans    // nil if nothing is traced
	sides     sides
	peerHTTP  *http.Client
	transport *transport.Transport
	// connected are the members that the transport talks with, and their URLs.
	connected    map[uint64][]string
	removal      sync.Once
	removalTimer *time.Timer

	states *states
	// archiver is nil if no archive is kept.
	archiver *archive.Archiver

	v2Stop  v2Stop
	entries entryTraffic
	disk    *reclaim.FS // at the bottom of cfg.FS

	metrics  *walMetrics
	started  time.Time
	attached chan struct{} // closed when the server knows the node
	flushed  chan struct{}
	cancel   context.CancelFunc
	running  sync.WaitGroup
	failure  chan error
	failed   atomic.Bool
	abort    context.CancelCauseFunc // ends a start under way
	stopOnce sync.Once
	stopErr  error
}

// Start starts a member and returns once it serves clients, or ctx ends. The
// caller must call Stop, and should do so when Failed tells of a failure.
func Start(ctx context.Context, cfg Config) (*Member, error) {
	if cfg.FS == nil {
		cfg.FS = vfs.Default
	}
	disk := reclaim.New(cfg.FS, removedFiles())
	cfg.FS = disk
	if cfg.WithoutSync {
		cfg.FS = unsyncedFS{cfg.FS}
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	m := &Member{cfg: cfg, disk: disk, log: cfg.Logger, attached: make(chan struct{}), flushed: make(chan struct{}, 1), failure: make(chan error, 1)}
	m.metrics, m.started = newWALMetrics(), time.Now()
	ctx, m.abort = context.WithCancelCause(ctx)
	defer m.abort(nil)
	if err := m.start(ctx); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, errors.Join(err, m.Stop())
	}
	return m, nil
}

// elapsed is how long the member has been running.
func (m *Member) elapsed() time.Duration { return time.Since(m.started) }

// ErrRemoved is why a member cannot go on, or start, that has been removed from its
// cluster.
var ErrRemoved = errors.New("the member has been permanently removed from the cluster; the data-dir used by this member must be removed")

// Failed delivers the reason why the member cannot go on.
func (m *Member) Failed() <-chan error { return m.failure }

// ID is the member's ID.
func (m *Member) ID() uint64 { return m.id.memberID }

func (m *Member) fail(err error) {
	m.failed.Store(true)
	m.abort(err)
	select {
	case m.failure <- err:
	default:
	}
}

// start builds and starts the parts in the order in which they need each other:
// listeners are bound first, so that a busy port leaves no trace in the data
// directory, nor does a wrong certificate; the log is opened at what the engine holds; clients are served last.
func (m *Member) start(ctx context.Context) error {
	err := m.readCertificates()
	if err != nil {
		return err
	}
	if m.front, err = bind(&m.cfg); err != nil {
		return err
	}
	if m.tokens, err = auth.ParseTokens(m.cfg.AuthToken, m.cfg.TokenTTL, m.log); err != nil {
		return err
	}
	if m.dir, err = openDataDir(&m.cfg); err != nil {
		return err
	}
	if err := m.makeCertificates(); err != nil {
		return err
	}
	if err := m.surround(ctx); err != nil {
		return err
	}
	m.peerHTTP = newPeerHTTP(peerDial(&m.cfg, m.log), m.sides.peers)
	if err := m.dir.clearSnapshots(); err != nil {
		return err
	}
	recovered, first, err := m.openState(ctx)
	if err != nil {
		return err
	}
	if m.fsm.Members().Removed(m.id.memberID) {
		return ErrRemoved
	}
	m.tellState(recovered, first.memberID != 0)
	run, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	m.hub = watch.NewHub(watch.Config{
		History: m.fsm.Store(), Window: feedBytes, FragmentBytes: m.cfg.MaxRequestBytes + 512<<10,
		ProgressInterval: m.cfg.WatchProgressInterval, Logger: m.log,
	})
	m.goRun(func() { _ = m.hub.Run(run) })
	if m.cfg.InitialCorruptCheck && len(first.remotes) == 0 {
		m.server.Attach(m.fsm, nil)
		if err := m.server.CompareAtStart(ctx); err != nil {
			return err
		}
	}
	if err := m.openStates(); err != nil {
		return err
	}
	if err := m.openTransport(); err != nil {
		return err
	}
	if err := m.startNode(recovered); err != nil {
		return err
	}
	m.server.Attach(m.fsm, m.node)
	m.connect(first.remotes)
	close(m.attached)
	m.fsm.Start()
	m.goRun(func() { m.server.Run(run) })
	if err := m.startArchive(run); err != nil {
		return err
	}
	m.goRun(func() { m.keepHouse(run) })
	if m.memory != nil {
		m.goRun(func() { m.memory.Run(run) })
	}
	m.serveEarly()
	if m.cfg.HurryElection {
		m.goRun(func() { m.hurryElection(run) })
	}
	if err := m.server.Join(ctx); err != nil {
		return fmt.Errorf("the member did not become ready: %w", err)
	}
	m.tellPublished()
	return m.serve()
}

// feedBytes is how much of the latest events is held for watchers; those who are
// further behind read the engine.
const feedBytes = 8 << 20

// surround opens what stands around the requests.
func (m *Member) surround(ctx context.Context) error {
	if err := lockMemory(&m.cfg); err != nil {
		return err
	}
	if err := m.openLimits(); err != nil {
		return err
	}
	return m.openTracing(ctx)
}

func (m *Member) goRun(f func()) {
	m.running.Add(1)
	go func() {
		defer m.running.Done()
		f()
	}()
}

// openState opens, or makes, the engine and the log.
func (m *Member) openState(ctx context.Context) (wal.Recovered, firstState, error) {
	first, fresh, err := m.prepare(ctx)
	if err != nil {
		return wal.Recovered{}, first, err
	}
	if m.engine, err = engine.Open(m.dir.engine, m.engineOptions()); err != nil {
		return wal.Recovered{}, first, err
	}
	options := m.logOptions()
	if fresh {
		if err := m.create(first, options); err != nil {
			return wal.Recovered{}, first, err
		}
	}
	recovered, err := m.openLog(options)
	if err == nil && m.cfg.ForceNewCluster && !fresh {
		recovered, err = m.forceAlone(recovered, options)
	}
	return recovered, first, err
}

func (m *Member) engineOptions() engine.Options {
	return engine.Options{
		FS: m.cfg.FS, CacheBytes: m.cfg.CacheBytes, MemTableBytes: m.cfg.MemTableBytes, MaxOpenFiles: engineFiles(),
		Logger: m.log.Named("engine"), OnFatal: m.fail, OnFlush: m.onFlush,
	}
}

func (m *Member) logOptions() wal.Options {
	o := wal.Options{FS: m.cfg.FS, Dir: m.dir.wal, SegmentBytes: m.cfg.LogSegmentBytes, KeepBytes: m.cfg.KeepLogBytes,
		Logger: m.log, Observe: m.metrics.observer()}
	if o.KeepBytes == 0 {
		o.KeepBytes = keepLogBytes
	}
	// gofail: var logSegmentBytes int
	// o.SegmentBytes, o.KeepBytes = int64(logSegmentBytes), 1
	return o
}

// keepLogBytes is how much of the log stays on disk for members that are behind.
const keepLogBytes = 64 << 20

func (m *Member) openLog(options wal.Options) (wal.Recovered, error) {
	applied, err := fsm.ReadApplied(m.engine, false)
	if err != nil {
		return wal.Recovered{}, err
	}
	var recovered wal.Recovered
	if m.wal, recovered, err = wal.Open(options, applied.Index); err != nil {
		return wal.Recovered{}, err
	}
	if applied, err = m.finishInstall(m.engineOptions(), applied, recovered); err != nil {
		return wal.Recovered{}, err
	}
	if err := m.dir.states().Clean(); err != nil {
		return wal.Recovered{}, err
	}
	if recovered.LastIndex < applied.Index {
		return wal.Recovered{}, fmt.Errorf("the log in %s ends at entry %d, but entry %d was applied: part of the log is lost; "+
			"replace this member, or restore it from a snapshot", m.dir.wal, recovered.LastIndex, applied.Index)
	}
	m.id = identity{memberID: recovered.Metadata.NodeID, clusterID: recovered.Metadata.ClusterID}
	m.server = server.New(m.serverConfig(), time.Now())
	m.fsm, err = fsm.Open(m.fsmConfig())
	return recovered, err
}

func (m *Member) serverConfig() server.Config {
	c := server.Config{
		MemberID: m.id.memberID, ClusterID: m.id.clusterID, Name: m.cfg.Name, ClientURLs: m.cfg.AdvertiseClientURLs,
		ElectionTimeout: m.cfg.electionTimeout(), MaxRequestBytes: m.cfg.MaxRequestBytes, MaxTxnOps: m.cfg.MaxTxnOps,
		QuotaBytes: m.cfg.QuotaBytes, Engine: m.engine, LeaseClock: lease.NewKeeper(lease.Config{Now: clock, Retry: requestTimeout(&m.cfg)}), Logger: m.log,
		Peers: m.peerClient(), ActiveSince: m.activeSince, StrictReconfig: m.cfg.StrictReconfig,
		AutoCompaction: m.cfg.AutoCompaction,
		CorruptCheck:   m.cfg.CorruptCheck, CompactHashCheck: m.cfg.CompactHashCheck,
		Credentials: rpc.Caller(m.cfg.ClientTLS.ClientCertAuth), Tokens: m.tokens, BcryptCost: m.cfg.BcryptCost,
		Memory: m.memory, UrgentRevocations: m.cfg.UrgentRevocations, FastKeepAlive: m.cfg.FastKeepAlive,
	}
	dir := m.dir.member
	if usage, err := m.cfg.FS.GetDiskUsage(dir); err == nil {
		c.Reserve = reserveFor(usage.TotalBytes)
		c.FreeSpace = func() (uint64, error) {
			u, err := m.cfg.FS.GetDiskUsage(dir)
			return u.AvailBytes, err
		}
	}
	return c
}

// reserveFor is how much of a disk is not for growth: what the log, the memtables
// and the engine's rewriting may need before anybody can free space.
func reserveFor(total uint64) uint64 {
	const least, most = 256 << 20, 1 << 30
	return min(max(total/20, least), most, total/3)
}

func (m *Member) fsmConfig() fsm.Config {
	return fsm.Config{
		Engine: m.engine, Store: mvcc.Options{CacheBytes: m.cfg.HotBytes},
		MinLeaseTTL: lease.MinTTL(m.cfg.electionTimeout()), MaxLearners: m.cfg.MaxLearners, MembersChanged: m.membersChanged,
		CompactRecords: m.cfg.AutoCompaction.BatchLimit, CompactRest: m.cfg.AutoCompaction.SleepInterval,
		Deliver: m.server.Deliver, Publish: m.publish,
		LeaseGranted: m.server.LeaseGranted, LeaseRevoked: m.server.LeaseRevoked, EmptyEntry: m.server.EmptyEntry,
		Tokens: m.server, RulesChanged: m.server.RulesChanged, Fatal: m.fail, Elapsed: m.elapsed, SlowApply: m.cfg.SlowApply,
		ClusterID: m.id.clusterID, MemberID: m.id.memberID, Logger: m.log,
	}
}

// publish hands the events of a group to the watchers, one revision at a time.
func (m *Member) publish(_ int64, events []mvcc.Event, complete bool) {
	if !complete {
		m.hub.Reset()
		return
	}
	for len(events) > 0 {
		n := 1
		for n < len(events) && events[n].Revision.Main == events[0].Revision.Main {
			n++
		}
		m.hub.Publish(events[0].Revision.Main, events[:n:n])
		events = events[n:]
	}
}

// applier lets the node apply entries: the FSM does it, and the server hears how
// far it got. The node begins before the server knows it, so the first entries wait
// until it does.
type applier struct{ m *Member }

func (a applier) Apply(entries []*raftpb.Entry, conf node.ConfChanger) error {
	<-a.m.attached
	if err := a.m.fsm.Apply(entries, conf); err != nil {
		return err
	}
	a.m.server.AppliedTo(a.m.fsm.Applied())
	return nil
}

func (m *Member) startNode(recovered wal.Recovered) error {
	applied := m.fsm.Applied()
	var err error
	m.node, err = node.Start(node.Config{
		ID: m.id.memberID, Log: m.wal, Recovered: recovered, Applied: applied, ConfState: m.fsm.Members().ConfState(),
		TickInterval: m.cfg.Tick, ElectionTicks: m.cfg.ElectionTicks, HeartbeatTicks: m.cfg.HeartbeatTicks,
		PreVote: m.cfg.PreVote, Apply: applier{m}, Send: m.send, Snapshots: m.states, Logger: m.log.Named("raft"), OnFatal: m.fail,
	})
	return err
}

// Stop stops the member: clients first, then agreement, then storage. It returns
// the first thing that went wrong, and may be called more than once.
func (m *Member) Stop() error {
	m.stopOnce.Do(func() { m.stopErr = m.stop() })
	return m.stopErr
}

func (m *Member) stop() error {
	m.log.Info("closing etcd server", m.whose()...)
	if m.failed.Load() && m.cancel != nil {
		// Requests that wait for agreement will not get it: refuse them now.
		m.cancel()
	} else if m.rpc != nil {
		m.handOver()
	}
	if m.gateway != nil {
		m.gateway.Close() // streams in JSON would go on until patience is over
	}
	if m.console != nil {
		m.console.Close()
	}
	m.v2Stop.end()
	if m.front != nil {
		m.front.stop(m.rpc, requestTimeout(&m.cfg))
	}
	if m.cancel != nil {
		m.cancel()
	}
	if m.node != nil {
		m.node.Stop()
	}
	if m.transport != nil {
		m.transport.Stop()
	}
	if m.front != nil {
		m.front.stopPeers(requestTimeout(&m.cfg))
	}
	if m.removalTimer != nil {
		m.removalTimer.Stop()
	}
	if m.peerHTTP != nil {
		m.peerHTTP.CloseIdleConnections()
	}
	m.running.Wait()
	m.closeTracing()
	if m.fsm != nil {
		m.fsm.Stop()
	}
	errs := []error{m.audit.Close()}
	if m.engine != nil {
		errs = append(errs, m.engine.Close())
	}
	if m.wal != nil {
		errs = append(errs, m.wal.Close())
	}
	if m.dir != nil {
		errs = append(errs, m.dir.close())
	}
	m.disk.Close()
	m.log.Info("closed etcd server", m.whose()...)
	return errors.Join(errs...)
}

// handOver gives leadership away before this member stops, if it leads. raft gives up
// after an election timeout, as when the heir is being stopped too; so does this.
func (m *Member) handOver() {
	ctx, cancel := context.WithTimeout(context.Background(), m.cfg.electionTimeout())
	defer cancel()
	if err := m.server.HandOver(ctx); err != nil {
		m.log.Warn("leadership transfer failed", zap.String("local-member-id", hex(m.id.memberID)), zap.Error(err))
	}
}

func requestTimeout(c *Config) time.Duration { return 5*time.Second + 2*c.electionTimeout() }

func hex(id uint64) string { return fmt.Sprintf("%x", id) }
