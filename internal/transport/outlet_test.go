package transport

import (
	"testing"

	"go.etcd.io/raft/v3/raftpb"
)

func attachedOutlet() (*outlet, *holder) {
	o := new(outlet)
	o.init()
	return o, o.attach()
}

func TestUrgentMessagesOvertake(t *testing.T) {
	o, h := attachedOutlet()
	big := string(make([]byte, roundBytes))
	for i := range uint64(3) {
		o.put(appendOf(1, 2, 3, i, 0, big))
	}
	var order []raftpb.MessageType
	for len(order) < 4 {
		if len(order) == 1 {
			o.put(message(raftpb.MsgHeartbeat, 1, 2, 3))
		}
		select {
		case <-o.wake:
		default:
			t.Fatalf("after %v nobody is woken", order)
		}
		for _, m := range o.take(h, nil) {
			order = append(order, m.GetType())
		}
	}
	if order[1] != raftpb.MsgHeartbeat {
		t.Errorf("taken %v", order)
	}
	if o.bytes != 0 {
		t.Errorf("%d bytes wait in an empty queue", o.bytes)
	}
}

func TestAnOutletHoldsOnlySoMuch(t *testing.T) {
	for name, c := range map[string]struct {
		m    *raftpb.Message
		most int
	}{
		"messages":    {message(raftpb.MsgHeartbeat, 1, 2, 3), maxWaitingMessages},
		"bytes":       {appendOf(1, 2, 3, 1, 0, string(make([]byte, 1<<20))), 63},
		"one too big": {appendOf(1, 2, 3, 1, 0, string(make([]byte, maxWaitingBytes))), 1},
	} {
		t.Run(name, func(t *testing.T) {
			o, h := attachedOutlet()
			n := 0
			for o.put(c.m) == queued {
				if n++; n > c.most {
					t.Fatalf("took more than %d", c.most)
				}
			}
			if n != c.most {
				t.Errorf("took %d, want %d", n, c.most)
			}
			if len(c.m.Entries) > 0 {
				if o.put(message(raftpb.MsgHeartbeat, 1, 2, 3)) != queued {
					t.Error("entries leave no room for a heartbeat")
				}
				n++
			}
			if lost := o.detach(h); len(lost) != n {
				t.Errorf("%d of %d are given back", len(lost), n)
			}
			if o.put(c.m) != notAttached {
				t.Error("takes messages though nobody serves it")
			}
		})
	}
}

// TestANewerStreamTakesOver: what waits is not lost, and the older one learns that it is over.
func TestANewerStreamTakesOver(t *testing.T) {
	o, old := attachedOutlet()
	o.put(message(raftpb.MsgHeartbeat, 1, 2, 3))
	h := o.attach()
	<-old.replaced
	<-o.wake
	if got := o.take(old, nil); len(got) > 0 {
		t.Errorf("the old one still gets %v", got)
	}
	if lost := o.detach(old); len(lost) > 0 {
		t.Errorf("the old one gives back %v", lost)
	}
	<-o.wake // passed on by the old one
	if got := o.take(h, nil); len(got) != 1 {
		t.Errorf("the new one gets %v", got)
	}
}
