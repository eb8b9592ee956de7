package gateway

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// speaker accepts connections, says its name, and echoes.
func speaker(t *testing.T, name, addr string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				fmt.Fprintln(c, name)
				io.Copy(c, c)
			}()
		}
	}()
	t.Cleanup(func() { l.Close() })
	return l
}

// rig is a gateway that runs.
type rig struct {
	addr string
	logs *observer.ObservedLogs
	stop func() error
}

func serve(t *testing.T, cfg Config) rig {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	cfg.Logger = zap.New(core)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- New(cfg).Serve(ctx, l) }()
	stop := func() error {
		cancel()
		select {
		case err := <-ended:
			ended <- err
			return err
		case <-time.After(patience):
			return context.DeadlineExceeded
		}
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return rig{l.Addr().String(), logs, stop}
}

func (r rig) dial(t *testing.T) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

// who says which speaker a new connection leads to; "" if to none.
func (r rig) who(t *testing.T) string {
	t.Helper()
	c := r.dial(t)
	defer c.Close()
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return ""
	}
	return strings.TrimSpace(line)
}

// waitLog waits for a line of the log.
func (r rig) waitLog(t *testing.T, message string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); r.logs.FilterMessage(message).Len() == 0; <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("the log never said %q", message)
		}
	}
}

// TestHalfClosedConnections: who has said all still hears the rest.
func TestHalfClosedConnections(t *testing.T) {
	r := serve(t, Config{Endpoints: []Endpoint{{Addr: speaker(t, "one", "127.0.0.1:0").Addr().String()}}})
	c := r.dial(t)
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	go func() {
		c.Write(sent)
		c.CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if want := append([]byte("one\n"), sent...); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes came of %d, %v", len(got), len(want), err)
	}
}

// TestRoundRobinAndFailure: connections are spread; an endpoint that fails is left out, and comes
// back after the delay.
func TestRoundRobinAndFailure(t *testing.T) {
	one, two := speaker(t, "one", "127.0.0.1:0"), speaker(t, "two", "127.0.0.1:0")
	r := serve(t, Config{Endpoints: []Endpoint{{Addr: one.Addr().String()}, {Addr: two.Addr().String()}}, RetryDelay: 20 * time.Millisecond})
	seen := make(map[string]int)
	for range 10 {
		seen[r.who(t)]++
	}
	if seen["one"] != 5 || seen["two"] != 5 {
		t.Errorf("the connections went to %v", seen)
	}
	two.Close()
	for range 4 {
		if who := r.who(t); who != "one" {
			t.Errorf("a connection went to %q", who)
		}
	}
	r.waitLog(t, "deactivated endpoint")
	r.waitLog(t, "failed to activate endpoint (stay inactive for another interval)")
	speaker(t, "again", two.Addr().String())
	r.waitLog(t, "activated")
	seen = make(map[string]int)
	for range 10 {
		seen[r.who(t)]++
	}
	if seen["one"] != 5 || seen["again"] != 5 {
		t.Errorf("the connections went to %v", seen)
	}
	one.Close()
	r.who(t) // may be what finds out
	if who := r.who(t); who != "again" {
		t.Errorf("a connection went to %q", who)
	}
}

// TestNoEndpointLeft: the client is told by the end of its connection.
func TestNoEndpointLeft(t *testing.T) {
	gone := speaker(t, "gone", "127.0.0.1:0")
	gone.Close()
	r := serve(t, Config{Endpoints: []Endpoint{{Addr: gone.Addr().String()}}})
	if who := r.who(t); who != "" {
		t.Errorf("a connection went to %q", who)
	}
}

// TestConnectionsAreBounded: one more than there may be waits for another's end.
func TestConnectionsAreBounded(t *testing.T) {
	r := serve(t, Config{Endpoints: []Endpoint{{Addr: speaker(t, "one", "127.0.0.1:0").Addr().String()}}, MaxConnections: 2})
	first, second, third := r.dial(t), r.dial(t), r.dial(t)
	for _, c := range []net.Conn{first, second} {
		if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
	}
	if err := third.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := third.Read(make([]byte, 4)); err == nil {
		t.Errorf("%d bytes came over a third connection", n)
	}
	first.Close()
	if err := third.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(third, make([]byte, 4)); err != nil {
		t.Error(err)
	}
}

// TestEndClosesConnections: nobody is left hanging.
func TestEndClosesConnections(t *testing.T) {
	r := serve(t, Config{Endpoints: []Endpoint{{Addr: speaker(t, "one", "127.0.0.1:0").Addr().String()}}})
	c := r.dial(t)
	if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("the connection goes on: %d, %v", n, err)
	}
	if _, err := net.Dial("tcp", r.addr); err == nil {
		t.Error("it still listens")
	}
}

// TestWhoIsPicked holds the rules of priorities and weights.
func TestWhoIsPicked(t *testing.T) {
	for _, c := range []struct {
		name      string
		endpoints []Endpoint
		down      []int
		draws     []int // what is drawn, in turn
		want      []int
	}{
		{"in turn", []Endpoint{{}, {}, {}}, nil, nil, []int{1, 2, 0, 1}},
		{"in turn, but for one that failed", []Endpoint{{}, {}, {}}, []int{1}, nil, []int{2, 0, 2}},
		{"the lowest priority", []Endpoint{{Priority: 2}, {Priority: 1}, {Priority: 3}}, nil, nil, []int{1, 1}},
		{"the next priority", []Endpoint{{Priority: 2}, {Priority: 1}, {Priority: 3}}, []int{1}, nil, []int{0, 0}},
		{"by weight", []Endpoint{{Weight: 1}, {Weight: 3}}, nil, []int{0, 1, 2, 3}, []int{0, 1, 1, 1}},
		{"rarely one without weight", []Endpoint{{Weight: 1}, {}}, nil, []int{1, 0, 0, 99, 0}, []int{0, 1, 0}},
		{"none", []Endpoint{{}}, []int{0}, nil, nil},
	} {
		p := newPool(c.endpoints)
		draws := c.draws
		p.intn = func(n int) int {
			d := draws[0]
			draws = draws[1:]
			if d >= n {
				t.Errorf("%s: drew below %d, not %d", c.name, n, d)
			}
			return d
		}
		for _, i := range c.down {
			p.set(i, true)
		}
		for i, want := range c.want {
			if got, ok := p.pick(); !ok || got != want {
				t.Errorf("%s: pick %d is %d, %v, not %d", c.name, i, got, ok, want)
			}
		}
		if len(c.want) == 0 {
			if got, ok := p.pick(); ok {
				t.Errorf("%s: it is %d", c.name, got)
			}
		}
	}
}

// TestWhatIsRefused holds etcd's words.
func TestWhatIsRefused(t *testing.T) {
	for _, c := range []struct{ listen, endpoint, want string }{
		{"127.0.0.1:23790", "127.0.0.1", `error parsing endpoint "127.0.0.1"`},
		{"127.0.0.1", "127.0.0.1:2379", "failed to validate listen address: 127.0.0.1\n"},
		{"127.0.0.1:2379", "http://127.0.0.1:2379",
			"SRV or endpoint (127.0.0.1:2379->127.0.0.1:2379) should not resolve to the gateway listen addr (127.0.0.1:2379)\n"},
		{"127.0.0.1:23790", "https://127.0.0.1:2379/x", ""},
	} {
		o := options{listen: c.listen, endpoints: []string{c.endpoint}}
		endpoints, refusal, err := o.find(t.Context(), zap.NewNop())
		if err != nil || refusal != c.want || (refusal == "") != (len(endpoints) == 1) {
			t.Errorf("%s behind %s: %v, %q, %v, not %q", c.endpoint, c.listen, endpoints, refusal, err, c.want)
		}
	}
}
