package conformance

import (
	"context"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// stream is a running call. Its messages are read as they come, whether or not a
// step asks for them, so that flow control never decides what a step sees.
type stream struct {
	method *method
	client grpc.ClientStream
	cancel context.CancelFunc

	changed chan struct{} // holds a token after a change of what follows
	mu      sync.Mutex    // guards arrived and end
	arrived []proto.Message
	end     error // io.EOF is a clean end
}

func newStream(m *method, client grpc.ClientStream, cancel context.CancelFunc) *stream {
	s := &stream{method: m, client: client, cancel: cancel, changed: make(chan struct{}, 1)}
	go s.read()
	return s
}

// read ends when the stream does, or is canceled.
func (s *stream) read() {
	for {
		m := s.method.newResponse()
		err := s.client.RecvMsg(m)
		s.mu.Lock()
		if err != nil {
			s.end = err
		} else {
			s.arrived = append(s.arrived, m)
		}
		s.mu.Unlock()
		select {
		case s.changed <- struct{}{}:
		default: // there is one already
		}
		if err != nil {
			return
		}
	}
}

// next takes one message, if there is one, and tells the end of the stream once
// there is none.
func (s *stream) next() (proto.Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.arrived) == 0 {
		return nil, s.end
	}
	m := s.arrived[0]
	s.arrived = s.arrived[1:]
	return m, nil
}

// batch is what arrived: messages, and the end of the stream or of our patience.
type batch struct {
	messages []proto.Message
	end      error // nil while the stream is open; io.EOF for a clean end
	timeout  bool
}

func (b batch) failed() bool { return b.timeout || b.end != nil && b.end != io.EOF }

// toTheEnd is for reading until the stream ends.
func toTheEnd([]proto.Message) bool { return false }

// take reads until there is enough, the stream ends, or time is up.
func (s *stream) take(patience time.Duration, enough func([]proto.Message) bool) (b batch) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for !enough(b.messages) {
		m, end := s.next()
		switch {
		case m != nil:
			b.messages = append(b.messages, m)
			continue
		case end != nil:
			b.end = end
			return b
		}
		select {
		case <-s.changed:
		case <-timer.C:
			b.timeout = true
			return b
		}
	}
	return b
}
