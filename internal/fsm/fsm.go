package fsm

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"bowline/internal/auth"
	"bowline/internal/cluster"
	"bowline/internal/engine"
	"bowline/internal/lease"
	"bowline/internal/mvcc"
	"bowline/internal/v2"
	"bowline/internal/wire"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
)

// Result is what applying one request came to.
type Result struct {
	// Err is the refusal, if it was refused. Its text reaches the client.
	Err error
	// Revision is the store's revision for the answer's header.
	Revision int64
	// Body is the encoded fields of the response that follow its header.
	Body []byte
	// V2 is what a request of API v2 came to.
	V2 *v2.Result
	// Took is how long it took to apply it, with its group.
	Took time.Duration
	// Done, if not nil, is closed when work that goes on in the background (the
	// removal of a compaction) is finished.
	Done <-chan struct{}
}

// Config of an FSM. Every function is called from Apply's goroutine and must not
// block.
type Config struct {
	Engine *engine.Engine
	Store  mvcc.Options
	// MinLeaseTTL raises shorter TTLs, in seconds.
	MinLeaseTTL int64
	// MaxLearners refuses more learners than this; 0 means no limit. It must be the
	// same on all members.
	MaxLearners int
	// Deliver takes the result of the request with this ID.
	Deliver func(id uint64, r Result)
	// Publish takes the events of the revisions up to rev, in order. complete is
	// false if they were too many to hold: watchers must read the history.
	Publish func(rev int64, events []mvcc.Event, complete bool)
	// LeaseGranted, LeaseRevoked and EmptyEntry inform the leader's clock.
	LeaseGranted func(id, ttl int64)
	LeaseRevoked func(id int64)
	// EmptyEntry is called for the entry that opens a leader's term.
	EmptyEntry func(term uint64)
	// MembersChanged is told of the member list after each change of it. It may be
	// nil.
	MembersChanged func(*cluster.View)
	// Tokens is told what becomes of tokens, and RulesChanged of each change of the
	// rules of access. Both may be nil.
	Tokens       Tokens
	RulesChanged func(*auth.Rules)
	// CompactRecords is how many revision records a compaction reads in one step, and
	// CompactRest the least pause between two steps; 0 leaves that to us.
	CompactRecords int
	CompactRest    time.Duration
	// Fatal is called when the background work cannot go on.
	Fatal func(error)
	// Elapsed is a monotonic clock, for measuring alone: what is written never
	// depends on it. nil measures nothing.
	Elapsed func() time.Duration
	// SlowApply is from when a request is worth a warning.
	SlowApply time.Duration
	// ClusterID and MemberID are this member's, for lines of the log alone.
	ClusterID, MemberID uint64
	Logger              *zap.Logger
}

// FSM is the replicated state of a member.
type FSM struct {
	cfg    Config
	engine *engine.Engine
	store  *mvcc.Store
	v2     *v2.Store
	leases *lease.Table

	// mu is held by whoever writes the engine: a group of Apply, or a step of
	// the compactor.
	mu sync.Mutex
	// waiting is raised while Apply waits for mu: a mutex alone would let the
	// compactor, which comes back for it at once, have it again and again.
	waiting atomic.Int32
	// position is the last applied entry; mu guards it.
	position Position
	// put, header and request are what decode reuses for puts, and bare for requests of API
	// v2; only Apply uses them.
	put     pb.PutRequest
	header  pb.RequestHeader
	request pb.InternalRaftRequest
	bare    pb.InternalRaftRequest
	// old is the request that decode has found, if it is one of API v2 for the tree.
	old *wire.V2Request
	// physical are those who wait for the removal up to a revision; mu guards it.
	physical []physicalWaiter

	applied atomic.Uint64
	// unflushed is the size of the entries applied since the last flush began.
	unflushed atomic.Int64
	// rules change only while nothing else is in a group.
	rules   atomic.Pointer[auth.Rules]
	members atomic.Pointer[cluster.View]
	alarms  atomic.Pointer[[]*pb.AlarmMember]
	version atomic.Pointer[string]
	lowered atomic.Pointer[Downgrade] // never nil
	stats   *Stats

	compact chan struct{}
	stop    context.CancelFunc
	done    chan struct{}
}

type physicalWaiter struct {
	rev  int64
	done chan struct{}
}

// flushBytes is how much of the log may be applied but not flushed: it is
// applied again after a crash, and that is most of the time a restart takes.
const flushBytes = 16 << 20

// Open reads the state from the engine.
func Open(cfg Config) (*FSM, error) {
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	f := &FSM{cfg: cfg, engine: cfg.Engine, leases: lease.NewTable(cfg.MinLeaseTTL), compact: make(chan struct{}, 1), stats: newStats()}
	l, err := load(cfg.Engine, cfg.Store)
	if err != nil {
		return nil, err
	}
	f.store = l.store
	f.v2 = v2.New(cfg.Engine, l.v2)
	f.take(l)
	return f, nil
}

// Start begins the background work.
func (f *FSM) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	f.stop, f.done = cancel, make(chan struct{})
	go f.runCompactor(ctx)
	f.kickCompactor()
}

// Stop ends the background work and waits for it. Apply must not be called any
// more. It is allowed without Start.
func (f *FSM) Stop() {
	if f.stop == nil {
		return
	}
	f.stop()
	<-f.done
}

// Store is the key space, for readers.
func (f *FSM) Store() *mvcc.Store { return f.store }

// V2 is the tree of API v2, for readers and those who watch it.
func (f *FSM) V2() *v2.Store { return f.v2 }

// Leases is the table of leases, for readers.
func (f *FSM) Leases() *lease.Table { return f.leases }

// Applied is the index of the last applied entry.
func (f *FSM) Applied() uint64 { return f.applied.Load() }

// Members is the member list.
func (f *FSM) Members() *cluster.View { return f.members.Load() }

// ClusterVersion is the negotiated version, like "3.7.0", empty if there is none.
func (f *FSM) ClusterVersion() string { return *f.version.Load() }

// Alarms are the raised alarms. The slice must not be modified.
func (f *FSM) Alarms() []*pb.AlarmMember { return *f.alarms.Load() }

// AlarmRaised tells whether any member has raised an alarm of this type.
func (f *FSM) AlarmRaised(t pb.AlarmType) bool {
	for _, a := range f.Alarms() {
		if a.Alarm == t {
			return true
		}
	}
	return false
}

// Unflushed is the size of the entries that a crash now would make the member
// apply again.
func (f *FSM) Unflushed() int64 { return f.unflushed.Load() }

// StartFlush begins to write what is applied to disk, if there is anything.
func (f *FSM) StartFlush() error {
	f.unflushed.Store(0)
	return f.engine.StartFlush()
}

// Check walks the whole state and compares every derived record with its source.
// Nothing may be applied meanwhile.
func (f *FSM) Check(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.store.Check(ctx); err != nil {
		return err
	}
	if err := f.checkLeases(); err != nil {
		return err
	}
	if err := f.checkRules(); err != nil {
		return err
	}
	return f.v2.Check()
}

// checkLeases compares the lease records and attachments with the leases in use.
func (f *FSM) checkLeases() error {
	n := 0
	err := each(f.engine, engine.ClassLease, func(_, value []byte) error {
		n++
		l, err := lease.Parse(value)
		if err != nil {
			return err
		}
		if _, ok := f.leases.Get(l.ID); !ok {
			return fmt.Errorf("fsm: lease %x is stored but not in use", l.ID)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if n != f.leases.Len() {
		return fmt.Errorf("fsm: %d leases are stored, %d in use", n, f.leases.Len())
	}
	return f.checkAttachments()
}
