package transport

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
)

// peer is another member, or a remote: a sender that is not known as a member.
type peer struct {
	t      *Transport
	id     uint64
	member bool
	urls   *urlPicker

	ctx    context.Context // ends when the peer is removed
	cancel context.CancelFunc

	outlets      [streamKinds]outlet
	posts        postQueue
	snapshotting atomic.Bool
	activity     activity
	figures      peerFigures
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

// sendSnapshot has the owner move a whole state, if none is on its way, and reports what became of it.
func (p *peer) sendSnapshot(m *raftpb.Message) {
	t := p.t
	failed := func() {
		p.dropped(m, droppedSnapshot)
		t.cfg.Raft.ReportUnreachable(p.id)
		t.cfg.Raft.ReportSnapshot(p.id, raft.SnapshotFailure)
	}
	if t.cfg.SendSnapshot == nil || !p.snapshotting.CompareAndSwap(false, true) {
		failed()
		return
	}
	started := t.spawn(func() {
		defer p.snapshotting.Store(false)
		if err := t.cfg.SendSnapshot(p.ctx, Destination{p}, m); err != nil {
			t.log.Warn("failed to send database snapshot", zap.String("remote-peer-id", hex(p.id)),
				zap.Uint64("snapshot-index", m.GetSnapshot().GetMetadata().GetIndex()), zap.Error(err))
			failed()
			return
		}
		t.cfg.Raft.ReportSnapshot(p.id, raft.SnapshotFinish)
	})
	if !started {
		p.snapshotting.Store(false)
	}
}

// Destination is a member that a state is to be sent to.
type Destination struct{ peer *peer }

// ID is the member's.
func (d Destination) ID() uint64 { return d.peer.id }

// URLs are the member's, the one that Do would use first.
func (d Destination) URLs() []string { return d.peer.urls.all() }

// Do sends one request to the member, with the headers that peers expect added to those given. If it cannot be reached, the
// next request tries its next URL. The caller closes the answer's body. A write that stalls for 5 s fails; reads are limited
// by ctx alone.
func (d Destination) Do(ctx context.Context, method, path string, header http.Header, body io.Reader) (*http.Response, error) {
	p := d.peer
	u := p.urls.pick()
	req, err := http.NewRequestWithContext(ctx, method, at(u, path), body)
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	p.t.stamp(req.Header)
	resp, err := p.t.posts.RoundTrip(req)
	if err != nil {
		p.urls.failed(u)
		if !errors.Is(err, context.Canceled) {
			p.activity.failed("post", "snapshot", err)
		}
		return nil, err
	}
	return resp, nil
}
