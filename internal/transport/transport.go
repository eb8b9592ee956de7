package transport

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"bowline/internal/socket"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
)

// ErrRemoved is what Config.OnRemoved is told.
var ErrRemoved = errors.New("the member has been permanently removed from the cluster")

// Raft is what receives messages and is told of the lost ones. No method blocks.
type Raft interface {
	// Step takes received messages and returns how many were taken.
	Step(messages ...*raftpb.Message) (taken int)
	ReportUnreachable(id uint64)
	ReportSnapshot(id uint64, status raft.SnapshotStatus)
	// Removed tells whether a member has been removed from the cluster.
	Removed(id uint64) bool
}

// Config is what a Transport is made of. ID, ClusterID, Version, MinClusterVersion and Raft are required.
type Config struct {
	ID, ClusterID uint64
	// PeerURLs are the URLs at which this member wants to be reached.
	PeerURLs func() []string
	// Version is this member's, MinClusterVersion the oldest it works with: both "3.7.1".
	Version, MinClusterVersion string
	// DialTimeout bounds how long a connection may take (default 2 s).
	DialTimeout time.Duration
	// ReadTimeout is how long a stream may be silent, WriteTimeout how long a piece of data may take to be written (default
	// and least 5 s: other members send a sign of life every 5/3 s).
	ReadTimeout, WriteTimeout time.Duration
	// Handshake makes a connection to a host secure, for https URLs, or closes it. nil means by Go's defaults.
	Handshake func(ctx context.Context, c net.Conn, host string) (net.Conn, error)
	// Dial opens connections: of the network "tcp", and "unix" for unix and unixs URLs. nil means by net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	Raft Raft
	// SendSnapshot moves a whole state to a member and returns when that has it. It runs in a goroutine of its own, at most
	// one for each member, and must end with its context. Without it every snapshot fails.
	SendSnapshot func(ctx context.Context, to Destination, m *raftpb.Message) error
	// OnRemoved is told, once, that another member says that this one has been removed from the cluster.
	OnRemoved func(error)
	Logger    *zap.Logger
}

// Transport carries one member's messages.
type Transport struct {
	cfg             Config
	log             *zap.Logger
	id, cluster     string // as in headers
	version, oldest release
	streams, posts  *socket.Client
	drops           dropCounts
	bodies          bodies

	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
	removed sync.Once

	peers atomic.Pointer[map[uint64]*peer] // replaced, never changed

	mu      sync.Mutex // guards replacing peers, what is below, and the beginning of goroutines
	stopped bool
	former  []PeerStats // of removed peers, the latest last
}

// maxRemotes bounds the senders that are remembered without being members.
const maxRemotes = 64

// New returns a Transport without peers.
func New(cfg Config) (*Transport, error) {
	version, err := parseRelease(cfg.Version)
	if err != nil {
		return nil, err
	}
	oldest, err := parseRelease(cfg.MinClusterVersion)
	if err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	if cfg.DialTimeout == 0 {
		cfg.DialTimeout = 2 * time.Second
	}
	cfg.ReadTimeout, cfg.WriteTimeout = max(cfg.ReadTimeout, stallTimeout), max(cfg.WriteTimeout, stallTimeout)
	if cfg.Dial == nil {
		cfg.Dial = (&net.Dialer{Timeout: cfg.DialTimeout, KeepAlive: 30 * time.Second}).DialContext
	}
	t := &Transport{cfg: cfg, log: cfg.Logger, id: hex(cfg.ID), cluster: hex(cfg.ClusterID), version: version, oldest: oldest}
	t.streams, t.posts = newStreamClient(&cfg), newPostClient(&cfg)
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.peers.Store(&map[uint64]*peer{})
	return t, nil
}

// hex is an ID as text.
func hex(id uint64) string { return strconv.FormatUint(id, 16) }

// Send passes messages on, or drops and reports them. It never blocks and may be called by several goroutines at once.
// Messages to 0, and to who is not known, are dropped in silence.
func (t *Transport) Send(messages []*raftpb.Message) {
	peers := *t.peers.Load()
	skip := superseded(messages)
	var unreachable []uint64
	for i, m := range messages {
		to := m.GetTo()
		if to == 0 || skip != nil && skip[i] {
			continue
		}
		p := peers[to]
		if p == nil {
			t.drops.count(m, droppedUnknown)
			t.log.Debug("ignored message send request; unknown remote peer target",
				zap.Stringer("type", m.GetType()), zap.String("unknown-target-peer-id", hex(to)))
			continue
		}
		if !p.send(m) && !slices.Contains(unreachable, to) {
			unreachable = append(unreachable, to)
		}
	}
	for _, id := range unreachable {
		t.cfg.Raft.ReportUnreachable(id)
	}
}

// superseded marks acknowledgements behind which, in the same messages, comes one of more. It returns nil if there are none.
func superseded(messages []*raftpb.Message) (skip []bool) {
	var last []*raftpb.Message // one for each destination
	for i, m := range slices.Backward(messages) {
		if m.GetType() != raftpb.MsgAppResp || m.GetReject() {
			continue
		}
		at := slices.IndexFunc(last, func(l *raftpb.Message) bool { return l.GetTo() == m.GetTo() })
		switch {
		case at < 0:
			last = append(last, m)
		case last[at].GetTerm() == m.GetTerm() && last[at].GetIndex() >= m.GetIndex():
			if skip == nil {
				skip = make([]bool, len(messages))
			}
			skip[i] = true
		}
	}
	return skip
}

// AddPeer begins to talk with another member. URLs that are none are an error.
func (t *Transport) AddPeer(id uint64, urls []string) error {
	picker, err := newURLPicker(urls)
	if err != nil {
		return err
	}
	if id == t.cfg.ID || id == 0 {
		return fmt.Errorf("transport: %s cannot be a peer of %s", hex(id), t.id)
	}
	p, added := t.add(id, picker, true)
	if added {
		t.log.Info("starting remote peer", zap.String("remote-peer-id", hex(id)))
		p.start()
		t.log.Info("started remote peer", zap.String("remote-peer-id", hex(id)))
		t.log.Info("added remote peer", zap.String("local-member-id", t.id),
			zap.String("remote-peer-id", hex(id)), zap.Strings("remote-peer-urls", urls))
	}
	return nil
}

// AddRemote remembers who has sent something without being known as a member: answers go to it by POST. Of such there are
// only so many; it does nothing for a peer.
func (t *Transport) AddRemote(id uint64, urls []string) error {
	picker, err := newURLPicker(urls)
	if err != nil {
		return err
	}
	if id == t.cfg.ID || id == 0 || t.cfg.Raft.Removed(id) {
		return nil
	}
	if _, added := t.add(id, picker, false); added {
		t.log.Info("added new remote peer", zap.String("local-member-id", t.id),
			zap.String("remote-peer-id", hex(id)), zap.Strings("remote-peer-urls", urls))
	}
	return nil
}

// add puts a peer into the table, in the place of a remote if there is one.
func (t *Transport) add(id uint64, urls *urlPicker, member bool) (p *peer, added bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	peers := *t.peers.Load()
	old := peers[id]
	switch {
	case t.stopped:
		return nil, false
	case old != nil && (old.member || !member):
		return old, false
	case !member && countRemotes(peers) >= maxRemotes:
		return nil, false
	}
	if old != nil {
		old.cancel()
	}
	if member {
		t.forgetStatsLocked(id)
	}
	p = newPeer(t, id, urls, member)
	peers = maps.Clone(peers)
	peers[id] = p
	t.peers.Store(&peers)
	return p, true
}

func countRemotes(peers map[uint64]*peer) (n int) {
	for _, p := range peers {
		if !p.member {
			n++
		}
	}
	return n
}

// UpdatePeer replaces the URLs of a peer.
func (t *Transport) UpdatePeer(id uint64, urls []string) error {
	picker, err := newURLPicker(urls)
	if err != nil {
		return err
	}
	if p := t.peer(id); p != nil {
		p.urls.replace(picker)
		t.log.Info("updated remote peer", zap.String("local-member-id", t.id),
			zap.String("updated-remote-peer-id", hex(id)), zap.Strings("updated-remote-peer-urls", urls))
	}
	return nil
}

// RemovePeer ends talking with a peer or remote. It does not wait.
func (t *Transport) RemovePeer(id uint64) {
	t.mu.Lock()
	peers := *t.peers.Load()
	p := peers[id]
	if p != nil {
		peers = maps.Clone(peers)
		delete(peers, id)
		t.peers.Store(&peers)
		p.cancel()
		if p.member {
			t.keepStatsLocked(p)
		}
	}
	t.mu.Unlock()
	if p != nil {
		t.log.Info("stopped remote peer", zap.String("remote-peer-id", hex(id)))
		t.log.Info("removed remote peer", zap.String("local-member-id", t.id), zap.String("removed-remote-peer-id", hex(id)))
	}
}

func (t *Transport) peer(id uint64) *peer { return (*t.peers.Load())[id] }

// member is a peer that is no remote.
func (t *Transport) member(id uint64) *peer {
	if p := t.peer(id); p != nil && p.member {
		return p
	}
	return nil
}

// ActiveSince is since when a peer has been reached without an error, and zero if it is not reached.
func (t *Transport) ActiveSince(id uint64) time.Time {
	if p := t.peer(id); p != nil {
		return p.activity.activeSince()
	}
	return time.Time{}
}

// Stop ends everything, streams being served included, and waits for it.
func (t *Transport) Stop() {
	t.mu.Lock()
	t.stopped = true
	peers := t.peers.Swap(&map[uint64]*peer{})
	t.mu.Unlock()
	for id := range *peers {
		t.log.Info("stopping remote peer", zap.String("remote-peer-id", hex(id)))
	}
	t.cancel()
	t.running.Wait()
	for id := range *peers {
		t.log.Info("stopped remote peer", zap.String("remote-peer-id", hex(id)))
	}
	t.streams.CloseIdleConnections()
	t.posts.CloseIdleConnections()
}

// enter counts something that Stop has to wait for, unless it is too late. The caller calls t.running.Done.
func (t *Transport) enter() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.stopped {
		t.running.Add(1)
	}
	return !t.stopped
}

// spawn starts a goroutine that Stop waits for.
func (t *Transport) spawn(f func()) bool {
	if !t.enter() {
		return false
	}
	go func() {
		defer t.running.Done()
		f()
	}()
	return true
}

// wasRemoved tells the owner what a peer has said.
func (t *Transport) wasRemoved() {
	t.removed.Do(func() {
		if t.cfg.OnRemoved != nil {
			t.cfg.OnRemoved(ErrRemoved)
		}
	})
}
