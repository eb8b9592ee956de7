package member

import (
	"context"
	"net/http"
	"sync"
	"time"

	"bowline/internal/engine"
	"bowline/internal/fsm"
	"bowline/internal/transfer"
	"bowline/internal/transport"
	"bowline/internal/wal"

	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
)

// states moves whole states between members.
type states struct {
	*transfer.Installer
	sender   *transfer.Sender
	receiver *transfer.Receiver
}

func (d *dataDir) states() transfer.Dirs { return transfer.Dirs{FS: d.fs, Dir: d.member} }

// openStates builds what moves states, before the node that uses it.
func (m *Member) openStates() error {
	durable, err := fsm.ReadApplied(m.engine, true)
	if err != nil {
		return err
	}
	dirs := m.dir.states()
	installer := &transfer.Installer{Dirs: dirs, Engine: m.engine, FSM: m.fsm, Applied: m.stateInstalled, Logger: m.log}
	installer.Durable(durable, m.fsm.Members().ConfState())
	config := transfer.ReceiverConfig{
		ID: m.id.memberID, ClusterID: m.id.clusterID, Dirs: dirs, Engine: m.engine,
		Step:    func(ctx context.Context, msg *raftpb.Message) error { return m.node.StepSnapshot(ctx, msg) },
		Applied: m.fsm.Applied, WaitApplied: installer.WaitApplied,
		Removed: func(id uint64) bool { return m.fsm.Members().Removed(id) }, Logger: m.log,
	}
	if usage, err := dirs.FS.GetDiskUsage(dirs.Dir); err == nil {
		config.Reserve = reserveFor(usage.TotalBytes)
	}
	m.states = &states{
		Installer: installer, receiver: transfer.NewReceiver(config),
		sender: transfer.NewSender(transfer.SenderConfig{
			Dirs: dirs, Engine: m.engine, FSM: m.fsm, Logger: m.log, Busy: (&busyness{applied: m.fsm.Applied}).busy,
			HoldLog:   func(index uint64) func() { return m.node.HoldLog(index) },
			ImageSent: m.publishAgain,
		}),
	}
	return nil
}

// stateInstalled tells those who wait for an applied index.
func (m *Member) stateInstalled(index uint64) {
	<-m.attached
	m.server.AppliedTo(index)
}

// sendState is the transport's way to the sender.
func (m *Member) sendState(ctx context.Context, to transport.Destination, msg *raftpb.Message) error {
	return m.states.sender.Send(ctx, to, msg)
}

// publishAgain has an entry agreed on that changes nothing.
func (m *Member) publishAgain(ctx context.Context) {
	if err := m.server.Publish(ctx); err != nil {
		m.log.Warn("failed to publish local member to cluster through raft", zap.Error(err))
	}
}

// receiveStates is what the peer port serves for other members' senders.
func (m *Member) receiveStates(mux *http.ServeMux) {
	mux.Handle(transfer.Path, m.states.receiver)
	mux.HandleFunc(transfer.ImagePath, m.states.receiver.ServeImage)
}

// finishInstall ends an installation that a crash has cut short: the log begins behind
// what the engine holds.
func (m *Member) finishInstall(o engine.Options, applied fsm.Position, recovered wal.Recovered) (fsm.Position, error) {
	if recovered.FirstIndex <= applied.Index+1 {
		return applied, nil
	}
	e, err := m.dir.states().FinishInstall(m.engine, o, recovered.Snapshot.Index, recovered.Snapshot.Term)
	m.engine = e
	if err != nil {
		return applied, err
	}
	return fsm.ReadApplied(m.engine, false)
}

const (
	// busyInterval is how often busyness looks, and busyWrites how many entries in that
	// time make clients busy.
	busyInterval = time.Second
	busyWrites   = 20
)

// busyness tells whether clients write.
type busyness struct {
	applied func() uint64

	mu   sync.Mutex // guards the fields below
	last uint64
	at   time.Time
	yes  bool
}

func (b *busyness) busy() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if past := now.Sub(b.at); past >= busyInterval {
		applied := b.applied()
		// Until it knows it says yes.
		b.yes = b.at.IsZero() || float64(applied-b.last) > busyWrites*past.Seconds()
		b.last, b.at = applied, now
	}
	return b.yes
}
