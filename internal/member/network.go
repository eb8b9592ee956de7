package member

import (
	"context"
	"math"
	"net"
	"net/http"
	"slices"
	"time"

	"bowline/internal/certs"
	"bowline/internal/cluster"
	"bowline/internal/httpapi"
	"bowline/internal/peers"
	"bowline/internal/server"
	"bowline/internal/socket"
	"bowline/internal/transport"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
)

// oldestPeer is the oldest version of other members that this one talks with.
const oldestPeer = "3.0.0"

// peerClient asks other members. It is also used before this member knows its
// cluster.
func (m *Member) peerClient() *peers.Client {
	return &peers.Client{HTTP: m.peerHTTP, ClusterID: m.id.clusterID}
}

// newPeerHTTP is the client for questions to other members. Each question has a
// deadline of its own.
func newPeerHTTP(dial func(ctx context.Context, network, address string) (net.Conn, error), side *certs.Side) *http.Client {
	return &http.Client{
		Transport: socket.Follow(&http.Transport{
			DialContext: dial, DialTLSContext: side.Dialer(dial), MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute,
		}),
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
}

func dialTimeout(cfg *Config) time.Duration { return time.Second + cfg.electionTimeout() }

// openTransport builds the transport. Nothing comes from it before the peer ports are
// served, or peers added, which is after the node has started.
func (m *Member) openTransport() (err error) {
	m.transport, err = transport.New(transport.Config{
		ID: m.id.memberID, ClusterID: m.id.clusterID, PeerURLs: m.ownPeerURLs,
		Version: server.Version, MinClusterVersion: oldestPeer, DialTimeout: dialTimeout(&m.cfg), Dial: peerDial(&m.cfg, m.log),
		Handshake: m.sides.peers.Handshake, ReadTimeout: m.cfg.PeerReadTimeout, WriteTimeout: m.cfg.PeerWriteTimeout,
		Raft: raftSide{m}, SendSnapshot: m.sendState, OnRemoved: m.removed, Logger: m.log,
	})
	return err
}

// ownPeerURLs are where the others reach this member.
func (m *Member) ownPeerURLs() []string {
	if own := m.fsm.Members().Member(m.id.memberID); own != nil {
		return own.PeerURLs
	}
	return m.cfg.AdvertisePeerURLs
}

// raftSide is what the transport sees of the member.
type raftSide struct{ m *Member }

func (r raftSide) Step(messages ...*raftpb.Message) int {
	if r.m.cfg.EnableV2 {
		r.m.entries.countReceived(messages)
	}
	return r.m.node.Step(messages...)
}

func (r raftSide) ReportUnreachable(id uint64) { r.m.node.ReportUnreachable(id) }
func (r raftSide) Removed(id uint64) bool      { return r.m.fsm.Members().Removed(id) }
func (r raftSide) ReportSnapshot(id uint64, status raft.SnapshotStatus) {
	r.m.node.ReportSnapshot(id, status)
}

// activeSince is since when a member has been in touch.
func (m *Member) activeSince(id uint64) time.Time { return m.transport.ActiveSince(id) }

// connect talks with the members there are; those of a cluster being joined are not
// known from the log yet.
func (m *Member) connect(remotes []cluster.Member) {
	for i := range remotes {
		if remotes[i].ID == m.id.memberID {
			continue
		}
		if err := m.transport.AddRemote(remotes[i].ID, remotes[i].PeerURLs); err != nil {
			m.log.Warn("a member cannot be reached", zap.String("remote-peer-id", hex(remotes[i].ID)), zap.Error(err))
		}
	}
	m.membersChanged(m.fsm.Members())
}

// membersChanged makes the transport talk with the members that there are now, and
// notices when this one is not among them any more. Calls come one after another.
func (m *Member) membersChanged(view *cluster.View) {
	known := m.connected
	m.connected = make(map[uint64][]string)
	for _, p := range view.Members() {
		if p.ID == m.id.memberID {
			continue
		}
		m.connected[p.ID] = p.PeerURLs
		var err error
		switch urls, ok := known[p.ID]; {
		case !ok:
			err = m.transport.AddPeer(p.ID, p.PeerURLs)
		case !slices.Equal(urls, p.PeerURLs):
			err = m.transport.UpdatePeer(p.ID, p.PeerURLs)
		}
		if err != nil {
			m.log.Warn("a member cannot be reached", zap.String("remote-peer-id", hex(p.ID)), zap.Error(err))
		}
	}
	for id := range known {
		if _, ok := m.connected[id]; !ok {
			m.transport.RemovePeer(id)
		}
	}
	if view.Removed(m.id.memberID) {
		m.removed(transport.ErrRemoved)
	}
}

// removalDelay is how long a member that has been removed goes on, so that the others
// hear what it has to say.
const removalDelay = time.Second

// removed ends a member that is not part of its cluster any more.
func (m *Member) removed(err error) {
	m.removal.Do(func() {
		m.log.Warn("server error", zap.Error(err))
		m.log.Warn("data-dir used by this member must be removed")
		m.removalTimer = time.AfterFunc(removalDelay, func() { m.fail(ErrRemoved) })
	})
}

// peerMux is what the peer port serves. Messages and states, which are large and take their
// time, have limits of their own; the deadline here is for bodies that nobody reads.
func (m *Member) peerMux(api *httpapi.API) http.Handler {
	questions := http.NewServeMux()
	api.RegisterVersion(questions)
	(&peers.Handler{API: m.server.PeerAPI(), ClusterID: m.id.clusterID}).Register(questions)
	mux := http.NewServeMux()
	mux.Handle("/", httpapi.Bounds{Body: peers.MaxQuestionBytes, Arrival: bodyTimeout, Departure: readerTimeout}.Wrap(questions))
	m.receiveStates(mux)
	mux.Handle("/raft", m.transport.Handler())
	mux.Handle("/raft/", m.transport.Handler())
	return httpapi.Bounds{Body: math.MaxInt64, Arrival: bodyTimeout}.Wrap(mux)
}

// hurryElection shortens the wait for the first election of a restarted or new member:
// with somebody to talk to there is no reason to wait for a whole election time-out.
func (m *Member) hurryElection(ctx context.Context) {
	const interval, patience = 50 * time.Millisecond, 5 * time.Second
	t := time.NewTicker(interval)
	defer t.Stop()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		for _, p := range m.fsm.Members().Members() {
			if p.ID != m.id.memberID && !m.transport.ActiveSince(p.ID).IsZero() {
				m.node.AdvanceTicks(m.cfg.ElectionTicks - 2)
				return
			}
		}
		select {
		case <-t.C:
		case <-deadline.C:
			return
		case <-ctx.Done():
			return
		}
	}
}
