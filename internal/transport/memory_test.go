package transport

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// clock is a time that tests move.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

// three joins members 1, 2 and 3, who all know each other.
func three(t *testing.T, n *Network) map[uint64]*fakeRaft {
	rafts := map[uint64]*fakeRaft{}
	for id := range uint64(3) {
		rafts[id+1] = newFakeRaft()
		e := n.Join(Member{ID: id + 1, Raft: rafts[id+1]})
		for other := range uint64(3) {
			mustAdd(t, e.AddPeer(other+1, nil))
		}
	}
	return rafts
}

func terms(f *fakeRaft) (out []uint64) {
	for _, m := range f.received {
		out = append(out, m.GetTerm())
	}
	return out
}

func TestFate(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		fate map[uint64][]time.Duration // by term
		want []uint64
	}{
		"as sent":   {map[uint64][]time.Duration{1: {0}, 2: {0}, 3: {0}}, []uint64{1, 2, 3}},
		"lost":      {map[uint64][]time.Duration{1: {0}, 3: {0}}, []uint64{1, 3}},
		"doubled":   {map[uint64][]time.Duration{1: {0, 5 * ms}, 2: {ms}, 3: {ms}}, []uint64{1, 2, 3, 1}},
		"reordered": {map[uint64][]time.Duration{1: {3 * ms}, 2: {2 * ms}, 3: {ms}}, []uint64{3, 2, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			c0 := &clock{time.Unix(5, 0)}
			n := NewNetwork(c0.now)
			rafts := three(t, n)
			n.SetFate(func(p Packet) []time.Duration { return c.fate[p.Message.GetTerm()] })
			for term := range uint64(3) {
				n.members[1].Send([]*raftpb.Message{message(raftpb.MsgVote, 1, 2, term+1)})
			}
			for {
				n.Deliver()
				due, waiting := n.Next()
				if !waiting {
					break
				}
				if !due.After(c0.at) {
					t.Fatalf("what is due at %v still waits at %v", due, c0.at)
				}
				c0.at = due
			}
			if got := terms(rafts[2]); !slices.Equal(got, c.want) {
				t.Errorf("came %v, want %v", got, c.want)
			}
			if len(rafts[1].unreachable) > 0 {
				t.Error("the sender has noticed")
			}
		})
	}
}

func TestCutIsOneWay(t *testing.T) {
	c := &clock{time.Unix(5, 0)}
	n := NewNetwork(c.now)
	rafts := three(t, n)
	send := func(from, to uint64, kind raftpb.MessageType) {
		n.members[from].Send([]*raftpb.Message{message(kind, from, to, 1)})
	}
	send(1, 2, raftpb.MsgVote) // on the way when the link goes
	n.Cut(1, 2, true)
	send(1, 2, raftpb.MsgVote)
	send(1, 2, raftpb.MsgSnap)
	send(2, 1, raftpb.MsgVote)
	send(1, 3, raftpb.MsgVote)
	n.Deliver()
	if a, b, c := len(rafts[1].received), len(rafts[2].received), len(rafts[3].received); a != 1 || b != 0 || c != 1 {
		t.Errorf("came %d, %d, %d", a, b, c)
	}
	if s := rafts[1].snapshots[2]; len(s) != 1 || s[0] != raft.SnapshotFailure {
		t.Errorf("of the snapshot was reported %v", s)
	}
	n.Cut(1, 2, false)
	send(1, 2, raftpb.MsgVote)
	n.Deliver()
	if len(rafts[2].received) != 1 {
		t.Errorf("came %v", rafts[2].received)
	}
}

// TestWhatIsOnTheWayToACrashedMemberIsLost: its successor does not get it.
func TestWhatIsOnTheWayToACrashedMemberIsLost(t *testing.T) {
	c := &clock{time.Unix(5, 0)}
	n := NewNetwork(c.now)
	rafts := three(t, n)
	old := n.members[2]
	n.members[1].Send([]*raftpb.Message{message(raftpb.MsgVote, 1, 2, 1)})
	again := newFakeRaft()
	n.Join(Member{ID: 2, Raft: again})
	old.Send([]*raftpb.Message{message(raftpb.MsgVote, 2, 1, 1)})
	n.Deliver()
	if len(rafts[1].received)+len(again.received)+len(rafts[2].received) > 0 || rafts[1].unreachable[2] != 1 {
		t.Errorf("came %v, %v, %v", rafts[1].received, again.received, rafts[2].received)
	}
}

func TestALinkHoldsOnlySoMuch(t *testing.T) {
	c := &clock{time.Unix(5, 0)}
	n := NewNetwork(c.now)
	rafts := three(t, n)
	for range maxWaitingMessages + 3 {
		n.members[1].Send([]*raftpb.Message{message(raftpb.MsgVote, 1, 2, 1)})
	}
	if rafts[1].unreachable[2] != 3 {
		t.Errorf("reported %v", rafts[1].unreachable)
	}
	if got := n.Deliver(); got != maxWaitingMessages || len(rafts[2].received) != got {
		t.Errorf("came %d of %d", len(rafts[2].received), got)
	}
}

// TestSameSeedSameOrder: what a simulation sees depends on nothing but its own choices.
func TestSameSeedSameOrder(t *testing.T) {
	run := func() []uint64 {
		random := rand.New(rand.NewPCG(1, 2))
		c := &clock{time.Unix(5, 0)}
		n := NewNetwork(c.now)
		rafts := three(t, n)
		n.SetFate(func(Packet) []time.Duration {
			return make([]time.Duration, random.IntN(3))
		})
		for term := range uint64(300) {
			n.members[1+term%2].Send([]*raftpb.Message{message(raftpb.MsgVote, 1+term%2, 3, term+1)})
		}
		n.Deliver()
		return terms(rafts[3])
	}
	if a, b := run(), run(); !slices.Equal(a, b) || len(a) == 0 {
		t.Errorf("%v, then %v", a, b)
	}
}
