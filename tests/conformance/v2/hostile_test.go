package v2test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"bowline/internal/testkit"
)

// startOne starts one member for a test that has no recording.
func startOne(t *testing.T) *cluster {
	t.Helper()
	program, err := testkit.Build(t.TempDir(), "etcd")
	if err != nil {
		t.Fatal(err)
	}
	var free testkit.Ports
	block, err := free.Take()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(block.Release)
	f := new(file)
	f.Needs.Nodes = 1
	return startCluster(t, program, f, block)
}

// TestKeysAreBounded refuses keys that would cost more than their bytes.
func TestKeysAreBounded(t *testing.T) {
	endpoint := startOne(t).nodes[0].endpoint
	for _, c := range []struct {
		name, key string
		status    int
	}{
		{"deep", strings.Repeat("/a", 600), http.StatusRequestURITooLong},
		{"deep enough", strings.Repeat("/a", 500), http.StatusCreated},
		{"long", "/" + strings.Repeat("x", 60<<10), http.StatusCreated},
		{"longer than heads may be", "/" + strings.Repeat("x", 1<<20), http.StatusRequestHeaderFieldsTooLarge},
		{"out of the tree", "/%2e%2e/%2e%2e/0/members", http.StatusMovedPermanently},
		{"a zero", "/a%00b", http.StatusCreated},
		{"no text", "/%ff%fe", http.StatusCreated},
	} {
		resp, body, err := fetch(http.MethodPut, endpoint+"/v2/keys"+c.key)
		// A server that refuses a head may close the connection before the body was read.
		switch {
		case resp == nil:
			t.Errorf("%s: %v", c.name, err)
		case resp.StatusCode != c.status:
			t.Errorf("%s: %d %.100q, want %d", c.name, resp.StatusCode, body, c.status)
		}
	}
	resp, _, err := fetch(http.MethodGet, endpoint+"/v2/keys/?recursive=true")
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("the tree cannot be read afterwards: %v", err)
	}
}

// TestIdleWatches holds many watches open: all hear of a change, none is left when their
// clients have gone, and a member that stops does not wait for them.
func TestIdleWatches(t *testing.T) {
	const watches = 500
	c := startOne(t)
	endpoint := c.nodes[0].endpoint
	open := func() (conns []net.Conn) {
		for range watches {
			conn, err := net.Dial("tcp", strings.TrimPrefix(endpoint, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, conn)
			if _, err := io.WriteString(conn, "GET /v2/keys/a?wait=true HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
		}
		return conns
	}
	counted := func(want string) {
		t.Helper()
		deadline := time.Now().Add(20 * time.Second)
		for {
			_, body, _ := fetch(http.MethodGet, endpoint+"/v2/stats/store")
			if strings.Contains(body, want) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("want %s, got %s", want, body)
			}
			<-time.After(20 * time.Millisecond)
		}
	}
	first := open()
	counted(`"watchers":500`)
	if resp, _, err := fetch(http.MethodPut, endpoint+"/v2/keys/a"); err != nil || resp.StatusCode != http.StatusCreated {
		t.Fatal(err)
	}
	for i, conn := range first {
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("watch %d: %v", i, err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || !strings.Contains(string(body), `"action":"set"`) {
			t.Fatalf("watch %d got %q, %v", i, body, err)
		}
		conn.Close()
	}
	counted(`"watchers":0`)
	second := open()
	counted(`"watchers":500`)
	for _, conn := range second[:watches/2] {
		conn.Close()
	}
	counted(`"watchers":250`)
	began := time.Now()
	c.end(0, syscall.SIGTERM)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the member waited %v for its watches", took)
	}
	for _, conn := range second[watches/2:] {
		conn.Close()
	}
}
