package transport

import (
	"context"

	"go.etcd.io/raft/v3/raftpb"
)

// peer is another member, or a remote: a sender that is not known as a member.
type peer struct {
	t      *Transport
	id     uint64
	member bool
	urls   *urlPicker

	ctx    context.Context // ends when the peer is removed
	cancel context.CancelFunc

	outlets   [streamKinds]outlet
	posts     postQueue
	snapshots snapshotWay
	activity  activity
	figures   peerFigures
}

func newPeer(t *Transport, id uint64, urls *urlPicker, member bool) *peer {
	p := &peer{t: t, id: id, member: member, urls: urls, figures: newPeerFigures()}
	p.ctx, p.cancel = context.WithCancel(t.ctx)
	p.activity.id, p.activity.log = hex(id), t.log
	for kind := range p.outlets {
		p.outlets[kind].init()
	}
	return p
}

// start starts what a member needs and a remote does not.
func (p *peer) start() {
	for kind := range streamKinds {
		p.t.spawn(func() { p.read(kind) })
	}
	p.t.spawn(p.probe)
}

// send passes a message on, and reports false if it was dropped.
func (p *peer) send(m *raftpb.Message) bool {
	if m.GetType() == raftpb.MsgSnap {
		p.sendSnapshot(m)
		return true // its own report follows
	}
	taken := notAttached
	if m.GetType() == raftpb.MsgApp {
		taken = p.outlets[entryStream].put(m)
	}
	if taken == notAttached {
		taken = p.outlets[messageStream].put(m)
	}
	if taken == notAttached {
		taken = p.post(m)
	}
	if taken != queued {
		p.dropped(m, droppedFull)
		return false
	}
	return true
}

// dropped counts a message that will not arrive.
func (p *peer) dropped(m *raftpb.Message, why dropReason) {
	p.t.drops.count(m, why)
	p.figures.sentFailures.Add(1)
}
