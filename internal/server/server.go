package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"bowline/internal/admission"
	"bowline/internal/auth"
	"bowline/internal/config"
	"bowline/internal/engine"
	"bowline/internal/fsm"
	"bowline/internal/lease"
	"bowline/internal/mvcc"
	"bowline/internal/node"
	"bowline/internal/peers"
	"bowline/internal/phase"
	"bowline/internal/watch"
	"bowline/internal/wire"

	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
)

// Node is what the server asks of package node.
type Node interface {
	ProposeAsync(data []byte, refused func(error))
	ProposeConfChange(ctx context.Context, cc *raftpb.ConfChange) error
	ReadIndex(ctx context.Context) (uint64, error)
	TryReadIndex() (index uint64, ok bool)
	Status() node.Status
	LeaderChanged() <-chan struct{}
	TransferLeader(to uint64)
}

// Config of a Server. All fields are needed unless they say otherwise.
type Config struct {
	MemberID, ClusterID uint64
	Name                string
	ClientURLs          []string
	// ElectionTimeout is the time without a heartbeat after which a member stands
	// for election.
	ElectionTimeout time.Duration
	// MaxRequestBytes bounds an encoded proposal, MaxTxnOps the operations of each
	// branch of a transaction.
	MaxRequestBytes int
	MaxTxnOps       int
	// QuotaBytes is the space that the engine may take: 0 the default, negative
	// none.
	QuotaBytes int64
	// FreeSpace tells how much room the disk has left, in bytes, and Reserve how
	// much of it is not for growth. FreeSpace may be nil.
	FreeSpace func() (uint64, error)
	Reserve   uint64
	Engine    *engine.Engine
	Watch     *watch.Hub
	// LeaseClock is the leader's clock for leases.
	LeaseClock *lease.Keeper
	// Peers asks other members, and ActiveSince tells since when a member has been in
	// touch, zero if it is not. Both may be nil for a member alone.
	Peers       *peers.Client
	ActiveSince func(id uint64) time.Time
	// CorruptCheck is how often the leader compares all members' hashes, and
	// CompactHashCheck how often those of compactions; 0 means never.
	CorruptCheck, CompactHashCheck time.Duration
	// StrictReconfig refuses changes of members that would hurt the cluster.
	StrictReconfig bool
	// AutoCompaction says what the leader compacts by itself.
	AutoCompaction config.Compaction
	// Credentials tells what a caller shows to prove who it is. Without it all are
	// nobody.
	Credentials func(context.Context) Credentials
	Tokens      auth.Tokens
	// Memory tells when it is short; it may be nil.
	Memory *admission.Memory
	// UrgentRevocations lets leases be revoked when other proposals are refused.
	UrgentRevocations bool
	// FastKeepAlive renews leases that are known, whatever waits to be applied.
	FastKeepAlive bool
	// BcryptCost is the cost of hashing passwords; 0 is bcrypt's default.
	BcryptCost int
	Logger     *zap.Logger
}

// RequestTimeout is how long a request may take to be agreed on and applied.
func (c *Config) RequestTimeout() time.Duration { return 5*time.Second + 2*c.ElectionTimeout }

// maxBacklog is how far the applied index may be behind the committed one before
// new proposals are refused, and maxUrgentBacklog for urgent ones.
const (
	maxBacklog       = 5000
	maxUrgentBacklog = 2 * maxBacklog
)

type urgentKey struct{}

// urgent marks proposals that go on for longer when too much waits to be applied, if that
// is asked for: those that take load away.
func (s *Server) urgent(ctx context.Context) context.Context {
	if !s.cfg.UrgentRevocations {
		return ctx
	}
	return context.WithValue(ctx, urgentKey{}, true)
}

// Server serves requests. Create it with New, give it the FSM and the node with
// Attach, then Run it.
type Server struct {
	cfg     Config
	fsm     *fsm.FSM
	store   *mvcc.Store
	node    Node
	ids     *ids
	waiters *waiters
	applied appliedWait
	space   *space
	leader  leaderTimes
	failed  atomic.Int64
	expired atomic.Int64
	// comparedTo is the last compaction whose hashes were compared.
	comparedTo atomic.Int64
	// checkVersions has the version monitor look at once.
	checkVersions chan struct{}
	stats         *Stats
	passwords     *auth.Passwords
	rules         rulesSeen
	tokenWaits    atomic.Int64
	// background counts revocations in flight.
	background sync.WaitGroup
}

// RequestTimeout is how long a request may take to be agreed on and applied.
func (s *Server) RequestTimeout() time.Duration { return s.cfg.RequestTimeout() }

// New returns a server that can take results (Deliver) but no requests yet.
func New(cfg Config, now time.Time) *Server {
	return &Server{cfg: cfg, ids: newIDs(cfg.MemberID, now), waiters: newWaiters(), stats: newStats(),
		passwords: auth.NewPasswords(cfg.BcryptCost), checkVersions: make(chan struct{}, 1)}
}

// Attach gives the server the parts that are built after it. It must be called
// before any request and before Run.
func (s *Server) Attach(f *fsm.FSM, n Node) {
	s.fsm, s.store, s.node = f, f.Store(), n
	s.space = newSpace(&s.cfg)
	s.applied.init(f.Applied())
}

// Deliver takes the result of an applied request.
func (s *Server) Deliver(id uint64, r fsm.Result) { s.waiters.deliver(id, r) }

// AppliedTo tells those who wait for an applied index.
func (s *Server) AppliedTo(index uint64) { s.applied.reached(index) }

// Header is the header of an answer at a revision.
func (s *Server) Header(revision int64) wire.Header {
	return wire.Header{ClusterID: s.cfg.ClusterID, MemberID: s.cfg.MemberID, Revision: revision, RaftTerm: s.node.Status().Term}
}

// Pending is the number of proposals that wait for their result, Failed how many
// ended without one.
func (s *Server) Pending() int64 { return s.waiters.len() }

// Failed is the number of proposals that ended without a result.
func (s *Server) Failed() int64 { return s.failed.Load() }

// header is that of a request in the log.
type header struct {
	id  uint64
	who auth.Identity
}

// encoder makes a request for the log.
type encoder func(header) ([]byte, error)

// overloaded tells whether too much is agreed on and not applied.
func (s *Server) overloaded(ctx context.Context) bool {
	limit := uint64(maxBacklog)
	if ctx.Value(urgentKey{}) != nil {
		limit = maxUrgentBacklog
	}
	return s.node.Status().Commit > s.fsm.Applied()+limit
}

// propose has a request agreed on and applied that is nobody's but the cluster's. The
// error is a refusal or tells that the outcome is unknown.
func (s *Server) propose(ctx context.Context, encode encoder) (fsm.Result, error) {
	return s.proposeAs(ctx, auth.Identity{}, encode)
}

// proposeAs is propose on behalf of somebody.
func (s *Server) proposeAs(ctx context.Context, who auth.Identity, encode encoder) (fsm.Result, error) {
	if s.overloaded(ctx) {
		return fsm.Result{}, ErrTooManyRequests
	}
	id := s.ids.next()
	data, err := encode(header{id, who})
	if err != nil {
		return fsm.Result{}, err
	}
	if len(data) > s.cfg.MaxRequestBytes {
		return fsm.Result{}, ErrRequestTooLarge
	}
	deadline := time.Now().Add(s.cfg.RequestTimeout())
	return s.proposeUntilTaken(ctx, id, deadline, func(refused func(error)) { s.node.ProposeAsync(data, refused) })
}

// proposeUntilTaken hands a proposal to raft, again as long as nobody takes it, and
// waits for its result. hand may call refused, once, at any time.
func (s *Server) proposeUntilTaken(ctx context.Context, id uint64, deadline time.Time, hand func(refused func(error))) (fsm.Result, error) {
	for {
		r, err := s.proposeOnce(ctx, id, deadline, hand)
		if !errors.Is(err, errNotTaken) {
			return r, err
		}
		// Nobody has taken it, so it may be proposed again once there is a leader.
		if err := s.awaitLeader(ctx, deadline); err != nil {
			s.failed.Add(1)
			return fsm.Result{}, err
		}
	}
}

// errNotTaken tells that raft has refused a proposal, which will therefore never
// be applied.
var errNotTaken = errors.New("server: the proposal was not taken")

func (s *Server) proposeOnce(ctx context.Context, id uint64, deadline time.Time, hand func(refused func(error))) (fsm.Result, error) {
	w, ok := s.waiters.register(id, deadline)
	if !ok {
		return fsm.Result{}, ErrStopped
	}
	line := phase.Of(ctx)
	line.End("check and encode", w.since)
	hand(func(err error) { s.refused(id, err) })
	select {
	case r := <-w.result:
		s.waiters.release(w)
		if line != nil {
			now := time.Now()
			line.End("agree", now.Add(-r.Took))
			line.End("apply", now)
		}
		s.countFailure(r.Err)
		return r, r.Err
	case <-ctx.Done():
		if !s.waiters.forget(id) {
			// The result was on its way: it is the truth.
			r := <-w.result
			s.waiters.release(w)
			return r, r.Err
		}
		s.failed.Add(1)
		return fsm.Result{}, ctx.Err()
	}
}

// refused takes node's word that a proposal was not accepted.
func (s *Server) refused(id uint64, err error) {
	switch {
	case errors.Is(err, node.ErrStopped):
		err = ErrStopped
	case errors.Is(err, node.ErrBusy):
		err = ErrTooManyRequests
	case errors.Is(err, node.ErrNoLeader), errors.Is(err, node.ErrProposalDropped), errors.Is(err, node.ErrConfChangePending):
		err = errNotTaken
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return // whoever waits sees its own context
	default:
		err = fmt.Errorf("etcdserver: %w", err)
	}
	s.waiters.deliver(id, fsm.Result{Err: err})
}

// awaitLeader waits for a leader, or a little while if there is one that does not
// take proposals now. As in etcd, a request that nobody takes ends like one whose
// own deadline has passed.
func (s *Server) awaitLeader(ctx context.Context, deadline time.Time) error {
	const pause = 50 * time.Millisecond
	changed := s.node.LeaderChanged()
	wait := time.Until(deadline)
	if s.node.Status().Leader != 0 {
		wait = min(wait, pause)
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-changed:
	case <-t.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	if !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return nil
}

func (s *Server) countFailure(err error) {
	if errors.Is(err, ErrTimeout) || errors.Is(err, ErrTimeoutLeader) || errors.Is(err, ErrStopped) {
		s.failed.Add(1)
	}
}

// readIndex waits until everything that was committed when it was called has been
// applied here.
func (s *Server) readIndex(ctx context.Context) error {
	if index, ok := s.node.TryReadIndex(); ok && index <= s.fsm.Applied() {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.cfg.RequestTimeout(), ErrTimeout)
	defer cancel()
	index, err := s.node.ReadIndex(ctx)
	line := phase.Of(ctx)
	line.End("agree on a read index", time.Now())
	if err == nil {
		err = s.applied.wait(ctx, index)
		line.End("wait until it is applied", time.Now())
	}
	return s.readError(ctx, err)
}

func (s *Server) readError(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, node.ErrStopped):
		return ErrStopped
	case ctx.Err() != nil:
		s.stats.ReadIndexesSlow.Add(1)
		return context.Cause(ctx)
	case errors.Is(err, node.ErrNoLeader), errors.Is(err, node.ErrProposalDropped):
		s.stats.ReadIndexesFailed.Add(1)
		return ErrTimeout
	}
	return err
}
