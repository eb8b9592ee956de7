package node

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/raft/v3/raftpb"
)

// TestForwardedProposalsOutliveATransfer proposes at a follower while the leader waits
// for an heir who is not there: raft drops such proposals, and tells nobody.
func TestForwardedProposalsOutliveATransfer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.startVoters(1, 2, 3)
		lead := c.leader()
		heir, follower := c.members[lead.id%3+1], c.members[(lead.id+1)%3+1]
		c.isolate(heir.id, true)
		lead.node.TransferLeader(heir.id)
		synctest.Wait()
		written := make(chan error, 1)
		go func() { written <- follower.write("forwarded") }()
		select {
		case err := <-written:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(time.Minute):
			t.Fatal("the proposal was lost")
		}
		c.isolate(heir.id, false)
		c.checkAgree()
		c.stopAll()
	})
}

// TestHeldProposalsAreBounded fills what is held, and lets time pass.
func TestHeldProposalsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.startVoters(1, 2)
		mb := c.leader()
		c.isolate(mb.id%2+1, true)
		waitFor(t, mb.node, func(s Status) bool { return s.Leader == 0 }) // it has stepped down
		for i := range 2 * maxHeld {
			mb.node.Step(&raftpb.Message{Type: raftpb.MsgProp.Enum(), From: new(mb.id%2 + 1), To: &mb.id,
				Entries: []*raftpb.Entry{{Data: fmt.Append(nil, i)}}})
		}
		held := make(chan int)
		count := func() int {
			mb.node.inbox.post(event{control: func(l *loop) { held <- len(l.held) }})
			return <-held
		}
		if n := count(); n != maxHeld {
			t.Errorf("%d messages are held, want %d", n, maxHeld)
		}
		<-time.After(time.Duration(3*mb.node.cfg.ElectionTicks) * mb.node.cfg.TickInterval)
		if n := count(); n != 0 {
			t.Errorf("%d messages are held for ever", n)
		}
		c.stopAll()
	})
}

// TestForwardedConfChangesWaitTheirTurn proposes one at a follower that has applied the
// one before, while the leader has not: raft takes no second one, and tells nobody.
func TestForwardedConfChangesWaitTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.startVoters(1, 2, 3)
		lead := c.leader()
		follower := c.members[lead.id%3+1]
		slow, seen := make(chan struct{}), make(chan uint64, 10)
		for _, mb := range c.members {
			mb.machine.refuse = func(cc *raftpb.ConfChange) bool {
				switch mb {
				case lead:
					<-slow
				case follower:
					seen <- cc.GetNodeId()
				}
				return true // it is all the same to raft, which must only have applied it
			}
		}
		for _, id := range []uint64{66, 67} {
			must(t, follower.node.ProposeConfChange(t.Context(), confChange(raftpb.ConfChangeRemoveNode, id)))
			if id == 67 {
				synctest.Wait() // the leader has it, and has not applied the first
				close(slow)
			}
			select {
			case got := <-seen:
				if got != id {
					t.Fatalf("change %d is applied, want %d", got, id)
				}
			case <-time.After(time.Minute):
				t.Fatalf("change %d was lost", id)
			}
		}
		c.checkAgree()
		c.stopAll()
	})
}
