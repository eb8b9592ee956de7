package transport

import (
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

// PeerStats is what has been counted of one peer since it was added. Remotes are left out.
type PeerStats struct {
	ID          uint64
	ActiveSince time.Time // zero if it cannot be reached
	Disconnects uint64
	// Failures are messages: not sent, or received and not taken.
	SentBytes, SentFailures, ReceivedBytes, ReceivedFailures uint64
	RoundTrips                                               tally.Snapshot
}

// Peers returns the figures of all peers, by ID.
func (t *Transport) Peers() (out []PeerStats) {
	for _, p := range *t.peers.Load() {
		if !p.member {
			continue
		}
		f := &p.figures
		out = append(out, PeerStats{
			ID: p.id, ActiveSince: p.activity.activeSince(), Disconnects: p.activity.disconnects.Load(),
			SentBytes: f.sentBytes.Load(), SentFailures: f.sentFailures.Load(),
			ReceivedBytes: f.receivedBytes.Load(), ReceivedFailures: f.receivedFailures.Load(),
			RoundTrips: f.roundTrips.Snapshot(),
		})
	}
	slices.SortFunc(out, func(a, b PeerStats) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return out
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
