package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"strings"

	"golang.org/x/net/http2/hpack"
)

// What is needed of HTTP/2 (RFC 9113) to hear what a connection is for.
const (
	wholePreface  = preface + "\r\n\r\nSM\r\n\r\n"
	frameHead     = 9
	maxFirstFrame = 1 << 14 // the longest frame before anything was agreed on
	// maxOpening bounds what is read before it is clear what a connection is for.
	maxOpening = 64 << 10

	frameHeaders      = 0x1
	framePriority     = 0x2
	frameSettings     = 0x4
	frameWindow       = 0x8
	frameContinuation = 0x9
	frameFirstUnknown = 0xa

	flagAck        = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20

	settingMaxStreams = 0x3
)

var errOpening = errors.New("httpapi: this is not HTTP/2")

// listenSecurely tells whether a connection with TLS is for calls. Clients of HTTP/2
// are told from each other by their first request, and gRPC's want to hear of the
// server before they make one: so they are greeted here, and by their server once
// more, which the protocol allows at any time.
func listenSecurely(c *tls.Conn, streams uint32) (heard net.Conn, calls bool, err error) {
	if c.ConnectionState().NegotiatedProtocol != "h2" {
		return c, false, nil
	}
	if _, err := c.Write(greeting(streams)); err != nil {
		return nil, false, err
	}
	o := &opening{from: c}
	switch calls, err = o.listen(); {
	case err != nil:
		return nil, false, err
	case calls:
		return &callConn{conn{Conn: c, first: o.heard}, c}, true, nil
	}
	return newRequestConn(c, c, o.heard), false, nil
}

// greeting is a SETTINGS frame.
func greeting(streams uint32) []byte {
	if streams == math.MaxUint32 {
		return []byte{0, 0, 0, frameSettings, 0, 0, 0, 0, 0}
	}
	frame := []byte{0, 0, 6, frameSettings, 0, 0, 0, 0, 0, 0, settingMaxStreams}
	return binary.BigEndian.AppendUint32(frame, streams)
}

// opening is the beginning of a connection.
type opening struct {
	from  io.Reader
	heard []byte // all that was read
	at    int    // what is behind was understood
}

// next returns the next n bytes.
func (o *opening) next(n int) ([]byte, error) {
	for len(o.heard)-o.at < n {
		if len(o.heard) > maxOpening {
			return nil, errOpening
		}
		var some [1 << 10]byte
		m, err := o.from.Read(some[:])
		o.heard = append(o.heard, some[:m]...)
		if err != nil && m == 0 {
			return nil, err
		}
	}
	o.at += n
	return o.heard[o.at-n : o.at], nil
}

// listen reads up to the first request. Who is silent for long, or sends something
// else first, is taken for a client of gRPC that has nothing to call yet.
func (o *opening) listen() (calls bool, err error) {
	begin, err := o.next(len(wholePreface))
	if err != nil {
		return false, err
	}
	if string(begin) != wholePreface {
		return false, errOpening
	}
	headers := newHeaderReader()
	for {
		kind, flags, payload, err := o.frame()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return true, nil
		case err != nil:
			return false, err
		}
		switch kind {
		case frameSettings, frameWindow, framePriority:
			continue
		case frameHeaders, frameContinuation:
			if kind == frameHeaders {
				payload = withoutPadding(flags, payload)
			}
			// What is wrong with the headers is for the server to say.
			_, err := headers.Write(payload)
			if headers.calls || err != nil || flags&flagEndHeaders != 0 {
				return headers.calls, nil
			}
		default:
			if kind < frameFirstUnknown {
				return true, nil
			}
		}
	}
}

func (o *opening) frame() (kind, flags byte, payload []byte, err error) {
	head, err := o.next(frameHead)
	if err != nil {
		return 0, 0, nil, err
	}
	kind, flags = head[3], head[4]
	n := int(head[0])<<16 | int(head[1])<<8 | int(head[2])
	if n > maxFirstFrame {
		return 0, 0, nil, errOpening
	}
	payload, err = o.next(n)
	return kind, flags, payload, err
}

// withoutPadding is the part of a HEADERS frame that holds headers.
func withoutPadding(flags byte, payload []byte) []byte {
	padding := 0
	if flags&flagPadded != 0 && len(payload) > 0 {
		padding, payload = int(payload[0]), payload[1:]
	}
	if flags&flagPriority != 0 {
		const priority = 5
		payload = payload[min(priority, len(payload)):]
	}
	return payload[:max(0, len(payload)-padding)]
}

// headerReader looks for the header that marks a call.
type headerReader struct {
	*hpack.Decoder
	calls bool
}

func newHeaderReader() *headerReader {
	const tableBytes = 4096 // HTTP/2's default
	r := new(headerReader)
	r.Decoder = hpack.NewDecoder(tableBytes, func(f hpack.HeaderField) {
		r.calls = r.calls || f.Name == "content-type" && strings.Contains(f.Value, "application/grpc")
	})
	r.SetMaxStringLength(maxFirstFrame)
	return r
}

// callConn is a connection with TLS over which calls come.
type callConn struct {
	conn
	secure *tls.Conn
}

// ConnectionState tells who is at the other end.
func (c *callConn) ConnectionState() tls.ConnectionState { return c.secure.ConnectionState() }

// requestConn is a connection with TLS and HTTP/2 over which requests come that are
// no calls. The first acknowledgement of settings is that of our greeting, of which
// the server does not know: it is left out.
type requestConn struct {
	net.Conn
	secure *tls.Conn
	from   *bufio.Reader
	pass   int // bytes to pass on before the next frame begins
	past   bool
}

// newRequestConn is c, of which something was read already.
func newRequestConn(c net.Conn, secure *tls.Conn, heard []byte) *requestConn {
	from := bufio.NewReader(io.MultiReader(bytes.NewReader(heard), c))
	return &requestConn{Conn: c, secure: secure, from: from, pass: len(wholePreface)}
}

func (c *requestConn) Read(b []byte) (int, error) {
	for c.pass == 0 && !c.past {
		head, err := c.from.Peek(frameHead)
		if err != nil {
			return 0, err
		}
		c.pass = frameHead + (int(head[0])<<16 | int(head[1])<<8 | int(head[2]))
		if head[3] == frameSettings && head[4]&flagAck != 0 {
			c.past = true
			if _, err := c.from.Discard(c.pass); err != nil {
				return 0, err
			}
		}
	}
	if c.past {
		if c.from.Buffered() == 0 {
			return c.Conn.Read(b)
		}
		return c.from.Read(b)
	}
	n, err := c.from.Read(b[:min(len(b), c.pass)])
	c.pass -= n
	return n, err
}

type secureKey struct{}

// SpeakBoth prepares a server for the second listener of Share: it speaks HTTP/2,
// too, and its handlers see the TLS of each connection.
func SpeakBoth(s *http.Server) {
	s.Protocols = new(http.Protocols)
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetHTTP2(true)
	// Its handshake was made before the server sees the connection.
	s.Protocols.SetUnencryptedHTTP2(true)
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if r, ok := c.(*requestConn); ok {
			state := r.secure.ConnectionState()
			return context.WithValue(ctx, secureKey{}, &state)
		}
		return ctx
	}
	h := s.Handler
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if state, ok := r.Context().Value(secureKey{}).(*tls.ConnectionState); ok {
			r.TLS = state
		}
		h.ServeHTTP(w, r)
	})
}
