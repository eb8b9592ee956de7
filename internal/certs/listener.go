package certs

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// MaxHandshakes is how many handshakes may be under way at one listener. One more ends the oldest: who is honest needs
// a moment, who only wants to be in the way has been there for longest.
const MaxHandshakes = 512

// ListenerConfig is what a Listener needs. TLS and Logger are required.
type ListenerConfig struct {
	TLS *tls.Config
	// Plain lets connections in that do not begin with a handshake, as they are.
	Plain bool
	// Handshakes is how many may be under way; 0 means MaxHandshakes.
	Handshakes int
	// Rejected is what is logged of a connection whose handshake fails.
	Rejected string
	Logger   *zap.Logger
}

// Listener accepts connections with whom the handshake has succeeded: they are of type *tls.Conn, unless it lets plain
// ones in. Each has its handshake in a goroutine of its own, and a deadline.
type Listener struct {
	net.Listener
	cfg    ListenerConfig
	ready  chan net.Conn
	ctx    context.Context // ends when the listener is closed
	cancel context.CancelFunc
	done   chan struct{} // closed when nothing runs any more
	err    error         // why accepting ended; written before done is closed

	mu    sync.Mutex // guards under
	under *list.List // of *handshake, the oldest first
}

// handshake is one that is under way.
type handshake struct {
	net.Conn
	crowded atomic.Bool // it was ended to make room
}

var errCrowded = errors.New("too many handshakes are under way")

// Listen begins to accept connections of l, which the Listener then owns.
func Listen(l net.Listener, cfg ListenerConfig) *Listener {
	if cfg.Handshakes <= 0 {
		cfg.Handshakes = MaxHandshakes
	}
	t := &Listener{Listener: l, cfg: cfg, ready: make(chan net.Conn), done: make(chan struct{}), under: list.New()}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	go t.run()
	return t
}

// Accept returns the next connection.
func (t *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-t.ready:
		return c, nil
	case <-t.ctx.Done():
		<-t.done
		return nil, t.err
	}
}

// Close ends accepting, and handshakes under way.
func (t *Listener) Close() error {
	err := t.Listener.Close()
	t.cancel()
	<-t.done
	return err
}

func (t *Listener) run() {
	var handshakes sync.WaitGroup
	for {
		c, err := t.Listener.Accept()
		if err == nil {
			h := &handshake{Conn: c}
			place := t.enter(h)
			handshakes.Go(func() { t.admit(h, place) })
			continue
		}
		var temporary interface{ Temporary() bool }
		if !errors.As(err, &temporary) || !temporary.Temporary() {
			t.err = err
			break
		}
		// Out of file descriptors, say: others may be closed meanwhile.
		select {
		case <-t.ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	t.cancel()
	t.mu.Lock()
	for e := t.under.Front(); e != nil; e = e.Next() {
		e.Value.(*handshake).Close()
	}
	t.mu.Unlock()
	handshakes.Wait()
	close(t.done)
}

// enter counts a connection among the handshakes under way.
func (t *Listener) enter(h *handshake) *list.Element {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.under.Len() >= t.cfg.Handshakes {
		oldest := t.under.Front()
		t.under.Remove(oldest)
		ended := oldest.Value.(*handshake)
		ended.crowded.Store(true)
		ended.Close()
	}
	return t.under.PushBack(h)
}

func (t *Listener) leave(place *list.Element) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.under.Remove(place) // nothing, if it was ended
}

// admit makes the handshake, and passes the connection on.
func (t *Listener) admit(h *handshake, place *list.Element) {
	admitted, err := t.shake(h)
	t.leave(place)
	if err != nil {
		h.Close()
		return
	}
	select {
	case t.ready <- admitted:
	case <-t.ctx.Done():
		h.Close()
	}
}

func (t *Listener) shake(h *handshake) (net.Conn, error) {
	c := h.Conn
	deadline := time.Now().Add(handshakeTimeout)
	if err := c.SetDeadline(deadline); err != nil {
		return nil, err
	}
	raw := c
	if t.cfg.Plain {
		var first [1]byte
		if _, err := io.ReadFull(c, first[:]); err != nil {
			return nil, err
		}
		raw = &begun{Conn: c, first: first[:]}
		if first[0] != recordOfHandshake {
			return raw, c.SetDeadline(time.Time{})
		}
	}
	ctx, cancel := context.WithDeadline(t.ctx, deadline)
	defer cancel()
	secure := tls.Server(raw, t.cfg.TLS)
	if err := secure.HandshakeContext(ctx); err != nil {
		if h.crowded.Load() {
			err = errCrowded
		}
		if t.ctx.Err() == nil {
			t.report(secure, err)
		}
		linger(c)
		return nil, err
	}
	return secure, c.SetDeadline(time.Time{})
}

// linger reads what who was rejected has sent meanwhile. If it were left unread, closing
// the connection would take back the alert that tells the reason.
func linger(c net.Conn) {
	const patience, most = time.Second, 64 << 10
	if c.SetReadDeadline(time.Now().Add(patience)) == nil {
		_, _ = io.CopyN(io.Discard, c, most)
	}
}

// recordOfHandshake is the first byte of every TLS connection.
const recordOfHandshake = 0x16

// report logs why a connection was rejected. One that just ends was a port scan, or a probe of somebody's health.
func (t *Listener) report(c *tls.Conn, err error) {
	log := t.cfg.Logger.Warn
	if errors.Is(err, io.EOF) {
		log = t.cfg.Logger.Debug
	}
	state := c.ConnectionState()
	fields := []zap.Field{zap.String("remote-addr", c.RemoteAddr().String()), zap.String("server-name", state.ServerName)}
	if len(state.PeerCertificates) > 0 {
		shown := state.PeerCertificates[0]
		fields = append(fields, zap.Stringers("ip-addresses", shown.IPAddresses), zap.Strings("dns-names", shown.DNSNames))
	}
	log(t.cfg.Rejected, append(fields, zap.Error(err))...)
}

// begun is a connection whose first byte was read already.
type begun struct {
	net.Conn
	first []byte
}

func (c *begun) Read(b []byte) (int, error) {
	if len(c.first) > 0 {
		n := copy(b, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}
