package node

import (
	"testing"
	"testing/synctest"
	"time"

	"bowline/internal/wal"
)

// TestALeaderWhoseDiskHangsHandsOver: its heartbeats go on, so nobody would call an
// election; it must see for itself that it is of no use as a leader.
func TestALeaderWhoseDiskHangsHandsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.startVoters(1, 2, 3)
		old := c.leader()
		must(t, old.write("before"))
		term := old.node.Status().Term

		works := make(chan struct{})
		old.node.walQueue.put(walWork{control: func(*wal.Log) error {
			<-works
			return nil
		}})
		changed := old.node.LeaderChanged()
		began := time.Now()
		<-changed
		took := time.Since(began)
		if limit := 10 * 100 * time.Millisecond; took > 2*limit {
			t.Errorf("leadership went over after %v", took)
		}
		lead := c.leader()
		if lead == old {
			t.Fatal("the member with the stalled disk still leads")
		}
		if now := lead.node.Status().Term; now != term+1 {
			t.Errorf("the term went from %d to %d: there was more than one election", term, now)
		}
		if n, stalled := old.node.DiskStalls(); n != 1 || !stalled {
			t.Errorf("%d stalls were counted, one under way: %v", n, stalled)
		}
		must(t, lead.write("meanwhile"))

		close(works)
		must(t, old.write("after"))
		c.checkAgree()
		if _, stalled := old.node.DiskStalls(); stalled {
			t.Error("the disk still counts as stalled")
		}
		c.stopAll()
	})
}

// TestAMemberAloneSitsAStallOut: there is nobody to hand over to.
func TestAMemberAloneSitsAStallOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.startVoters(1)
		lead := c.leader()
		works := make(chan struct{})
		lead.node.walQueue.put(walWork{control: func(*wal.Log) error {
			<-works
			return nil
		}})
		time.AfterFunc(5*time.Second, func() { close(works) })
		must(t, lead.write("patient"))
		if n, _ := lead.node.DiskStalls(); n != 1 {
			t.Errorf("%d stalls were counted", n)
		}
		c.stopAll()
	})
}
