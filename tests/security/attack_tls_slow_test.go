package security

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// memory is what a process has of the machine's.
func (m *tlsMember) memory(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	var kib int64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// TestTLSHalfOpenHandshakes: thousands of them neither keep a client out nor cost
// much memory.
func TestTLSHalfOpenHandshakes(t *testing.T) {
	const attempts = 4000
	r := newTLSRig(t)
	r.start(1, nil)
	r.ready()
	m := r.members[0]
	before := m.memory(t)
	begin := []byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3} // of a record that never ends
	open := make([]net.Conn, 0, 300)
	for _, addr := range []string{m.client, m.peer, m.metrics} {
		for i := range attempts {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			if i%2 == 0 {
				if _, err := c.Write(begin); err != nil {
					t.Fatal(err)
				}
			}
			open = append(open, c)
			if len(open) == cap(open) { // ours are bounded, too: those are forgotten, not finished
				open[0].Close()
				open = append(open[:0], open[1:]...)
			}
			if i%500 == 499 {
				fresh := r.connect(r.client, m.client)
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				if _, err := fresh.Get(ctx, "a"); err != nil {
					t.Errorf("a client behind %d at %s: %v", i, addr, err)
				}
				cancel()
			}
		}
	}
	if after := m.memory(t); after > before+64<<20 {
		t.Errorf("the member has grown from %d MiB to %d", before>>20, after>>20)
	}
	for _, c := range open {
		c.Close()
	}
}

// TestTLSSlowHeaders: who sends a request's head byte by byte is cut off.
func TestTLSSlowHeaders(t *testing.T) {
	r := newTLSRig(t)
	r.start(1, nil)
	r.ready()
	m := r.members[0]
	const conns = 200
	before := m.memory(t)
	all := make([]net.Conn, conns)
	for i := range all {
		config := r.config(r.client)
		config.NextProtos = []string{"http/1.1"}
		c, err := tls.Dial("tcp", m.client, config)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, "GET /health HTTP/1.1\r\nHost: a\r\nX-Slow: "); err != nil {
			t.Fatal(err)
		}
		all[i] = c
	}
	r.ready()
	if after := m.memory(t); after > before+64<<20 {
		t.Errorf("the member has grown from %d MiB to %d", before>>20, after>>20)
	}
	const limit = 45 * time.Second // 30 s for the head, and some
	deadline := time.Now().Add(limit)
	for i, c := range all {
		if err := c.SetReadDeadline(deadline); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, c); os.IsTimeout(err) {
			t.Fatalf("connection %d is still there after %v", i, limit)
		}
	}
}

// TestTLSRotation: certificates are replaced while the member runs.
func TestTLSRotation(t *testing.T) {
	r := newTLSRig(t)
	r.start(1, nil)
	r.ready()
	m := r.members[0]
	for _, addr := range []string{m.client, m.peer, m.metrics} {
		renewed := r.issue(r.ca, "server")
		c, err := tls.Dial("tcp", addr, r.config(r.client))
		if err != nil {
			t.Fatal(err)
		}
		if shown := c.ConnectionState().PeerCertificates[0].SerialNumber; shown.Cmp(renewed.Serial) != 0 {
			t.Errorf("%s shows %x, not %x", addr, shown, renewed.Serial)
		}
		c.Close()
	}
	r.revoke(r.client)
	if err := r.fetch("https://"+m.metrics+"/health", r.config(r.client), false); err == nil {
		t.Error("a certificate that was revoked a moment ago was let in")
	}
}
