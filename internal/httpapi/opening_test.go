package httpapi

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"bowline/internal/certs"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// secureServer serves calls and requests on one port with TLS.
type secureServer struct {
	addr  string
	roots *x509.CertPool
}

func newSecureServer(t *testing.T) *secureServer {
	t.Helper()
	before := goleak.IgnoreCurrent()
	borrowed := httptest.NewTLSServer(nil) // for its certificate
	borrowed.Close()
	roots := x509.NewCertPool()
	roots.AddCert(borrowed.Certificate())
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := certs.Listen(raw, certs.ListenerConfig{Logger: zap.NewNop(),
		TLS: &tls.Config{Certificates: borrowed.TLS.Certificates, NextProtos: []string{"h2", "http/1.1"}}})
	calls, requests := Share(l, 100)
	g := grpc.NewServer()
	healthpb.RegisterHealthServer(g, health.NewServer())
	h := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if r.TLS == nil || err != nil {
			http.Error(w, "no TLS", http.StatusInternalServerError)
			return
		}
		_, _ = io.WriteString(w, r.Proto+" "+string(body))
	})}
	SpeakBoth(h)
	var serving sync.WaitGroup
	serving.Go(func() { _ = g.Serve(calls) })
	serving.Go(func() { _ = h.Serve(requests) })
	t.Cleanup(func() {
		h.Close()
		g.Stop()
		serving.Wait()
		goleak.VerifyNone(t, before)
	})
	return &secureServer{addr: l.Addr().String(), roots: roots}
}

// TestCallsAndRequestsShareTLS: each kind of client reaches its server, all over one port.
func TestCallsAndRequestsShareTLS(t *testing.T) {
	s := newSecureServer(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, c := range []struct {
		protos []string
		want   string
	}{{[]string{"h2", "http/1.1"}, "HTTP/2.0 "}, {[]string{"h2"}, "HTTP/2.0 "}, {[]string{"http/1.1"}, "HTTP/1.1 "}, {nil, "HTTP/1.1 "}} {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.roots, NextProtos: c.protos}, Protocols: new(http.Protocols)}
		transport.Protocols.SetHTTP1(c.want == "HTTP/1.1 ")
		transport.Protocols.SetHTTP2(c.want == "HTTP/2.0 ")
		defer transport.CloseIdleConnections()
		body := string(bytes.Repeat([]byte("x"), 200<<10)) // longer than the first windows
		for range 3 {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+s.addr, bytes.NewBufferString(body))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := transport.RoundTrip(req)
			if err != nil {
				t.Fatalf("%v: %v", c.protos, err)
			}
			got, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || string(got) != c.want+body {
				t.Fatalf("%v: %.40q, %v", c.protos, got, err)
			}
		}
	}
	conn, err := grpc.NewClient(s.addr, grpc.WithTransportCredentials(credentials.NewClientTLSFromCert(s.roots, "")))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 3 {
		if _, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{}); err != nil {
			t.Fatal(err)
		}
	}
}

// frames encodes the beginning of a connection.
func frames(write func(*http2.Framer)) []byte {
	var b bytes.Buffer
	b.WriteString(http2.ClientPreface)
	write(http2.NewFramer(&b, nil))
	return b.Bytes()
}

func headers(fields ...string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for i := 0; i < len(fields); i += 2 {
		if err := e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}); err != nil {
			panic(err)
		}
	}
	return b.Bytes()
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func TestOpenings(t *testing.T) {
	call := headers(":method", "POST", "content-type", "application/grpc+proto")
	get := headers(":method", "GET", "user-agent", "x")
	send := func(block []byte, end bool, pad uint8, priority http2.PriorityParam) func(*http2.Framer) {
		return func(f *http2.Framer) {
			must(f.WriteSettings())
			must(f.WriteWindowUpdate(0, 100))
			must(f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block, EndHeaders: end, PadLength: pad, Priority: priority}))
		}
	}
	for _, c := range []struct {
		name  string
		sent  []byte
		calls bool
		err   bool
	}{
		{"a call", frames(send(call, true, 0, http2.PriorityParam{})), true, false},
		{"a request", frames(send(get, true, 0, http2.PriorityParam{})), false, false},
		{"a call with padding and priority", frames(send(call, true, 9, http2.PriorityParam{Weight: 3})), true, false},
		{"a request with padding and priority", frames(send(get, true, 9, http2.PriorityParam{Weight: 3})), false, false},
		{"a call in two pieces", frames(func(f *http2.Framer) {
			send(call[:3], false, 0, http2.PriorityParam{})(f)
			must(f.WriteContinuation(1, true, call[3:]))
		}), true, false},
		{"a ping first", frames(func(f *http2.Framer) { must(f.WritePing(false, [8]byte{})) }), true, false},
		{"something unknown first", frames(func(f *http2.Framer) {
			must(f.WriteRawFrame(0x10, 0, 0, []byte("u=3")))
			send(get, true, 0, http2.PriorityParam{})(f)
		}), false, false},
		{"headers that are none", frames(send([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, true, 0, http2.PriorityParam{})), false, false},
		{"a frame that is too long", frames(func(f *http2.Framer) { must(f.WriteRawFrame(0x10, 0, 0, make([]byte, maxFirstFrame+1))) }), false, true},
		{"without end", frames(func(f *http2.Framer) {
			for range 100 {
				must(f.WriteRawFrame(0x10, 0, 0, make([]byte, 1000)))
			}
		}), false, true},
		{"something else", []byte("GET / HTTP/1.1\r\nHost: somewhere\r\n\r\n"), false, true},
		{"nothing more", []byte(http2.ClientPreface), false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, from := range map[string]io.Reader{"at once": bytes.NewReader(c.sent), "in bytes": iotest.OneByteReader(bytes.NewReader(c.sent))} {
				o := &opening{from: from}
				calls, err := o.listen()
				if calls != c.calls || (err != nil) != c.err {
					t.Errorf("%s: %v, %v", name, calls, err)
				}
				if !bytes.HasPrefix(c.sent, o.heard) {
					t.Errorf("%s: what was heard is not what was sent", name)
				}
			}
		})
	}
}

// TestOurAcknowledgementIsLeftOut: the server sees every frame but the answer to our greeting.
func TestOurAcknowledgementIsLeftOut(t *testing.T) {
	begin := frames(func(f *http2.Framer) { must(f.WriteSettings()) })
	var ack, data bytes.Buffer
	must(http2.NewFramer(&ack, nil).WriteSettingsAck())
	must(http2.NewFramer(&data, nil).WriteData(1, true, bytes.Repeat([]byte{0, 0, 0, 4, 1}, 50)))
	sent := bytes.Join([][]byte{begin, data.Bytes(), ack.Bytes(), data.Bytes(), ack.Bytes()}, nil)
	want := bytes.Join([][]byte{begin, data.Bytes(), data.Bytes(), ack.Bytes()}, nil)
	for heard := range len(sent) {
		rest := &source{from: bytes.NewReader(sent[heard:])}
		got, err := io.ReadAll(iotest.OneByteReader(newRequestConn(rest, nil, sent[:heard])))
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes heard before: %x, %v; not %x", heard, got, err, want)
		}
	}
}

// source is a connection that is read alone.
type source struct {
	net.Conn
	from io.Reader
}

func (s *source) Read(b []byte) (int, error) { return s.from.Read(b) }

func FuzzOpening(f *testing.F) {
	f.Add(frames(func(f *http2.Framer) {
		must(f.WriteSettings())
		must(f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headers("content-type", "application/grpc"), EndHeaders: true, PadLength: 3}))
	}))
	f.Add(frames(func(f *http2.Framer) { must(f.WritePing(false, [8]byte{})) }))
	f.Fuzz(func(t *testing.T, sent []byte) {
		o := &opening{from: bytes.NewReader(sent)}
		_, _ = o.listen()
		if len(o.heard) > maxOpening+maxFirstFrame+1<<10 {
			t.Errorf("%d bytes are held", len(o.heard))
		}
		if len(sent) < len(wholePreface) {
			return
		}
		rest := &source{from: bytes.NewReader(sent[len(o.heard):])}
		got, err := io.ReadAll(newRequestConn(rest, nil, o.heard))
		if err == nil && len(got) > len(sent) {
			t.Errorf("%d bytes became %d", len(sent), len(got))
		}
	})
}
