package transport

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
)

var errReplaced = errors.New("transport: the peer has opened another stream")

// serve sends over a stream that the peer has opened, until the stream or the peer ends.
func (p *peer) serve(ctx context.Context, kind streamKind, w http.ResponseWriter) {
	o := &p.outlets[kind]
	s := &streamWriter{ctx: p.ctx, timeout: p.t.cfg.WriteTimeout, w: w, control: http.NewResponseController(w), out: encoder{kind: kind}}
	fields := []zap.Field{zap.String("stream-writer-type", kind.String()),
		zap.String("local-member-id", p.t.id), zap.String("remote-peer-id", hex(p.id))}
	// The server's own limits are for requests. An error here means that it has none that could be changed.
	_ = s.control.SetReadDeadline(time.Time{})
	defer s.hurry()()
	if s.write(nil) != nil {
		return
	}
	h := o.attach()
	p.activity.succeeded()
	p.t.log.Info("established TCP streaming connection with remote peer", fields...)
	unsent, err := p.pump(ctx, o, h, s)
	unsent = append(unsent, o.detach(h)...)
	for _, m := range unsent {
		p.dropped(m, droppedBroken)
	}
	if p.ctx.Err() != nil {
		p.t.log.Info("stopped TCP streaming connection with remote peer", fields...)
		return
	}
	// What was written last may not have arrived, either.
	p.t.cfg.Raft.ReportUnreachable(p.id)
	if errors.Is(err, errReplaced) {
		p.t.log.Warn("closed TCP streaming connection with remote peer", fields...)
		return
	}
	p.activity.failed("write", kind.String(), err)
	p.t.log.Warn("lost TCP streaming connection with remote peer", fields...)
}

// pump writes what the outlet gives. It returns why it ended, and what had been taken and was not written.
func (p *peer) pump(ctx context.Context, o *outlet, h *holder, s *streamWriter) (unsent []*raftpb.Message, err error) {
	life := time.NewTicker(heartbeatInterval)
	defer life.Stop()
	var batch []*raftpb.Message
	for {
		batch = batch[:0]
		sign := false
		select {
		case <-o.wake:
			// Whoever can run now may have more to send: one write carries it along. A write wakes the other side, too.
			runtime.Gosched()
			batch = o.take(h, batch)
		case <-life.C:
			sign = true
		case <-h.replaced:
			return nil, errReplaced
		case <-p.ctx.Done():
			return nil, p.ctx.Err()
		case <-ctx.Done():
			return nil, errors.New("the peer has closed it")
		}
		before := s.written
		if err := s.send(batch, sign); err != nil {
			return batch, err
		}
		p.figures.sentBytes.Add(s.written - before)
		clear(batch)
	}
}

// streamWriter writes frames, and flushes them together.
type streamWriter struct {
	ctx     context.Context // the peer's
	timeout time.Duration   // of a piece
	w       http.ResponseWriter
	control *http.ResponseController
	out     encoder
	buf     []byte
	written uint64
}

// hurry makes a write that stalls end with the peer, until the function that it returns is called. The server then has a
// while to finish the answer.
func (s *streamWriter) hurry() (end func()) {
	done := make(chan struct{})
	stop := context.AfterFunc(s.ctx, func() {
		_ = s.control.SetWriteDeadline(time.Now())
		close(done)
	})
	return func() {
		if !stop() {
			<-done
		}
		_ = s.control.SetWriteDeadline(time.Now().Add(s.timeout))
	}
}

// send writes messages, or a sign of life.
func (s *streamWriter) send(messages []*raftpb.Message, sign bool) error {
	buf := s.buf[:0]
	if sign {
		buf = s.out.heartbeat(buf)
	}
	for _, m := range messages {
		var err error
		if buf, err = s.out.append(buf, m); err != nil {
			return err
		}
	}
	if cap(buf) <= keptBytes {
		s.buf = buf
	} else {
		s.buf = nil
	}
	if len(buf) == 0 {
		return nil
	}
	return s.write(buf)
}

// write writes and flushes bytes in pieces, each of which must get along in time.
func (s *streamWriter) write(buf []byte) error {
	for {
		piece := buf[:min(len(buf), roundBytes)]
		buf = buf[len(piece):]
		if err := s.control.SetWriteDeadline(time.Now().Add(s.timeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		if err := s.ctx.Err(); err != nil { // looked at after the deadline was set: see hurry
			return err
		}
		if len(piece) > 0 {
			if _, err := s.w.Write(piece); err != nil {
				return err
			}
		}
		s.written += uint64(len(piece))
		if len(buf) == 0 {
			return s.control.Flush()
		}
	}
}
