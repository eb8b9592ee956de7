package transfer

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"bowline/internal/fsm"
	"bowline/internal/node"
	"bowline/internal/wal"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// member is a side with a node and a log.
type member struct {
	*side
	log  *wal.Log
	node *node.Node
}

// net is the network between members, and who sends states over it.
type net struct {
	t       *testing.T
	members map[uint64]*member
	sending sync.WaitGroup

	mu     sync.Mutex // guards the fields below
	cut    uint64
	moving map[uint64]bool
	sent   int
}

func (n *net) send(from uint64, messages []*raftpb.Message) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, m := range messages {
		to := n.members[m.GetTo()]
		if to == nil || n.cut == from || n.cut == m.GetTo() {
			continue
		}
		if m.GetType() != raftpb.MsgSnap {
			to.node.Step(proto.Clone(m).(*raftpb.Message))
			continue
		}
		if n.moving[to.id] {
			continue
		}
		n.moving[to.id] = true
		n.sending.Go(func() { n.move(n.members[from], to, m) })
	}
}

func (n *net) move(from, to *member, m *raftpb.Message) {
	err := from.sender.Send(context.Background(), &link{id: to.id, handler: to.receiver, tamper: func(_ int, _ string, h http.Header, b []byte) ([]byte, error) {
		h.Set(headerFrom, fmt.Sprintf("%x", from.id))
		return b, nil
	}}, m)
	n.mu.Lock()
	n.moving[to.id] = false
	if err == nil {
		n.sent++
	}
	n.mu.Unlock()
	status := raft.SnapshotFinish
	if err != nil {
		n.t.Logf("a state was not moved: %v", err)
		status = raft.SnapshotFailure
	}
	from.node.ReportSnapshot(to.id, status)
}

func (n *net) start(id uint64) {
	t := n.t
	mb := &member{side: newSide(t, id, vfs.NewCrashableMem())}
	options := wal.Options{FS: mb.fs, Dir: "member/wal", SegmentBytes: 100_000}
	log, err := wal.Create(options, wal.Metadata{NodeID: id, ClusterID: clusterID})
	must(t, err)
	first := make([]*raftpb.Entry, 3)
	for i := range first {
		first[i] = &raftpb.Entry{Index: new(uint64(i + 1)), Term: new(uint64(1))}
	}
	must(t, log.Append(first, wal.HardState{Term: 1, Commit: 3}))
	must(t, log.Close())
	var recovered wal.Recovered
	mb.log, recovered, err = wal.Open(options, 3)
	must(t, err)
	mb.installer.Durable(fsm.Position{Index: 3, Term: 1}, mb.fsm.Members().ConfState())
	n.members[id] = mb
	mb.node, err = node.Start(node.Config{
		ID: id, Log: mb.log, Recovered: recovered, Applied: 3, ConfState: mb.fsm.Members().ConfState(), PreVote: true,
		TickInterval: 10 * time.Millisecond, TailBytes: 1, Apply: applier{mb.fsm}, Snapshots: mb.installer,
		Send: func(m []*raftpb.Message) { n.send(id, m) }, OnFatal: func(err error) { t.Errorf("member %d: %v", id, err) },
	})
	must(t, err)
	mb.sender = NewSender(SenderConfig{Dirs: mb.dirs, Engine: mb.engine, FSM: mb.fsm, HoldLog: mb.node.HoldLog, HoldAfter: time.Millisecond})
	mb.receiver = NewReceiver(ReceiverConfig{ID: id, ClusterID: clusterID, Dirs: mb.dirs, Engine: mb.engine,
		Step: mb.node.StepSnapshot, Applied: mb.fsm.Applied, WaitApplied: mb.installer.WaitApplied})
}

// applier has the node's ConfChanger pass for the FSM's.
type applier struct{ fsm *fsm.FSM }

func (a applier) Apply(entries []*raftpb.Entry, conf node.ConfChanger) error {
	return a.fsm.Apply(entries, conf)
}

// setCut cuts a member off, and tells how many states were moved until then.
func (n *net) setCut(id uint64) (sent int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = id
	return n.sent
}

// until waits for a condition.
func until(t testing.TB, what string, f func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(time.Minute)
	for !f() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("waited too long for %s", what)
		}
	}
}

func (n *net) leader() (lead *member) {
	until(n.t, "a leader", func() bool {
		for _, mb := range n.members {
			if mb.node.Status().State == raft.StateLeader && mb.id != n.cut {
				lead = mb
				return true
			}
		}
		return false
	})
	return lead
}

// propose proposes n puts, and waits until the leader has applied them.
func (mb *member) propose(n, size int) {
	for i := range n {
		data, err := proto.Marshal(&pb.InternalRaftRequest{Header: &pb.RequestHeader{ID: uint64(i + 1)},
			Put: &pb.PutRequest{Key: fmt.Appendf(nil, "k%d", i%300), Value: make([]byte, size)}})
		must(mb.t, err)
		before := mb.fsm.Applied()
		must(mb.t, mb.node.Propose(context.Background(), data))
		until(mb.t, "a write", func() bool { return mb.fsm.Applied() > before })
	}
}

// release cuts the log below what the engine has flushed, as the member's housekeeping
// does.
func (mb *member) release() (first uint64) {
	must(mb.t, mb.engine.Flush())
	at, err := fsm.ReadApplied(mb.engine, true)
	must(mb.t, err)
	conf := mb.fsm.Members().ConfState()
	mb.installer.Durable(at, conf)
	first, err = mb.node.ReleaseLog(context.Background(), wal.Snapshot{Index: at.Index, Term: at.Term, ConfState: conf})
	must(mb.t, err)
	return first
}

// TestAFollowerFarBehind comes back when the leader's log does not reach back to it,
// while writes go on: it is sent the state, goes on from the log, and is as the others.
func TestAFollowerFarBehind(t *testing.T) {
	n := &net{t: t, members: make(map[uint64]*member), moving: make(map[uint64]bool)}
	n.mu.Lock() // nobody sends before all are there
	for _, id := range []uint64{1, 2, 3} {
		n.start(id)
	}
	n.mu.Unlock()
	lead := n.leader()
	lead.propose(20, 100)
	late := n.members[lead.id%3+1]
	for round := range 2 {
		behind := late.fsm.Applied()
		before := n.setCut(late.id)
		lead = n.leader()
		lead.propose(300, 2000)
		first := lead.release()
		if first <= behind+1 {
			t.Fatalf("round %d: the log reaches back to %d", round, first)
		}
		n.setCut(0)
		for late.fsm.Applied() < first {
			lead = n.leader()
			lead.propose(1, 2000)
			lead.release()
		}
		lead.propose(50, 100)
		until(t, "the late member", func() bool { return late.fsm.Applied() >= lead.fsm.Applied() })
		n.sending.Wait() // with the late member up to date none begins
		if sent := n.setCut(0); sent <= before {
			t.Errorf("round %d: %d states were moved", round, sent-before)
		}
	}
	until(t, "all", func() bool {
		lead = n.leader()
		for _, mb := range n.members {
			if mb.fsm.Applied() != lead.fsm.Applied() {
				return false
			}
		}
		return true
	})
	for _, mb := range n.members {
		if a, b := mb.hash(), lead.hash(); a != b {
			t.Errorf("member %d has %+v, the leader %+v", mb.id, a, b)
		}
	}
	n.sending.Wait()
	for _, mb := range n.members {
		mb.node.Stop()
		must(t, mb.log.Close())
		mb.close()
		if left := mb.left(); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
	}
}
