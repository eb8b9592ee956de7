package transport

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
)

// After a state that could not be sent raft hears of it, and so tries again, only after
// a pause, which doubles from the first to the last of these.
const (
	firstSnapshotPause = 100 * time.Millisecond
	lastSnapshotPause  = 5 * time.Second
)

// snapshotWay is how whole states are sent to one peer: one at a time.
type snapshotWay struct {
	underWay atomic.Bool

	// The fields below are of whoever has set underWay.
	pause time.Duration // before raft heard of the last failure; 0 if the last one succeeded
	said  string        // what was logged last
}

// sendSnapshot has the owner move a whole state, if none is on its way, and reports what became of it.
func (p *peer) sendSnapshot(m *raftpb.Message) {
	t, s := p.t, &p.snapshots
	if t.cfg.SendSnapshot == nil || !s.underWay.CompareAndSwap(false, true) {
		p.snapshotFailed(m)
		t.cfg.Raft.ReportSnapshot(p.id, raft.SnapshotFailure)
		return
	}
	started := t.spawn(func() {
		status := raft.SnapshotFinish
		if err := t.cfg.SendSnapshot(p.ctx, Destination{p}, m); err != nil {
			status = raft.SnapshotFailure
			p.snapshotFailed(m)
			s.failed(p, m, err)
		} else {
			s.pause, s.said = 0, ""
		}
		s.underWay.Store(false) // raft may send the next one as soon as it hears
		t.cfg.Raft.ReportSnapshot(p.id, status)
	})
	if !started {
		s.underWay.Store(false)
	}
}

func (p *peer) snapshotFailed(m *raftpb.Message) {
	p.dropped(m, droppedSnapshot)
	p.t.cfg.Raft.ReportUnreachable(p.id)
}

// failed logs a failure, if it is another than the last one, and waits until it is time to try again.
func (s *snapshotWay) failed(p *peer, m *raftpb.Message, err error) {
	if p.ctx.Err() != nil {
		return
	}
	s.pause = min(max(2*s.pause, firstSnapshotPause), lastSnapshotPause)
	if said := withoutNumbers(err.Error()); said != s.said {
		s.said = said
		p.t.log.Warn("failed to send database snapshot", zap.String("remote-peer-id", hex(p.id)),
			zap.Uint64("snapshot-index", m.GetSnapshot().GetMetadata().GetIndex()), zap.Error(err))
	}
	again := time.NewTimer(s.pause)
	defer again.Stop()
	select {
	case <-again.C:
	case <-p.ctx.Done():
	}
}

// withoutNumbers is the same for failures of one kind: indexes, ports and sizes differ.
func withoutNumbers(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return -1
		}
		return r
	}, text)
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
