package sim

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"bowline/internal/cluster"
	"bowline/internal/engine"
	"bowline/internal/fsm"
	"bowline/internal/lease"
	"bowline/internal/mvcc"
	"bowline/internal/node"
	"bowline/internal/server"
	"bowline/internal/transfer"
	"bowline/internal/transport"
	"bowline/internal/wal"
	"bowline/internal/watch"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
)

const (
	memberDir = "member"
	logDir    = "member/wal"
	tick      = 100 * time.Millisecond
	election  = 10 * tick
)

// life is a member from a start to its crash or stop: the parts that member.Member builds, in its order, on a disk that
// the next life goes on from.
type life struct {
	w      *world
	member *member
	number int

	logger    *zap.Logger
	mem       *vfs.MemFS
	disk      *disk
	dirs      transfer.Dirs
	engine    *engine.Engine
	log       *wal.Log
	fsm       *fsm.FSM
	hub       *watch.Hub
	server    *server.Server
	installer *transfer.Installer
	sender    *transfer.Sender
	receiver  *transfer.Receiver
	endpoint  *transport.Endpoint
	peerMux   *http.ServeMux
	node      atomic.Pointer[node.Node]

	ctx      context.Context
	cancel   context.CancelFunc
	tasks    sync.WaitGroup
	users    sync.WaitGroup // who is in use
	attached chan struct{}  // closed when everything is there
	dead     chan struct{}  // closed by die

	// gate makes a crash one moment: what is said under its read lock was said before.
	gate  sync.RWMutex
	ended bool
	left  *vfs.MemFS // what the crash leaves
	why   string
	// serial is the highest revision that a serializable read of this life has shown.
	serial atomic.Int64
	// voted arms a crash right after the next vote.
	voted atomic.Bool
	// quick lets the next life begin at once.
	quick atomic.Bool
}

// alive does f unless the member has crashed; the crash waits for f.
func (l *life) alive(f func()) bool {
	l.gate.RLock()
	defer l.gate.RUnlock()
	if !l.ended {
		f()
	}
	return !l.ended
}

// use does f, with a context that ends with this life, unless the member has crashed. Its parts are not closed meanwhile.
func (l *life) use(ctx context.Context, f func(ctx context.Context)) bool {
	if !l.alive(func() { l.users.Add(1) }) {
		return false
	}
	defer l.users.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.ctx, cancel)()
	f(ctx)
	return true
}

func (l *life) isAlive() bool { return l.alive(func() {}) }

// die is the crash: nothing leaves the member any more, and its disk is left as a power cut would leave it. What still
// runs is taken down by the world.
func (l *life) die(why string, cfg vfs.CrashCloneCfg) {
	l.gate.Lock()
	defer l.gate.Unlock()
	if l.ended {
		return
	}
	l.ended, l.why = true, why
	if l.endpoint != nil {
		l.endpoint.Stop()
	}
	l.disk.names.Lock()
	l.left = l.mem.CrashClone(cfg)
	l.disk.names.Unlock()
	l.cancel()
	close(l.dead)
	l.w.note("member %s: %s", l.member.name, why)
}

// crash is die with a share of what was not synced.
func (l *life) crash(why string) { l.die(why, l.member.crashConfig()) }

func (l *life) fatal(err error) { l.crash(fmt.Sprintf("stopped: %v", err)) }

// open builds the state: what member.Member.openState does.
func (l *life) open(found *founding) (wal.Recovered, error) {
	var none wal.Recovered
	if err := errors.Join(l.mem.MkdirAll(memberDir, 0o700), syncDir(l.mem, ""), syncDir(l.mem, memberDir)); err != nil {
		return none, err
	}
	dir, err := l.dirs.Current()
	if err != nil {
		return none, err
	}
	fresh := !wal.Exists(l.disk, logDir)
	if fresh {
		if err := l.disk.RemoveAll(dir); err != nil {
			return none, err
		}
	}
	o := engine.Options{FS: l.disk, CacheBytes: 1 << 20, MemTableBytes: 256 << 10, MaxOpenFiles: 100, OnFatal: l.fatal, Logger: l.logger}
	if l.engine, err = engine.Open(dir, o); err != nil {
		return none, err
	}
	options := wal.Options{FS: l.disk, Dir: logDir, SegmentBytes: l.w.plan.segmentBytes, Logger: l.logger}
	if fresh {
		if err := found.create(l.engine, options, l.member.id); err != nil {
			return none, err
		}
	}
	if l.w.bug.atOpen != nil && !fresh {
		if err := l.w.bug.atOpen(l); err != nil {
			return none, err
		}
	}
	applied, err := fsm.ReadApplied(l.engine, false)
	if err != nil {
		return none, err
	}
	var recovered wal.Recovered
	if l.log, recovered, err = wal.Open(options, applied.Index); err != nil {
		return none, err
	}
	if recovered.FirstIndex > applied.Index+1 {
		if l.engine, err = l.dirs.FinishInstall(l.engine, o, recovered.Snapshot.Index, recovered.Snapshot.Term); err != nil {
			return none, err
		}
		if applied, err = fsm.ReadApplied(l.engine, false); err != nil {
			return none, err
		}
	}
	if err := l.dirs.Clean(); err != nil {
		return none, err
	}
	if recovered.LastIndex < applied.Index {
		return none, fmt.Errorf("the log ends at entry %d, but entry %d was applied", recovered.LastIndex, applied.Index)
	}
	return recovered, l.build()
}

// build makes what stands above the engine and the log.
func (l *life) build() (err error) {
	id := l.member.id
	l.server = server.New(server.Config{
		MemberID: id, ClusterID: l.w.clusterID, Name: l.member.name, ClientURLs: []string{l.member.url}, ElectionTimeout: election,
		MaxRequestBytes: 1 << 20, MaxTxnOps: 128, Engine: l.engine, LeaseClock: lease.NewKeeper(lease.Config{}),
		Peers: l.w.peerClient(id), ActiveSince: func(other uint64) time.Time { return l.endpoint.ActiveSince(other) },
		CorruptCheck: time.Second, CompactHashCheck: time.Second, StrictReconfig: l.w.plan.strict, Logger: l.logger,
	}, time.Now())
	l.fsm, err = fsm.Open(fsm.Config{
		Engine: l.engine, Store: mvcc.Options{CacheBytes: 1 << 16}, MinLeaseTTL: 2, MaxLearners: 1,
		Deliver: l.server.Deliver, Publish: l.publish, LeaseGranted: l.server.LeaseGranted, LeaseRevoked: l.server.LeaseRevoked,
		EmptyEntry: l.server.EmptyEntry, MembersChanged: l.membersChanged, Fatal: l.fatal, Logger: l.logger,
	})
	if err != nil {
		return err
	}
	durable, err := fsm.ReadApplied(l.engine, true)
	if err != nil {
		return err
	}
	l.installer = &transfer.Installer{Dirs: l.dirs, Engine: l.engine, FSM: l.fsm, Logger: l.logger, Applied: func(index uint64) {
		<-l.attached
		l.server.AppliedTo(index)
		l.w.installs.Add(1)
		l.w.note("member %s: installed the state of entry %d", l.member.name, index)
	}}
	l.installer.Durable(durable, l.fsm.Members().ConfState())
	l.sender = transfer.NewSender(transfer.SenderConfig{Dirs: l.dirs, Engine: l.engine, FSM: l.fsm, Logger: l.logger,
		HoldLog: func(index uint64) func() { return l.node.Load().HoldLog(index) }})
	l.receiver = transfer.NewReceiver(transfer.ReceiverConfig{
		ID: id, ClusterID: l.w.clusterID, Dirs: l.dirs, Engine: l.engine, Logger: l.logger,
		Step:    func(ctx context.Context, m *raftpb.Message) error { return l.node.Load().StepSnapshot(ctx, m) },
		Applied: l.fsm.Applied, WaitApplied: l.installer.WaitApplied,
		Removed: func(other uint64) bool { return l.fsm.Members().Removed(other) },
	})
	return nil
}

// run starts what open has built: what member.Member.start does after it.
func (l *life) run(recovered wal.Recovered) error {
	l.hub = watch.NewHub(watch.Config{History: l.w.bug.historyOf(l), Window: l.w.plan.feedBytes, QueueBytes: l.w.plan.queueBytes})
	l.tasks.Go(func() { _ = l.hub.Run(l.ctx) }) // it ends with ctx alone
	id := l.member.id
	l.gate.Lock()
	if l.ended {
		l.gate.Unlock()
		return errors.New("crashed while starting")
	}
	l.endpoint = l.w.net.Join(transport.Member{ID: id, Raft: raftSide{l}, OnRemoved: func(error) { l.removed() }})
	l.gate.Unlock()
	if l.w.bug.atStart != nil {
		l.w.bug.atStart(l, &recovered)
	}
	n, err := node.Start(node.Config{
		ID: id, Log: l.log, Recovered: recovered, Applied: l.fsm.Applied(), ConfState: l.fsm.Members().ConfState(),
		TickInterval: tick, PreVote: l.w.plan.preVote, TailBytes: l.w.plan.tailBytes, MaxMessageBytes: l.w.plan.messageBytes,
		Apply: applier{l}, Send: l.send, Snapshots: l.installer, Logger: l.logger, OnFatal: l.fatal,
	})
	if err != nil {
		return err
	}
	l.node.Store(n)
	l.server.Attach(l.fsm, l.w.bug.nodeOf(n))
	for _, m := range l.member.remotes {
		if err := l.endpoint.AddRemote(m, nil); err != nil {
			return err
		}
	}
	l.membersChanged(l.fsm.Members())
	l.peerMux = l.w.peerMux(l)
	close(l.attached)
	l.fsm.Start()
	l.tasks.Go(func() { l.server.Run(l.ctx) })
	l.tasks.Go(func() { _ = l.server.Join(l.ctx) }) // it ends when it has succeeded, or with ctx
	return nil
}

// stop takes down what is left of a life that has ended.
func (l *life) stop() {
	l.cancel()
	l.disk.repair()
	if n := l.node.Load(); n != nil {
		n.Stop()
	}
	l.tasks.Wait()
	l.users.Wait()
	if l.fsm != nil {
		l.fsm.Stop()
	}
	if l.engine != nil {
		_ = l.engine.Close() // on a disk that nobody will read
	}
	if l.log != nil {
		_ = l.log.Close() // likewise
	}
}

// send is what the node gives to the network.
func (l *life) send(messages []*raftpb.Message) {
	voted := false
	l.alive(func() {
		l.w.witness.sent(l.member.id, messages)
		others := messages[:0:0]
		for _, m := range messages {
			if m.GetType() == raftpb.MsgSnap {
				l.w.moveState(l, clone(m))
				continue
			}
			voted = voted || m.GetType() == raftpb.MsgVoteResp && !m.GetReject()
			others = append(others, m)
		}
		l.endpoint.Send(others)
	})
	l.w.poke()
	if voted && l.voted.CompareAndSwap(true, false) {
		l.quick.Store(true)
		l.crash("crash after a vote")
	}
}

func (l *life) publish(_ int64, events []mvcc.Event, complete bool) {
	if !complete {
		l.hub.Reset()
		return
	}
	for len(events) > 0 {
		n := 1
		for n < len(events) && events[n].Revision.Main == events[0].Revision.Main {
			n++
		}
		l.alive(func() { l.w.witness.published(l.member.id, events[:n]) })
		l.hub.Publish(events[0].Revision.Main, events[:n:n])
		events = events[n:]
	}
}

func (l *life) membersChanged(view *cluster.View) {
	for _, m := range view.Members() {
		if m.ID != l.member.id {
			_ = l.endpoint.AddPeer(m.ID, m.PeerURLs) // cannot fail in memory
		}
	}
	for _, id := range view.RemovedIDs() {
		l.endpoint.RemovePeer(id)
	}
	if view.Removed(l.member.id) {
		l.removed()
	}
}

// removed ends the member for good, a second later, as member.Member does.
func (l *life) removed() {
	l.member.removedOnce.Do(func() {
		l.w.note("member %s is removed", l.member.name)
		l.member.gone.Store(true)
		l.w.tasks.Go(func() {
			pause(l.w.running, time.Second)
			if now := l.member.life.Load(); now != nil {
				now.crash("ends, being removed")
			}
		})
	})
}

// applier is the node's way to the state machine.
type applier struct{ l *life }

func (a applier) Apply(entries []*raftpb.Entry, conf node.ConfChanger) (err error) {
	l := a.l
	<-l.attached
	if !l.alive(func() { l.w.witness.committed(l.member.id, "applies", entries) }) {
		return node.ErrStopped
	}
	defer func() {
		if r := recover(); r != nil {
			l.alive(func() { l.w.witness.violation("member %s panics: %v", l.member.name, r) })
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	if err := l.fsm.Apply(entries, conf); err != nil {
		return err
	}
	l.server.AppliedTo(l.fsm.Applied())
	return nil
}

// raftSide is what the network sees of a member.
type raftSide struct{ l *life }

func (r raftSide) Step(messages ...*raftpb.Message) int {
	if n := r.l.node.Load(); n != nil {
		return n.Step(messages...)
	}
	return 0
}

func (r raftSide) ReportUnreachable(id uint64) {
	if n := r.l.node.Load(); n != nil {
		n.ReportUnreachable(id)
	}
}

func (r raftSide) ReportSnapshot(id uint64, s raft.SnapshotStatus) {
	if n := r.l.node.Load(); n != nil {
		n.ReportSnapshot(id, s)
	}
}

func (r raftSide) Removed(id uint64) bool { return r.l.fsm.Members().Removed(id) }
