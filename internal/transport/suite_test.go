package transport

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
)

// suite is what every kind of network keeps.
var suite = []struct {
	name string
	run  func(t *testing.T, r rig)
}{
	{"everything arrives", everythingArrives},
	{"entries stay in order", entriesStayInOrder},
	{"big messages", bigMessages},
	{"of acknowledgements only the last", onlyTheLastAcknowledgement},
	{"who is not known", unknownMembers},
	{"removed members", removedMembers},
	{"a peer that was removed gets nothing", removedPeers},
	{"reconnect after a restart", reconnect},
	{"an unreachable peer is reported", unreachableIsReported},
	{"snapshots", snapshots},
	{"messages that raft would die of", invalidMessages},
	{"after the end", afterStop},
}

func TestSuite(t *testing.T) {
	for kind, start := range map[string]func(testing.TB) rig{
		"http":   func(t testing.TB) rig { return newHTTPRig(t) },
		"memory": func(t testing.TB) rig { return newMemoryRig(t) },
	} {
		t.Run(kind, func(t *testing.T) {
			for _, c := range suite {
				t.Run(c.name, func(t *testing.T) {
					t.Cleanup(func() { goleak.VerifyNone(t) }) // runs after the rig's
					c.run(t, start(t))
				})
			}
		})
	}
}

// pair is two members that know each other.
func pair(t *testing.T, r rig) (one, two *fakeRaft, from, to endpoint) {
	t.Helper()
	one, two = newFakeRaft(), newFakeRaft()
	from, to = r.start(1, one, nil), r.start(2, two, nil)
	mustAdd(t, from.AddPeer(2, r.urls(2)))
	mustAdd(t, to.AddPeer(1, r.urls(1)))
	r.ready(1, 2)
	r.ready(2, 1)
	return one, two, from, to
}

func mustAdd(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func everythingArrives(t *testing.T, r rig) {
	one, two, from, to := pair(t, r)
	sent := []*raftpb.Message{
		message(raftpb.MsgHeartbeat, 1, 2, 3),
		appendOf(1, 2, 3, 10, 9, "a", "", "c"),
		appendOf(1, 2, 3, 13, 12, "d"),
		message(raftpb.MsgVote, 1, 2, 4),
		{Type: raftpb.MsgProp.Enum(), From: proto.Uint64(1), To: proto.Uint64(2), Entries: []*raftpb.Entry{{Data: []byte("p")}}},
		{Type: raftpb.MsgReadIndex.Enum(), From: proto.Uint64(1), To: proto.Uint64(2), Entries: []*raftpb.Entry{{Data: []byte("r")}}},
	}
	from.Send(sent)
	r.await(two, "all messages", func() bool { return len(two.received) == len(sent) })
	for _, m := range sent {
		found := false
		for _, got := range two.received {
			found = found || proto.Equal(normal(m), normal(got))
		}
		if !found {
			t.Errorf("%v did not arrive, but %v", m, two.received)
		}
	}
	to.Send([]*raftpb.Message{message(raftpb.MsgHeartbeatResp, 2, 1, 3)})
	r.await(one, "the answer", func() bool { return len(one.received) == 1 })
	if from.ActiveSince(2).IsZero() || to.ActiveSince(1).IsZero() {
		t.Error("the peers are not active")
	}
	if !from.ActiveSince(3).IsZero() {
		t.Error("a member that nobody knows is active")
	}
	if drops := from.Drops(); len(drops) > 0 {
		t.Errorf("dropped %v", drops)
	}
}

// normal is a message with zeros left out, as they mean nothing.
func normal(m *raftpb.Message) *raftpb.Message {
	m = proto.Clone(m).(*raftpb.Message)
	if m.GetCommit() == 0 {
		m.Commit = nil
	}
	for _, e := range m.Entries {
		if len(e.Data) == 0 {
			e.Data = nil
		}
	}
	return m
}

func entriesStayInOrder(t *testing.T, r rig) {
	_, two, from, _ := pair(t, r)
	const n = 2000
	for i := range uint64(n) {
		from.Send([]*raftpb.Message{appendOf(1, 2, 3, i+1, i, fmt.Sprint(i)), message(raftpb.MsgHeartbeat, 1, 2, 3)})
	}
	r.await(two, "all of them", func() bool { return len(two.received) == 2*n })
	for i, m := range two.ofType(raftpb.MsgApp) {
		if m.GetIndex() != uint64(i)+1 || string(m.Entries[0].Data) != fmt.Sprint(i) || m.Entries[0].GetIndex() != uint64(i)+2 || m.GetCommit() != uint64(i) {
			t.Fatalf("at %d came %v", i, m)
		}
	}
}

func bigMessages(t *testing.T, r rig) {
	_, two, from, _ := pair(t, r)
	big := strings.Repeat("0123456789abcdef", 1<<19) // 8 MiB
	from.Send([]*raftpb.Message{
		appendOf(1, 2, 3, 10, 9, big), appendOf(1, 2, 3, 11, 9, big, "x"),
		{Type: raftpb.MsgProp.Enum(), From: proto.Uint64(1), To: proto.Uint64(2), Entries: []*raftpb.Entry{{Data: []byte(big)}}},
	})
	r.await(two, "three messages", func() bool { return len(two.received) == 3 })
	for _, m := range two.received {
		if !bytes.Equal(m.Entries[0].Data, []byte(big)) {
			t.Errorf("%v has changed on the way: %d bytes", m.GetType(), len(m.Entries[0].Data))
		}
	}
}

func onlyTheLastAcknowledgement(t *testing.T, r rig) {
	_, two, from, _ := pair(t, r)
	ack := func(index uint64, reject bool) *raftpb.Message {
		m := message(raftpb.MsgAppResp, 1, 2, 3)
		m.Index, m.Reject = proto.Uint64(index), proto.Bool(reject)
		return m
	}
	from.Send([]*raftpb.Message{ack(4, true), ack(5, false), ack(6, false), ack(7, false), message(raftpb.MsgHeartbeatResp, 1, 2, 3)})
	r.await(two, "three messages", func() bool { return len(two.received) >= 3 })
	acks := two.ofType(raftpb.MsgAppResp)
	if len(acks) != 2 || !acks[0].GetReject() || acks[1].GetIndex() != 7 {
		t.Errorf("came %v", acks)
	}
}

func unknownMembers(t *testing.T, r rig) {
	one, two := newFakeRaft(), newFakeRaft()
	from, to := r.start(1, one, nil), r.start(2, two, nil)
	from.Send([]*raftpb.Message{message(raftpb.MsgHeartbeat, 1, 2, 3), message(raftpb.MsgHeartbeat, 1, 0, 3)})
	if drops := from.Drops(); len(drops) != 1 || drops[0] != (Drop{"MsgHeartbeat", "unknown", 1}) {
		t.Errorf("dropped %v", drops)
	}
	// Two does not know one, but can answer it.
	mustAdd(t, from.AddPeer(2, r.urls(2)))
	from.Send([]*raftpb.Message{message(raftpb.MsgApp, 1, 2, 3)})
	r.await(two, "the message", func() bool { return len(two.received) == 1 })
	to.Send([]*raftpb.Message{message(raftpb.MsgAppResp, 2, 1, 3)})
	r.await(one, "the answer", func() bool { return len(one.received) == 1 })
	if len(one.unreachable)+len(two.unreachable) > 0 {
		t.Errorf("reported %v and %v", one.unreachable, two.unreachable)
	}
}

func removedMembers(t *testing.T, r rig) {
	one, two, from, to := pair(t, r)
	two.change(func() { two.removed[1] = true })
	to.RemovePeer(1)
	// The member learns it when it dials, which it does because its streams have ended, or from a message.
	from.Send([]*raftpb.Message{message(raftpb.MsgVote, 1, 2, 3)})
	r.await(one, "the news", func() bool { return one.told != nil })
	if len(two.received) > 0 {
		t.Errorf("raft was given %v", two.received)
	}
}

func removedPeers(t *testing.T, r rig) {
	_, two, from, to := pair(t, r)
	from.Send([]*raftpb.Message{message(raftpb.MsgHeartbeat, 1, 2, 3)})
	r.await(two, "the first", func() bool { return len(two.received) == 1 })
	from.RemovePeer(2)
	from.RemovePeer(2)
	from.Send([]*raftpb.Message{message(raftpb.MsgHeartbeat, 1, 2, 3)})
	if !from.ActiveSince(2).IsZero() {
		t.Error("still active")
	}
	if drops := from.Drops(); len(drops) != 1 || drops[0].Reason != "unknown" {
		t.Errorf("dropped %v", drops)
	}
	to.Stop()
	if len(two.received) != 1 {
		t.Errorf("came %v", two.received)
	}
}

func reconnect(t *testing.T, r rig) {
	_, _, from, _ := pair(t, r)
	for range 3 {
		again := newFakeRaft()
		r.stop(2)
		to := r.start(2, again, nil)
		mustAdd(t, to.AddPeer(1, r.urls(1)))
		// What is sent over a connection whose end has not been noticed is lost: raft would try again, too.
		send := func() { from.Send([]*raftpb.Message{appendOf(1, 2, 3, 5, 0, "x"), appendOf(1, 2, 3, 6, 0, "y")}) }
		r.repeat(again, "entries", send, func() bool {
			last := len(again.received) - 1
			return last > 0 && again.received[last-1].GetIndex() == 5 && again.received[last].GetIndex() == 6
		})
	}
}

func unreachableIsReported(t *testing.T, r rig) {
	one, _, from, _ := pair(t, r)
	r.stop(2)
	send := func() { from.Send([]*raftpb.Message{message(raftpb.MsgHeartbeat, 1, 2, 3)}) }
	r.repeat(one, "a report", send, func() bool { return one.unreachable[2] > 0 && len(from.Drops()) > 0 })
	r.await(one, "inactivity", func() bool { return from.ActiveSince(2).IsZero() })
	if drops := from.Drops(); len(drops) != 1 || drops[0].Type != "MsgHeartbeat" || drops[0].Reason != "unreachable" {
		t.Errorf("dropped %v", drops)
	}
}

func snapshots(t *testing.T, r rig) {
	one, two := newFakeRaft(), newFakeRaft()
	var moved []*raftpb.Message
	fail := false
	from := r.start(1, one, func(to uint64, m *raftpb.Message) error {
		if fail {
			return errNoState
		}
		moved = append(moved, m)
		two.Step(m)
		return nil
	})
	r.start(2, two, nil)
	mustAdd(t, from.AddPeer(2, r.urls(2)))
	snap := message(raftpb.MsgSnap, 1, 2, 3)
	from.Send([]*raftpb.Message{snap})
	r.await(one, "success", func() bool { return len(one.snapshots[2]) == 1 })
	fail = true
	from.Send([]*raftpb.Message{snap})
	r.await(one, "failure", func() bool { return len(one.snapshots[2]) == 2 })
	if s := one.snapshots[2]; s[0] != raft.SnapshotFinish || s[1] != raft.SnapshotFailure || len(moved) != 1 {
		t.Errorf("reported %v, moved %v", s, moved)
	}
	// A member that cannot move states says so.
	three := newFakeRaft()
	other := r.start(3, three, nil)
	mustAdd(t, other.AddPeer(2, r.urls(2)))
	other.Send([]*raftpb.Message{message(raftpb.MsgSnap, 3, 2, 3)})
	r.await(three, "failure", func() bool { return len(three.snapshots[2]) == 1 && three.snapshots[2][0] == raft.SnapshotFailure })
}

func invalidMessages(t *testing.T, r rig) {
	one, two, from, to := pair(t, r)
	from.Send([]*raftpb.Message{message(raftpb.MsgHeartbeat, 1, 2, 0)})
	r.await(one, "nothing", func() bool { return true })
	r.ready(1, 2)
	from.Send([]*raftpb.Message{appendOf(1, 2, 3, 4, 0, "after it")})
	r.await(two, "the next one", func() bool { return len(two.received) == 1 })
	if two.received[0].GetType() != raftpb.MsgApp {
		t.Errorf("raft was given %v", two.received)
	}
	two.change(func() { two.busy = true })
	from.Send([]*raftpb.Message{appendOf(1, 2, 3, 5, 0, "not taken")})
	r.repeat(two, "two drops", func() {}, func() bool { return len(to.Drops()) == 2 })
	if d := to.Drops(); d[0] != (Drop{"MsgHeartbeat", "invalid", 1}) || d[1] != (Drop{"MsgApp", "busy", 1}) {
		t.Errorf("dropped %v", d)
	}
}

func afterStop(t *testing.T, r rig) {
	one, two, from, _ := pair(t, r)
	from.Stop()
	from.Send([]*raftpb.Message{message(raftpb.MsgHeartbeat, 1, 2, 3), message(raftpb.MsgSnap, 1, 2, 3)})
	from.RemovePeer(2)
	mustAdd(t, from.AddRemote(4, []string{"http://127.0.0.1:1"}))
	from.Stop()
	if len(two.received) > 0 || len(one.unreachable) > 0 {
		t.Errorf("came %v, reported %v", two.received, one.unreachable)
	}
}
