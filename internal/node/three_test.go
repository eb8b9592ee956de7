package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"bowline/internal/wal"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

func TestThreeMembersAgree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.startVoters(1, 2, 3)
		c.leader()
		for i := range 60 {
			for _, mb := range c.members { // leader and followers alike: they forward
				must(t, mb.write(fmt.Sprint("entry ", i, " by ", mb.id)))
			}
		}
		c.checkAgree()
		for _, mb := range c.members {
			index, err := mb.node.ReadIndex(context.Background())
			must(t, err)
			if index < 180 {
				t.Errorf("member %d reads at %d after 180 writes", mb.id, index)
			}
			if mb.node.readIndex.Load() != 0 {
				t.Errorf("member %d would read alone", mb.id)
			}
		}

		// A new leader, while the old one crashes and comes back.
		old := c.leader()
		changed := old.node.LeaderChanged()
		c.stop(old.id)
		lead := c.leader()
		must(t, lead.write("without the old leader"))
		disk := old.fs.CrashClone(vfs.CrashCloneCfg{})
		c.start(old.id, disk, old.machine)
		must(t, c.leader().write("with it"))
		c.checkAgree()
		select {
		case <-changed:
			t.Error("a stopped member told of a new leader")
		default:
		}

		// And one that is asked for.
		lead = c.leader()
		next := lead.id%3 + 1
		changed = lead.node.LeaderChanged()
		lead.node.TransferLeader(next)
		<-changed
		waitFor(t, c.members[next].node, func(s Status) bool { return s.State == raft.StateLeader })
		must(t, c.members[next].write("by the one asked for"))
		c.checkAgree()
		c.stopAll()
	})
}

// TestAFollowerCatchesUpFromTheLog leaves nothing in memory, so that entries must come through read-ahead windows.
func TestAFollowerCatchesUpFromTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.tweak = func(cfg *Config) { cfg.TailBytes, cfg.MaxMessageBytes = 1, 10_000 }
		c.startVoters(1, 2, 3)
		lead := c.leader()
		late := lead.id%3 + 1
		c.isolate(late, true)
		for i := range 300 {
			must(t, lead.write(fmt.Sprint(i, string(make([]byte, 2000)))))
		}
		if n := len(c.members[late].machine.log()); n > 50 {
			t.Fatalf("the isolated member has applied %d entries", n)
		}
		c.isolate(late, false)
		c.checkAgree()
		lead = c.leader()
		waitFor(t, lead.node, func(s Status) bool {
			return len(s.Peers) == 2 && s.Peers[0].Match >= 300 && s.Peers[1].Match >= 300
		})
		c.stopAll()
	})
}

func TestWithoutAMajorityNothingIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.startVoters(1, 2, 3)
		lead := c.leader()
		must(t, lead.write("with a majority"))
		c.isolate(lead.id, true)
		waitFor(t, lead.node, func(s Status) bool { return s.Leader == raft.None })
		if err := lead.write("alone"); !errors.Is(err, ErrNoLeader) {
			t.Errorf("write without a leader: %v", err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		if index, err := lead.node.ReadIndex(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("read without a majority: %d, %v", index, err)
		}
		// A reader that waits is answered when there is a leader again.
		read := make(chan error, 1)
		go func() {
			_, err := lead.node.ReadIndex(context.Background())
			read <- err
		}()
		c.isolate(lead.id, false)
		must(t, <-read)
		c.checkAgree()
		c.stopAll()
	})
}

func confChange(kind raftpb.ConfChangeType, id uint64) *raftpb.ConfChange {
	return &raftpb.ConfChange{Type: &kind, NodeId: &id, Id: &id}
}

func TestMembershipChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		c := newCluster(t)
		one := c.bootstrap(1)
		c.leader()
		one.machine.refuse = func(cc *raftpb.ConfChange) bool { return cc.GetNodeId() == 66 }
		must(t, one.write("first"))

		change := func(cc *raftpb.ConfChange) {
			t.Helper()
			before := one.node.Applied()
			must(t, one.node.ProposeConfChange(ctx, cc))
			one.machine.waitApplied(t, before+1)
		}
		change(confChange(raftpb.ConfChangeAddNode, 66)) // refused by the machine
		if n := len(one.machine.conf.Voters); n != 1 {
			t.Fatalf("%d voters after a refused change", n)
		}
		change(confChange(raftpb.ConfChangeAddLearnerNode, 2))
		waitFor(t, one.node, func(Status) bool { return one.node.readIndex.Load() != 0 }) // a learner does not vote
		two := c.start(2, vfs.NewCrashableMem(), newMachine())
		two.machine.waitApplied(t, one.node.Applied())
		if index, err := two.node.ReadIndex(ctx); err != nil || index < one.node.Applied() {
			t.Errorf("the learner reads at %d: %v", index, err)
		}

		change(confChange(raftpb.ConfChangeAddNode, 2))
		if one.node.readIndex.Load() != 0 {
			t.Error("the fast path outlives the single voter")
		}
		must(t, one.write("second"))
		index, err := one.node.ReadIndex(ctx)
		must(t, err)
		if index < one.node.Applied() {
			t.Errorf("read at %d", index)
		}
		c.checkAgree()

		// Two at once: the second is refused.
		answers := make(chan error, 2)
		c.isolate(2, true) // so that the first cannot be applied in between
		for _, id := range []uint64{3, 4} {
			go func() { answers <- one.node.ProposeConfChange(ctx, confChange(raftpb.ConfChangeAddLearnerNode, id)) }()
		}
		if a, b := <-answers, <-answers; (a == nil) == (b == nil) || !errors.Is(errors.Join(a, b), ErrConfChangePending) {
			t.Errorf("two changes at once: %v, %v", a, b)
		}
		c.isolate(2, false)
		must(t, one.write("third"))

		change(confChange(raftpb.ConfChangeRemoveNode, 2))
		waitFor(t, one.node, func(Status) bool { return one.node.readIndex.Load() != 0 })
		c.stop(2)
		must(t, one.write("alone again"))
		c.stopAll()
	})
}

// transfer is the simplest SnapshotTransfer: the state travels in raft's message.
type transfer struct {
	mb        *member
	installed int
}

func (s *transfer) Snapshot() (*raftpb.Snapshot, error) {
	log := s.mb.machine.log()
	last := log[len(log)-1]
	data, err := json.Marshal(log)
	return &raftpb.Snapshot{Data: data, Metadata: &raftpb.SnapshotMetadata{
		Index: last.Index, Term: last.Term, ConfState: s.mb.machine.conf,
	}}, err
}

func (s *transfer) Install(snap *raftpb.Snapshot) error {
	m := s.mb.machine
	m.mu.Lock()
	defer m.mu.Unlock()
	s.installed++
	m.conf = snap.GetMetadata().GetConfState()
	m.entries = nil
	defer m.tellLocked()
	return json.Unmarshal(snap.GetData(), &m.entries)
}

// TestAFollowerBehindTheLogGetsASnapshot goes through the seam that whole-state transfer will use.
func TestAFollowerBehindTheLogGetsASnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		transfers := map[uint64]*transfer{}
		c.tweak = func(cfg *Config) {
			transfers[cfg.ID] = &transfer{}
			cfg.Snapshots, cfg.TailBytes = transfers[cfg.ID], 1
		}
		c.startVoters(1, 2, 3)
		for id, s := range transfers {
			s.mb = c.members[id]
		}
		lead := c.leader()
		late := lead.id%3 + 1
		must(t, lead.write("with all"))
		c.checkAgree()
		c.isolate(late, true)
		for i := range 100 {
			must(t, lead.write(fmt.Sprint(i, string(make([]byte, 5000)))))
		}
		status := lead.node.Status()
		first, err := lead.node.ReleaseLog(context.Background(), wal.Snapshot{Index: status.Applied, Term: status.Term})
		must(t, err)
		if first < 20 {
			t.Fatalf("the log begins at %d", first)
		}
		c.isolate(late, false)
		c.members[late].machine.waitApplied(t, status.Applied)
		lead.node.ReportSnapshot(late, raft.SnapshotFinish)
		must(t, lead.write("and on"))
		c.checkAgree()
		if transfers[late].installed == 0 {
			t.Error("the late member has caught up without a snapshot")
		}

		// What was installed is what it starts from.
		old := c.stop(late)
		c.start(late, old.fs.CrashClone(vfs.CrashCloneCfg{}), old.machine)
		transfers[late].mb = c.members[late]
		must(t, c.leader().write("after a restart"))
		c.checkAgree()
		c.stopAll()
	})
}
