package security

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"bowline/internal/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// TestRequestSize: a proposal may be as long as the limit says, and a message so much
// longer that this can be told to its sender.
func TestRequestSize(t *testing.T) {
	const limit, overhead = 100_000, 512 << 10
	r := startAuth(t, func(c *member.Config) { c.MaxRequestBytes = limit })
	kv := pb.NewKVClient(r.plain)
	put := func(bytes int) (codes.Code, string) {
		req := &pb.PutRequest{Key: []byte("k"), Value: make([]byte, bytes)}
		req.Value = req.Value[:bytes-(proto.Size(req)-bytes)] // now all of it is so long
		if proto.Size(req) != bytes {
			t.Fatalf("%d bytes, not %d", proto.Size(req), bytes)
		}
		_, err := kv.Put(t.Context(), req)
		return status.Code(err), status.Convert(err).Message()
	}
	// What the log adds: the kind and the length, and a header with an ID.
	const most, least = 4 + 3 + 2 + 11, 4 + 3 + 2 + 1
	taken := 0
	for n := limit - most; n <= limit-least+1; n++ {
		code, text := put(n)
		switch {
		case code == codes.OK && taken == n-1, code == codes.OK && taken == 0:
			taken = n
		case code != codes.InvalidArgument || text != "etcdserver: request is too large":
			t.Errorf("%d bytes: %v %s", n, code, text)
		}
	}
	if taken == 0 || taken > limit-least {
		t.Errorf("the longest request that was taken has %d bytes", taken)
	}
	for n, want := range map[int]string{
		limit:                "InvalidArgument etcdserver: request is too large",
		limit + overhead:     "InvalidArgument etcdserver: request is too large",
		limit + overhead + 1: fmt.Sprintf("ResourceExhausted grpc: received message larger than max (%d vs. %d)", limit+overhead+1, limit+overhead),
	} {
		if code, text := put(n); code.String()+" "+text != want {
			t.Errorf("%d bytes: %v %s, want %s", n, code, text, want)
		}
	}
}

// TestStreams: no connection has more streams than are allowed; others wait until there
// is room, or are refused if they do not wait.
func TestStreams(t *testing.T) {
	const allowed = 3
	r := startAuth(t, func(c *member.Config) { c.MaxConcurrentStreams = allowed })
	for name, conn := range map[string]*grpc.ClientConn{"plain": r.plain, "TLS": r.named} {
		var ends []context.CancelFunc
		for range allowed {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ends = append(ends, cancel)
			if err := watchOnce(ctx, conn); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		_, err := pb.NewKVClient(conn).Range(ctx, &pb.RangeRequest{Key: k})
		cancel()
		if status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("%s: one stream more: %v", name, err)
		}
		ends[0]()
		ctx, cancel = context.WithTimeout(t.Context(), authPatience)
		if _, err := pb.NewKVClient(conn).Range(ctx, &pb.RangeRequest{Key: k}); err != nil {
			t.Errorf("%s: when one has ended: %v", name, err)
		}
		cancel()
	}
	f := r.frames(false)
	for i := range uint32(allowed + 1) {
		f.must(f.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: watchHead(), EndHeaders: true}))
	}
	reset, ok := f.await(func(g http2.Frame) bool { _, ok := g.(*http2.RSTStreamFrame); return ok }).(*http2.RSTStreamFrame)
	if !ok || reset.StreamID != 2*allowed+1 || reset.ErrCode != http2.ErrCodeRefusedStream {
		t.Errorf("who does not heed the limit gets %v", reset)
	}
}

// TestKeepAlive: who pings too often is sent away; who does not answer pings is cut off.
func TestKeepAlive(t *testing.T) {
	r := startAuth(t, func(c *member.Config) {
		c.KeepAliveMinTime, c.KeepAliveInterval, c.KeepAliveTimeout = time.Hour, time.Second, time.Second
	})
	for _, secure := range []bool{false, true} {
		f := r.frames(secure)
		for i := range byte(4) { // the third that comes too early is one too many
			f.must(f.WritePing(false, [8]byte{i}))
		}
		away, ok := f.await(func(g http2.Frame) bool { _, ok := g.(*http2.GoAwayFrame); return ok }).(*http2.GoAwayFrame)
		if !ok || away.ErrCode != http2.ErrCodeEnhanceYourCalm || string(away.DebugData()) != "too_many_pings" {
			t.Errorf("TLS %v: four pings are answered by %v", secure, away)
		}

		f = r.frames(secure)
		f.must(f.WritePing(false, [8]byte{'o', 'n', 'e'}))
		f.await(func(g http2.Frame) bool {
			p, ok := g.(*http2.PingFrame)
			return ok && p.IsAck() && p.Data == [8]byte{'o', 'n', 'e'}
		})
		began := time.Now()
		f.await(func(g http2.Frame) bool { p, ok := g.(*http2.PingFrame); return ok && !p.IsAck() })
		if g := f.await(func(http2.Frame) bool { return false }); g != nil {
			t.Errorf("TLS %v: who does not answer gets %v", secure, g)
		}
		if took := time.Since(began); took < 1500*time.Millisecond {
			t.Errorf("TLS %v: cut off after %v", secure, took)
		}
	}
}

// frameConn is a client that speaks HTTP/2 by hand.
type frameConn struct {
	*http2.Framer
	t    *testing.T
	conn net.Conn
}

// frames opens a connection.
func (r *authRig) frames(secure bool) *frameConn {
	r.t.Helper()
	var c net.Conn
	var err error
	if secure {
		c, err = tls.Dial("tcp", r.cfg.ListenClientURLs[1].Host, &tls.Config{RootCAs: r.ca, Certificates: []tls.Certificate{r.pair},
			ServerName: "127.0.0.1", NextProtos: []string{"h2"}})
	} else {
		c, err = net.Dial("tcp", r.cfg.ListenClientURLs[0].Host)
	}
	r.must(err)
	r.t.Cleanup(func() { c.Close() })
	r.must(c.SetDeadline(time.Now().Add(authPatience)))
	_, err = io.WriteString(c, http2.ClientPreface)
	r.must(err)
	f := &frameConn{http2.NewFramer(c, c), r.t, c}
	r.must(f.WriteSettings())
	if secure { // the port waits for a call, or anything that is no beginning, to tell whose it is
		r.must(f.WritePing(false, [8]byte{}))
	}
	return f
}

func (f *frameConn) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// await reads until a frame is wanted; nil is the end of the connection.
func (f *frameConn) await(wanted func(http2.Frame) bool) http2.Frame {
	f.t.Helper()
	for {
		g, err := f.ReadFrame()
		if nerr := net.Error(nil); errors.As(err, &nerr) && nerr.Timeout() {
			f.t.Fatal("it does not come")
		}
		if err != nil {
			return nil
		}
		if s, ok := g.(*http2.SettingsFrame); ok && !s.IsAck() {
			if err := f.WriteSettingsAck(); err != nil {
				return nil
			}
		}
		if wanted(g) {
			return g
		}
	}
}

// watchHead is the head of a call of Watch.
func watchHead() []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for _, h := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", "/etcdserverpb.Watch/Watch"},
		{":authority", "a"}, {"content-type", "application/grpc"}, {"te", "trailers"}} {
		_ = e.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]}) // a buffer takes everything
	}
	return b.Bytes()
}
