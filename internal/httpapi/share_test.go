package httpapi

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// shared listens on a port of this machine and splits it. Nothing is left when the
// test ends.
func sharedPort(t *testing.T) (addr string, grpc, http net.Listener) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	grpc, http = Share(l, 100)
	t.Cleanup(func() {
		grpc.Close()
		http.Close()
		goleak.VerifyNone(t, before)
	})
	return l.Addr().String(), grpc, http
}

func connect(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// accept takes the next connection of a listener and reads all that was sent.
func accept(t *testing.T, l net.Listener) string {
	t.Helper()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	text, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

const (
	h2 = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	h1 = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
)

func TestShareTellsByTheFirstBytes(t *testing.T) {
	addr, grpc, http := sharedPort(t)
	for _, c := range []struct {
		name   string
		pieces []string // sent one by one
		to     net.Listener
	}{
		{"the preface of HTTP/2", []string{h2}, grpc},
		{"the preface, byte by byte", strings.Split(h2, ""), grpc},
		{"HTTP/1", []string{h1}, http},
		{"HTTP/1, byte by byte", strings.Split(h1, ""), http},
		{"a method that begins like the preface", []string{"PR", "OPFIND / HTTP/1.1\r\n\r\n"}, http},
		{"garbage", []string{"\x16\x03\x01\x00\xff\x00"}, http},
		{"one byte", []string{"x"}, http},
	} {
		conn := connect(t, addr)
		go func() {
			for _, p := range c.pieces {
				if _, err := io.WriteString(conn, p); err != nil {
					return
				}
			}
			conn.(*net.TCPConn).CloseWrite()
		}()
		if got, want := accept(t, c.to), strings.Join(c.pieces, ""); got != want {
			t.Errorf("%s: the listener got %q, want %q", c.name, got, want)
		}
	}
}

// TestSilenceKeepsNobodyWaiting has connections say nothing, or too little, while
// others are served.
func TestSilenceKeepsNobodyWaiting(t *testing.T) {
	addr, grpc, http := sharedPort(t)
	for range 5 {
		connect(t, addr)
		send(t, connect(t, addr), "PRI * HT")
	}
	loud := connect(t, addr)
	send(t, loud, h2)
	loud.(*net.TCPConn).CloseWrite()
	if got := accept(t, grpc); got != h2 {
		t.Errorf("got %q", got)
	}
	gone := connect(t, addr)
	send(t, gone, "PRI")
	gone.Close()
	last := connect(t, addr)
	send(t, last, h1)
	last.(*net.TCPConn).CloseWrite()
	if got := accept(t, http); got != h1 {
		t.Errorf("got %q", got)
	}
}

func TestClosingOneEndsBoth(t *testing.T) {
	addr, grpc, http := sharedPort(t)
	silent := connect(t, addr)
	waiting := connect(t, addr)
	send(t, waiting, h2) // nobody accepts it
	ended := make(chan error, 2)
	for _, l := range []net.Listener{http} {
		go func() {
			_, err := l.Accept()
			ended <- err
		}()
	}
	if err := grpc.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept ended with %v", err)
	}
	// Those whose connections nobody has taken are told.
	for _, c := range []net.Conn{silent, waiting} {
		if _, err := io.ReadAll(c); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("a connection ended with %v", err)
		}
	}
	if _, err := net.Dial("tcp", addr); err == nil {
		t.Error("the port is still open")
	}
}

// brokenListener fails like one that is out of file descriptors, then for good.
type brokenListener struct {
	net.Listener
	errs chan error
}

func (l *brokenListener) Accept() (net.Conn, error) { return nil, <-l.errs }

type temporaryError struct{ error }

func (temporaryError) Temporary() bool { return true }

func TestAFailedListenerSaysWhy(t *testing.T) {
	before := goleak.IgnoreCurrent()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	broken := &brokenListener{Listener: inner, errs: make(chan error, 2)}
	cause := errors.New("the network is gone")
	broken.errs <- temporaryError{errors.New("too many open files")}
	broken.errs <- cause
	grpc, http := Share(broken, 100)
	for _, l := range []net.Listener{grpc, http} {
		if _, err := l.Accept(); !errors.Is(err, cause) {
			t.Errorf("Accept ended with %v, want %v", err, cause)
		}
	}
	goleak.VerifyNone(t, before)
}
