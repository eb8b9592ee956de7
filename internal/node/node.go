package node

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"bowline/internal/wal"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
)

// Limits, unless Config names others. The first two are etcd's.
const (
	defaultMessageBytes     = 1 << 20
	defaultInflightMessages = 512
	defaultInflightBytes    = 64 << 20
	defaultUncommittedBytes = 256 << 20
	defaultApplyBytes       = 16 << 20
	defaultTailBytes        = 8 << 20

	// applyGroupBytes is how much the Applier is handed at a time, when several batches wait.
	applyGroupBytes = 4 << 20
	// proposeStepBytes is how much goes into one MsgProp, which a follower forwards as one message.
	proposeStepBytes = 8 << 20
	// maxWaitingBytes and maxWaitingProposals bound what waits in the inbox: beyond them, ErrBusy.
	maxWaitingBytes     = 256 << 20
	maxWaitingProposals = 50_000
	// maxWaitingMessages bounds the received messages that wait; more are dropped, as a network would.
	maxWaitingMessages = 16_384
	// readRetry is how long a read index round waits for an answer before it is asked for again; etcd's number.
	readRetry = 500 * time.Millisecond
)

var (
	// ErrStopped is returned when the node has stopped or failed.
	ErrStopped = errors.New("node: stopped")
	// ErrNoLeader refuses a proposal because nobody is known who could take it.
	ErrNoLeader = errors.New("node: no leader")
	// ErrProposalDropped refuses a proposal that raft would not take: leadership is being transferred, or too much
	// is uncommitted.
	ErrProposalDropped = errors.New("node: proposal dropped")
	// ErrConfChangePending refuses a membership change because an earlier one has not been applied.
	ErrConfChangePending = errors.New("node: an earlier membership change is not applied yet")
	// ErrBusy refuses a proposal because too many wait to be handed to raft.
	ErrBusy = errors.New("node: too many proposals wait")
)

// Applier is the replicated state. Apply is called by one goroutine with entries in log order, without gap or repeat
// since Config.Applied; empty entries and conf changes are among them. For each entry of a conf change kind it
// must call conf exactly once, before it returns, unless an installed state has overtaken the entry. The entries belong to
// the log: read only. An error is fatal.
type Applier interface {
	Apply(entries []*raftpb.Entry, conf ConfChanger) error
}

// ConfChanger tells raft what became of a conf change entry. Both methods wait for the raft goroutine, which never waits
// for the Applier, and return the configuration now in force, or nil when the node is stopping.
type ConfChanger interface {
	// ApplyConfChange puts the accepted change in the entry at this index into force, unless raft has taken a state that
	// contains it: then the configuration in force is that state's, and newer.
	ApplyConfChange(index uint64, cc raftpb.ConfChangeI) *raftpb.ConfState
	// RefuseConfChange lets the entry pass without effect, which raft has to know to allow the next change.
	RefuseConfChange(index uint64) *raftpb.ConfState
}

// SnapshotTransfer moves whole states between members. Without one a node answers raft that no snapshot is available
// now, and drops snapshots that it receives.
type SnapshotTransfer interface {
	// Snapshot names a state that could be sent to a follower whose entries have been released. The raft goroutine calls
	// it: it must not block, and returns raft.ErrSnapshotTemporarilyUnavailable until one is ready.
	//
	// What it names is not what must be sent: a newer state is as good, and raft's message is to be rewritten to it. But its
	// index must not lie below the log's first, or raft would ask again for ever.
	Snapshot() (*raftpb.Snapshot, error)
	// Install replaces this member's state by the received one. The wal goroutine calls it, after the log has been marked
	// durably and before raft's replies are delivered, so nothing is acknowledged before it returns.
	Install(*raftpb.Snapshot) error
}

// Config is what a node is made of. ID, Log, Recovered, ConfState and Apply are required.
type Config struct {
	// ID is this member's.
	ID uint64
	// Log is the open log, which the node alone writes to until Stop returns, and Recovered what opening it found.
	Log       *wal.Log
	Recovered wal.Recovered
	// Applied is the index up to which the Applier has applied everything; it is handed the entries above. ConfState is
	// the configuration at that index.
	Applied   uint64
	ConfState *raftpb.ConfState

	// TickInterval is raft's unit of time (default 100 ms); an election is called after ElectionTicks (10) without a
	// leader, who is heard every HeartbeatTicks (1).
	TickInterval   time.Duration
	ElectionTicks  int
	HeartbeatTicks int
	// PreVote asks before it disturbs. DisableCheckQuorum lets a leader go on that hears from no majority: for tests.
	PreVote            bool
	DisableCheckQuorum bool

	// Limits; 0 means the default. MaxMessageBytes bounds a message's entries, MaxInflightMessages and
	// MaxInflightBytes what is under way to one peer, MaxUncommittedBytes what a leader takes before it is committed,
	// MaxApplyBytes what is handed over but not applied, TailBytes the applied entries kept in memory for followers.
	MaxMessageBytes, MaxInflightBytes, MaxUncommittedBytes, MaxApplyBytes uint64
	MaxInflightMessages, TailBytes                                        int

	Apply Applier
	// Send passes messages on, never blocks, and may be called by two goroutines at once. nil for a member alone.
	Send func([]*raftpb.Message)
	// Snapshots may be nil.
	Snapshots SnapshotTransfer
	Logger    *zap.Logger
	// OnFatal is told, once, why the node stopped by itself: the log or the Applier failed. The caller ends the member.
	OnFatal func(error)
}

func (c Config) withDefaults() Config {
	def := func(v *uint64, d uint64) {
		if *v == 0 {
			*v = d
		}
	}
	def(&c.MaxMessageBytes, defaultMessageBytes)
	def(&c.MaxInflightBytes, defaultInflightBytes)
	def(&c.MaxUncommittedBytes, defaultUncommittedBytes)
	def(&c.MaxApplyBytes, defaultApplyBytes)
	if c.MaxInflightMessages == 0 {
		c.MaxInflightMessages = defaultInflightMessages
	}
	if c.TailBytes == 0 {
		c.TailBytes = defaultTailBytes
	}
	if c.TickInterval == 0 {
		c.TickInterval = 100 * time.Millisecond
	}
	if c.ElectionTicks == 0 {
		c.ElectionTicks = 10
	}
	if c.HeartbeatTicks == 0 {
		c.HeartbeatTicks = 1
	}
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	if c.Send == nil {
		c.Send = func([]*raftpb.Message) {}
	}
	if c.OnFatal == nil {
		c.OnFatal = func(error) {}
	}
	return c
}

// check finds what raft would panic about.
func (c *Config) check() error {
	r := &c.Recovered
	switch {
	case c.ID == 0 || raft.IsLocalMsgTarget(c.ID):
		return fmt.Errorf("node: %x cannot be a member's ID", c.ID)
	case c.Log == nil || c.Apply == nil || c.ConfState == nil:
		return errors.New("node: Log, Apply and ConfState are required")
	case c.ElectionTicks <= c.HeartbeatTicks:
		return fmt.Errorf("node: %d election ticks must be more than %d heartbeat ticks", c.ElectionTicks, c.HeartbeatTicks)
	case c.Applied > r.LastIndex:
		return fmt.Errorf("node: index %d has been applied, but the log ends at %d", c.Applied, r.LastIndex)
	case c.Applied+1 < r.FirstIndex:
		return fmt.Errorf("node: the log begins at index %d, but only %d has been applied", r.FirstIndex, c.Applied)
	case r.HardState.Commit > r.LastIndex:
		return fmt.Errorf("node: index %d is committed, but the log ends at %d", r.HardState.Commit, r.LastIndex)
	}
	if n := len(r.Entries); n > 0 && r.Entries[0].GetIndex() > c.Applied+1 || n == 0 && c.Applied != r.LastIndex {
		return fmt.Errorf("node: the entries behind index %d have not been read from the log", c.Applied)
	}
	return nil
}

// Node is a running member of a raft group. Its methods may be called by any goroutine.
type Node struct {
	cfg   Config
	inbox inbox

	walQueue   queue[walWork]
	applyQueue queue[*raftpb.Message]
	readQueue  queue[readRequest]

	// readIndex is not zero only while reading at that index is linearizable without asking anyone; see ReadIndex.
	readIndex atomic.Uint64
	commit    atomic.Uint64
	applied   atomic.Uint64
	soft      atomic.Pointer[softState]
	peers     atomic.Pointer[peerProgress]
	// lateHeartbeats counts those that this member sent too late as leader.
	lateHeartbeats atomic.Int64
	// writing is since when the log is being written, in nanoseconds of Unix time, 0 if
	// it is not; stalls counts the writes that took too long.
	writing, stalls atomic.Int64

	// Channels with room for one answer, to be used again.
	answers, readWaiters sync.Pool

	holds    holds
	stopOnce sync.Once
	stopping chan struct{} // closed when the node is to stop
	loopDone chan struct{} // closed when the raft goroutine has ended
	running  sync.WaitGroup
}

// Start checks the configuration, builds the raft state from what the log holds, and starts the goroutines that the
// package comment names. The Applier is called from then on, possibly before Start returns.
func Start(cfg Config) (*Node, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, stopping: make(chan struct{}), loopDone: make(chan struct{})}
	n.answers.New = func() any { return make(chan error, 1) }
	n.readWaiters.New = func() any { return &readWaiter{index: make(chan uint64, 1)} }
	n.inbox.init()
	n.walQueue.init()
	n.applyQueue.init()
	n.readQueue.init()

	// The engine can be ahead of the last hard state that reached the disk: a commit index alone is not synced.
	hard := cfg.Recovered.HardState
	hard.Commit = max(hard.Commit, cfg.Applied)
	store := newStorage(&n.cfg, hard, func(r readRequest) { n.readQueue.put(r) })
	if cfg.Applied+1 < store.first {
		return nil, fmt.Errorf("node: index %d has been applied, which the log, from %d on, does not continue", cfg.Applied, store.first)
	}
	n.cfg.Recovered = wal.Recovered{} // the storage lets go of entries in time
	rawNode, err := raft.NewRawNode(&raft.Config{
		ID:                        cfg.ID,
		ElectionTick:              cfg.ElectionTicks,
		HeartbeatTick:             cfg.HeartbeatTicks,
		Storage:                   store,
		Applied:                   cfg.Applied,
		AsyncStorageWrites:        true,
		MaxSizePerMsg:             cfg.MaxMessageBytes,
		MaxCommittedSizePerReady:  cfg.MaxApplyBytes,
		MaxUncommittedEntriesSize: cfg.MaxUncommittedBytes,
		MaxInflightMsgs:           cfg.MaxInflightMessages,
		MaxInflightBytes:          max(cfg.MaxInflightBytes, cfg.MaxMessageBytes),
		CheckQuorum:               !cfg.DisableCheckQuorum,
		PreVote:                   cfg.PreVote,
		Logger:                    raftLogger{cfg.Logger.Sugar()},
	})
	if err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	l := &loop{
		node: n, raft: rawNode, store: store, hard: hard,
		wantCampaign: true,
		nextRound:    rand.Uint64(),
	}
	l.setConf(cfg.ConfState)
	n.commit.Store(hard.Commit)
	n.applied.Store(cfg.Applied)
	n.soft.Store(&softState{term: hard.Term, vote: hard.Vote, changed: make(chan struct{})})

	n.running.Go(l.run)
	n.running.Go(n.runWAL)
	n.running.Go(n.runApply)
	n.running.Go(n.runReader)
	return n, nil
}

// Stop ends all goroutines and waits for them. What has not been handed to raft is refused with ErrStopped; a
// call of the Applier under way is waited for. Stop may be called more than once.
func (n *Node) Stop() {
	n.shutdown()
	n.running.Wait()
}

// shutdown lets all goroutines end. It reports whether this call was the first.
func (n *Node) shutdown() (first bool) {
	n.stopOnce.Do(func() {
		first = true
		close(n.stopping)
		n.walQueue.close()
		n.applyQueue.close()
		n.readQueue.close()
	})
	return first
}

// fatal stops the node from within. Only the first cause is told.
func (n *Node) fatal(err error) {
	if n.shutdown() {
		n.cfg.Logger.Error("the node stops", zap.Error(err))
		n.cfg.OnFatal(err)
	}
}
