package member

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"bowline/internal/engine"
	"bowline/internal/fsm"
	"bowline/internal/lease"
	"bowline/internal/mvcc"
	"bowline/internal/node"
	"bowline/internal/rpc"
	"bowline/internal/server"
	"bowline/internal/wal"
	"bowline/internal/watch"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
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
	rpc    *rpc.Service
	front  *front

	metrics  *walMetrics
	started  time.Time
	attached chan struct{} // closed when the server knows the node
	flushed  chan struct{}
	cancel   context.CancelFunc
	running  sync.WaitGroup
	failure  chan error
	failed   atomic.Bool
	stopOnce sync.Once
	stopErr  error
}

// Start starts a member and returns once it serves clients, or ctx ends. The
// caller must call Stop, and should do so when Failed tells of a failure.
func Start(ctx context.Context, cfg Config) (*Member, error) {
	if cfg.FS == nil {
		cfg.FS = vfs.Default
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	m := &Member{cfg: cfg, log: cfg.Logger, attached: make(chan struct{}), flushed: make(chan struct{}, 1), failure: make(chan error, 1)}
	m.metrics, m.started = newWALMetrics(), time.Now()
	if err := m.start(ctx); err != nil {
		return nil, errors.Join(err, m.Stop())
	}
	return m, nil
}

// elapsed is how long the member has been running.
func (m *Member) elapsed() time.Duration { return time.Since(m.started) }

// Failed delivers the reason why the member cannot go on.
func (m *Member) Failed() <-chan error { return m.failure }

// ID is the member's ID.
func (m *Member) ID() uint64 { return m.id.memberID }

func (m *Member) fail(err error) {
	m.failed.Store(true)
	select {
	case m.failure <- err:
	default:
	}
}

// start builds and starts the parts in the order in which they need each other:
// listeners are bound first, so that a busy port leaves no trace in the data
// directory; the log is opened at what the engine holds; clients are served last.
func (m *Member) start(ctx context.Context) error {
	var err error
	if m.front, err = bind(&m.cfg); err != nil {
		return err
	}
	if m.dir, err = openDataDir(&m.cfg); err != nil {
		return err
	}
	if err := m.dir.clearSnapshots(); err != nil {
		return err
	}
	recovered, err := m.openState()
	if err != nil {
		return err
	}
	run, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	m.hub = watch.NewHub(watch.Config{
		History: m.fsm.Store(), Window: feedBytes, FragmentBytes: m.cfg.MaxRequestBytes + 512<<10,
		ProgressInterval: m.cfg.WatchProgressInterval, Logger: m.log,
	})
	m.goRun(func() { _ = m.hub.Run(run) })
	if err := m.startNode(recovered); err != nil {
		return err
	}
	m.server.Attach(m.fsm, m.node)
	close(m.attached)
	m.fsm.Start()
	m.goRun(func() { m.server.Run(run) })
	m.goRun(func() { m.keepHouse(run) })
	if err := m.server.Join(ctx); err != nil {
		return fmt.Errorf("the member did not become ready: %w", err)
	}
	m.log.Info("published local member to cluster through raft", zap.String("local-member-id", hex(m.id.memberID)),
		zap.String("cluster-id", hex(m.id.clusterID)))
	return m.serve()
}

// feedBytes is how much of the latest events is held for watchers; those who are
// further behind read the engine.
const feedBytes = 8 << 20

func (m *Member) goRun(f func()) {
	m.running.Add(1)
	go func() {
		defer m.running.Done()
		f()
	}()
}

// openState opens, or makes, the engine and the log.
func (m *Member) openState() (wal.Recovered, error) {
	fresh := !m.dir.initialized()
	if fresh {
		if err := checkInitial(&m.cfg); err != nil {
			return wal.Recovered{}, err
		}
		if err := m.dir.checkUnused(len(m.cfg.InitialCluster)); err != nil {
			return wal.Recovered{}, err
		}
		if err := m.dir.clearEngine(); err != nil {
			return wal.Recovered{}, err
		}
	}
	var err error
	m.engine, err = engine.Open(m.dir.engine, engine.Options{
		FS: m.cfg.FS, CacheBytes: m.cfg.CacheBytes, MemTableBytes: m.cfg.MemTableBytes, MaxOpenFiles: engineFiles(),
		Logger: m.log.Named("engine"), OnFatal: m.fail, OnFlush: m.onFlush,
	})
	if err != nil {
		return wal.Recovered{}, err
	}
	options := wal.Options{FS: m.cfg.FS, Dir: m.dir.wal, KeepBytes: keepLogBytes, Logger: m.log, Observe: m.metrics.observer()}
	if fresh {
		if _, err = bootstrap(&m.cfg, m.dir, m.engine, options); err != nil {
			return wal.Recovered{}, err
		}
	}
	return m.openLog(options)
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
		QuotaBytes: m.cfg.QuotaBytes, Engine: m.engine, LeaseClock: lease.NewKeeper(lease.Config{Retry: requestTimeout(&m.cfg)}), Logger: m.log,
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
		MinLeaseTTL: lease.MinTTL(m.cfg.electionTimeout()),
		Deliver:     m.server.Deliver, Publish: m.publish,
		LeaseGranted: m.server.LeaseGranted, LeaseRevoked: m.server.LeaseRevoked, EmptyEntry: m.server.EmptyEntry,
		Fatal: m.fail, Elapsed: m.elapsed, SlowApply: m.cfg.SlowApply, Logger: m.log,
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
		PreVote: m.cfg.PreVote, Apply: applier{m}, Logger: m.log.Named("raft"), OnFatal: m.fail,
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
	m.log.Info("closing etcd server", zap.String("name", m.cfg.Name), zap.String("data-dir", m.cfg.DataDir))
	if m.failed.Load() && m.cancel != nil {
		// Requests that wait for agreement will not get it: refuse them now.
		m.cancel()
	}
	if m.front != nil {
		m.front.stop(m.rpc, requestTimeout(&m.cfg))
	}
	if m.cancel != nil {
		m.cancel()
	}
	if m.node != nil {
		m.node.Stop()
	}
	m.running.Wait()
	if m.fsm != nil {
		m.fsm.Stop()
	}
	var errs []error
	if m.engine != nil {
		errs = append(errs, m.engine.Close())
	}
	if m.wal != nil {
		errs = append(errs, m.wal.Close())
	}
	if m.dir != nil {
		errs = append(errs, m.dir.close())
	}
	m.log.Info("closed etcd server", zap.String("name", m.cfg.Name), zap.String("data-dir", filepath.Clean(m.cfg.DataDir)))
	return errors.Join(errs...)
}

func requestTimeout(c *Config) time.Duration { return 5*time.Second + 2*c.electionTimeout() }

func hex(id uint64) string { return fmt.Sprintf("%x", id) }
