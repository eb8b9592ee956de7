package transport

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
)

// redialInterval is the least time between two attempts to get a stream.
const redialInterval = 100 * time.Millisecond

// read asks the peer for a stream and receives from it, again and again until the peer is removed.
func (p *peer) read(kind streamKind) {
	for p.ctx.Err() == nil {
		next := time.NewTimer(redialInterval)
		if err := p.readOnce(kind); errors.Is(err, ErrRemoved) {
			p.t.wasRemoved()
			next.Stop()
			return
		}
		select {
		case <-next.C:
		case <-p.ctx.Done():
			next.Stop()
		}
	}
}

// readOnce receives from one stream until it ends.
func (p *peer) readOnce(kind streamKind) error {
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	body, err := p.dial(ctx, kind)
	if err != nil {
		if p.ctx.Err() == nil {
			p.activity.failed("dial", kind.String(), err)
		}
		return err
	}
	defer body.Close()
	p.activity.succeeded()
	fields := []zap.Field{zap.String("stream-reader-type", kind.String()),
		zap.String("local-member-id", p.t.id), zap.String("remote-peer-id", hex(p.id))}
	p.t.log.Info("established TCP streaming connection with remote peer", fields...)
	err = p.receive(kind, body)
	if p.ctx.Err() == nil {
		p.t.log.Warn("lost TCP streaming connection with remote peer", append(fields, zap.Error(err))...)
		p.activity.failed("read", kind.String(), err)
	}
	return err
}

// dial asks for a stream.
func (p *peer) dial(ctx context.Context, kind streamKind) (io.ReadCloser, error) {
	u := p.urls.pick()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at(u, pathStreams+kind.path()+"/"+p.t.id), nil)
	if err != nil {
		return nil, err
	}
	p.t.stamp(req.Header)
	req.Header.Set(headerTo, hex(p.id))
	resp, err := p.t.streams.RoundTrip(req)
	if err != nil {
		p.urls.failed(u)
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		err = refusal(resp)
	} else if theirs, bad := parseHeader(resp.Header.Get(headerVersion)); bad != nil || theirs.before(p.t.oldest) {
		resp.Body.Close()
		err = errVersion
	}
	if err != nil {
		p.urls.failed(u)
		p.explain(err, resp, u)
		return nil, err
	}
	return resp.Body, nil
}

// receive hands a stream's messages to raft until it ends.
func (p *peer) receive(kind streamKind, in io.Reader) error {
	d := newDecoder(kind, in, p.id, p.t.cfg.ID)
	// gofail: labelRaftDropHeartbeat:
	for {
		m, err := d.next()
		p.figures.receivedBytes.Add(d.read)
		if err != nil {
			return err
		}
		// gofail: var raftDropHeartbeat struct{}
		// continue labelRaftDropHeartbeat
		if m == nil {
			continue
		}
		if err := p.t.step(m); err != nil {
			p.figures.receivedFailures.Add(1)
			if !errors.Is(err, errBusy) {
				return err
			}
		}
	}
}

var (
	errBusy    = errors.New("transport: raft takes no more messages now")
	errOthers  = errors.New("transport: a message for another member")
	errRemoved = errors.New("transport: a message from a removed member")
)

// step hands a received message to raft, or says why not.
func (t *Transport) step(m *raftpb.Message) error {
	err := check(m)
	switch {
	case err != nil:
	case m.GetTo() != t.cfg.ID:
		err = errOthers
	case t.cfg.Raft.Removed(m.GetFrom()):
		err = errRemoved
	}
	if err != nil {
		t.drops.count(m, droppedInvalid)
		return err
	}
	if t.cfg.Raft.Step(m) == 0 {
		t.drops.count(m, droppedBusy)
		return errBusy
	}
	return nil
}
