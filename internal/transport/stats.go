package transport

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"bowline/internal/tally"

	"go.etcd.io/raft/v3/raftpb"
)

// peerFigures count what goes to and comes from one peer.
type peerFigures struct {
	sentBytes, receivedBytes       atomic.Uint64
	sentFailures, receivedFailures atomic.Uint64
	roundTrips                     *tally.Histogram
}

func newPeerFigures() peerFigures {
	return peerFigures{roundTrips: tally.Durations(100*time.Microsecond, 16)}
}

// PeerStats is what has been counted of one peer since it was added, and until it was removed. Remotes are left out.
type PeerStats struct {
	ID          uint64
	ActiveSince time.Time // zero if it cannot be reached, or was removed
	Disconnects uint64
	// Failures are messages: not sent, or received and not taken.
	SentBytes, SentFailures, ReceivedBytes, ReceivedFailures uint64
	RoundTrips                                               tally.Snapshot
}

func (p *peer) stats() PeerStats {
	f := &p.figures
	return PeerStats{
		ID: p.id, ActiveSince: p.activity.activeSince(), Disconnects: p.activity.disconnects.Load(),
		SentBytes: f.sentBytes.Load(), SentFailures: f.sentFailures.Load(),
		ReceivedBytes: f.receivedBytes.Load(), ReceivedFailures: f.receivedFailures.Load(),
		RoundTrips: f.roundTrips.Snapshot(),
	}
}

// Peers returns the figures of all peers, and the last ones of the latest 64 that were removed, by ID.
func (t *Transport) Peers() []PeerStats {
	t.mu.Lock()
	out := slices.Clone(t.former)
	for _, p := range *t.peers.Load() {
		if p.member {
			out = append(out, p.stats())
		}
	}
	t.mu.Unlock()
	slices.SortFunc(out, func(a, b PeerStats) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// maxFormer is how many removed peers are told of.
const maxFormer = 64

// keepStatsLocked keeps what was counted of a member that is being removed. A counter that is gone looks to those who
// watch as one that was never there.
func (t *Transport) keepStatsLocked(p *peer) {
	last := p.stats()
	if !last.ActiveSince.IsZero() {
		last.ActiveSince = time.Time{}
		last.Disconnects++
	}
	t.former = append(t.former, last)
	if len(t.former) > maxFormer {
		t.former = slices.Delete(t.former, 0, 1)
	}
}

// forgetStatsLocked makes room for the figures of a peer that comes back.
func (t *Transport) forgetStatsLocked(id uint64) {
	t.former = slices.DeleteFunc(t.former, func(s PeerStats) bool { return s.ID == id })
}

// dropReason is why a message was dropped.
type dropReason int

const (
	droppedFull     dropReason = iota // too much waits for the peer
	droppedBroken                     // the connection ended, or could not be made
	droppedUnknown                    // nobody has that ID
	droppedSnapshot                   // a state could not be sent
	droppedInvalid                    // received, and not to be given to raft
	droppedBusy                       // received, and not taken by raft
	dropReasons
)

// String is the reason as a metric's label.
func (r dropReason) String() string {
	return [...]string{"queue_full", "unreachable", "unknown", "snapshot", "invalid", "busy"}[r]
}

// messageTypes are as many as raft has; what a peer invents is counted as the last.
const messageTypes = int(raftpb.MsgForgetLeader) + 1

type dropCounts [dropReasons][messageTypes + 1]atomic.Uint64

func (c *dropCounts) count(m *raftpb.Message, why dropReason) {
	kind := int(m.GetType())
	if kind < 0 || kind > messageTypes {
		kind = messageTypes
	}
	c[why][kind].Add(1)
}

// Drop is how many messages of a type ("MsgApp") were dropped for a reason.
type Drop struct {
	Type, Reason string
	Count        uint64
}

// Drops returns what was dropped, in a fixed order, without what never was.
func (t *Transport) Drops() []Drop { return t.drops.list() }

func (c *dropCounts) list() (out []Drop) {
	for why := range dropReasons {
		for kind := range messageTypes + 1 {
			if n := c[why][kind].Load(); n > 0 {
				name := "unknown"
				if kind < messageTypes {
					name = raftpb.MessageType(kind).String()
				}
				out = append(out, Drop{name, why.String(), n})
			}
		}
	}
	return out
}
