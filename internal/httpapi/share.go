package httpapi

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"
)

// preface is what an HTTP/2 client without TLS sends first; on the client port
// that is gRPC.
const preface = "PRI * HTTP/2.0"

// prefaceTimeout is how long a new connection may take to say what it speaks.
const prefaceTimeout = 5 * time.Minute

// Share splits a listener. Connections in plain text that begin with HTTP/2 go to
// the first listener, and so do those with TLS, which are of type *tls.Conn and have
// had their handshake, whose first request is a call; all others go to the second, for a server that SpeakBoth
// has prepared. Closing either closes both and l. streams is how many may be open
// at once on a connection that calls.
//
// It starts one goroutine, and one for each connection that has not spoken yet.
func Share(l net.Listener, streams uint32) (grpc, http net.Listener) {
	s := &shared{Listener: l, streams: streams, done: make(chan struct{})}
	a := &part{shared: s, conns: make(chan net.Conn)}
	b := &part{shared: s, conns: make(chan net.Conn)}
	go s.accept(a, b)
	return a, b
}

type shared struct {
	net.Listener
	streams uint32
	once    sync.Once
	done    chan struct{}
	err     error // why accepting ended; written before done is closed
}

func (s *shared) close(err error) error {
	s.once.Do(func() {
		s.err = err
		close(s.done)
	})
	return s.Listener.Close()
}

func (s *shared) accept(grpc, http *part) {
	for {
		c, err := s.Listener.Accept()
		if err != nil {
			var temporary interface{ Temporary() bool }
			if errors.As(err, &temporary) && temporary.Temporary() {
				// Out of file descriptors, say: others may be closed meanwhile.
				select {
				case <-s.done:
				case <-time.After(50 * time.Millisecond):
				}
				continue
			}
			s.close(err)
			return
		}
		go s.tell(c, grpc, http)
	}
}

// tell finds out what a connection speaks and passes it on.
func (s *shared) tell(c net.Conn, grpc, http *part) {
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-s.done:
			c.SetReadDeadline(time.Unix(1, 0))
		case <-stop:
		}
	}()
	_ = c.SetReadDeadline(time.Now().Add(prefaceTimeout))
	var heard net.Conn
	var calls bool
	var err error
	if secure, ok := c.(*tls.Conn); ok {
		heard, calls, err = listenSecurely(secure, s.streams)
	} else {
		heard, calls, err = listenPlainly(c)
	}
	if err != nil {
		c.Close()
		return
	}
	_ = c.SetReadDeadline(time.Time{})
	to := http
	if calls {
		to = grpc
	}
	select {
	case to.conns <- heard:
	case <-s.done:
		c.Close()
	}
}

// listenPlainly tells by the first bytes of a connection without TLS whether it is
// for calls.
func listenPlainly(c net.Conn) (heard net.Conn, calls bool, err error) {
	buf := make([]byte, len(preface))
	n := 0
	for n < len(buf) && bytes.HasPrefix([]byte(preface), buf[:n]) {
		m, err := c.Read(buf[n:])
		if err != nil {
			return nil, false, err
		}
		n += m
	}
	first := conn{Conn: c, first: buf[:n]}
	if string(buf[:n]) == preface {
		return &first, true, nil
	}
	return newRequests(first), false, nil
}

// part is one of the two listeners that share a port.
type part struct {
	*shared
	conns chan net.Conn
}

func (p *part) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		if p.err != nil {
			return nil, p.err
		}
		return nil, net.ErrClosed
	}
}

func (p *part) Close() error { return p.close(nil) }

// conn is a connection whose first bytes were read already.
type conn struct {
	net.Conn
	first []byte
}

func (c *conn) Read(b []byte) (int, error) {
	if len(c.first) > 0 {
		n := copy(b, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}
