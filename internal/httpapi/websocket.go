package httpapi

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// Over a WebSocket each message from the client is a request in JSON, and each message to
// it an answer: what is a line of a stream else.

const (
	// pingInterval is how often a client is asked whether it is still there, which it has
	// as long again to answer.
	pingInterval = 30 * time.Second
	// bearer announces a token: pages cannot set headers of a WebSocket, only name
	// protocols.
	bearer = "Bearer"
)

func isUpgrade(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.EqualFold(r.Header.Get("Upgrade"), "websocket") &&
		strings.Contains(strings.ToLower(r.Header.Get("Connection")), "upgrade")
}

// speak serves a call over a WebSocket. Guard has looked at the page it comes from.
func (g *Gateway) speak(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true, Subprotocols: []string{bearer}})
	if err != nil {
		return // it was answered
	}
	defer conn.CloseNow()
	if g.MaxMessage > 0 {
		conn.SetReadLimit(g.MaxMessage)
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	body, requests := io.Pipe()
	call := r.Clone(ctx)
	call.Method, call.Body, call.ContentLength = http.MethodPost, body, -1
	if token := tokenAmong(r.Header.Values("Sec-WebSocket-Protocol")); token != "" {
		call.Header.Set("Authorization", bearer+" "+token)
	}
	done := make(chan struct{}, 2)
	go func() {
		defer func() { done <- struct{}{} }()
		defer cancel()
		g.receive(ctx, conn, requests, takesMany(r.URL.Path))
	}()
	go func() {
		defer func() { done <- struct{}{} }()
		defer cancel()
		for pause(ctx, pingInterval) {
			if within(ctx, pingInterval, conn.Ping) != nil {
				return
			}
		}
	}()
	answers := &messages{ctx: ctx, conn: conn, header: http.Header{}}
	g.calls.ServeHTTP(answers, call)
	answers.end()
	body.Close()
	conn.Close(websocket.StatusNormalClosure, "")
	cancel()
	<-done
	<-done
}

// tokenAmong finds the token that follows the word for it.
func tokenAmong(protocols []string) string {
	words := strings.Split(strings.Join(protocols, ","), ",")
	for i, word := range words[:len(words)-1] {
		if strings.TrimSpace(word) == bearer {
			return strings.TrimSpace(words[i+1])
		}
	}
	return ""
}

// takesMany tells whether a call is one to which a client sends requests as it goes.
func takesMany(path string) bool { return path == "/v3/watch" || path == "/v3/lease/keepalive" }

// receive writes the client's messages into the body of the call, which ends with the only
// one, until the client goes away.
func (g *Gateway) receive(ctx context.Context, conn *websocket.Conn, body *io.PipeWriter, many bool) {
	defer body.Close()
	for {
		_, message, err := conn.Read(ctx)
		if err != nil {
			return
		}
		// A call that has ended reads no more; the client may not have heard of it yet.
		_, _ = body.Write(append(message, '\n'))
		if !many {
			body.Close()
		}
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func within(ctx context.Context, d time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return do(ctx)
}

// messages is an answer whose lines are messages to a client.
type messages struct {
	ctx    context.Context
	conn   *websocket.Conn
	header http.Header
	line   bytes.Buffer // what has come of the next one
	err    error
}

func (m *messages) Header() http.Header { return m.header }
func (m *messages) WriteHeader(int)     {} // what went wrong stands in the body
func (m *messages) Flush()              {}

func (m *messages) Write(b []byte) (int, error) {
	n := len(b)
	for m.err == nil {
		line, rest, whole := bytes.Cut(b, []byte("\n"))
		m.line.Write(line)
		if !whole {
			break
		}
		m.send()
		b = rest
	}
	return n, m.err
}

// end sends what has no end of line.
func (m *messages) end() { m.send() }

// send passes a line on, to a reader who has a ping's time for it.
func (m *messages) send() {
	if m.line.Len() > 0 && m.err == nil {
		m.err = within(m.ctx, pingInterval, func(ctx context.Context) error {
			return m.conn.Write(ctx, websocket.MessageText, m.line.Bytes())
		})
	}
	m.line.Reset()
}
