package security

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"bowline/internal/testkit"
)

// httpRig is a process without TLS, and where it listens.
type httpRig struct {
	*testing.T
	server                *testkit.Server
	client, peer, metrics string // host:port
	cluster               string // its ID, as members write it
}

func startHTTP(t *testing.T, flags ...string) *httpRig {
	t.Helper()
	block, err := tlsPorts.Take()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(block.Release)
	r := &httpRig{T: t, metrics: block.Addr(0)}
	r.server, err = testkit.StartServer(etcdProgram.Path(t), t.TempDir(), &tlsPorts,
		append([]string{"--listen-metrics-urls", "http://" + r.metrics}, flags...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.server.Stop(); err != nil {
			t.Error(err)
		}
	})
	r.client, r.peer = r.server.Addr, strings.TrimPrefix(r.server.PeerURL(), "http://")
	resp, err := http.Get("http://" + r.peer + "/members")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	r.cluster = resp.Header.Get("X-Etcd-Cluster-ID")
	return r
}

// memory is what the process has of the machine's.
func (r *httpRig) memory() int64 {
	r.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.server.Pid()))
	if err != nil {
		r.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	var kib int64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		r.Fatal(err)
	}
	return kib << 10
}

// grownBy fails the test if the process has more memory than before and an allowance.
func (r *httpRig) grownBy(before, allowance int64) {
	r.Helper()
	if after := r.memory(); after > before+allowance {
		r.Errorf("the member has grown from %d MiB to %d", before>>20, after>>20)
	}
}

// answers tells that clients are served meanwhile.
func (r *httpRig) answers() {
	r.Helper()
	for _, addr := range []string{r.client, r.metrics} {
		c := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := c.Get("http://" + addr + "/health")
		if err != nil {
			r.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			r.Errorf("health at %s: %s", addr, resp.Status)
		}
	}
}

// speak opens a connection and says something.
func speak(t *testing.T, addr, text string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c
}

// head is that of a request, as a member of the cluster would send it.
func (r *httpRig) head(method, path, addr, more string) string {
	return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nX-Etcd-Cluster-ID: %s\r\nX-Server-From: 7\r\n"+
		"X-Server-Version: 3.7.1\r\nX-Min-Cluster-Version: 3.0.0\r\n%s\r\n", method, path, addr, r.cluster, more)
}

// cutOff waits until the other side has closed the connection.
func cutOff(t *testing.T, what string, c net.Conn, within time.Duration) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, c); os.IsTimeout(err) {
		t.Errorf("%s: the connection is still there after %v", what, within)
	}
}

// statusOf is that of the answer on a connection.
func statusOf(t *testing.T, c net.Conn) int {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(httpPatience)); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0 // cut off without one
	}
	resp.Body.Close()
	return resp.StatusCode
}

// httpPatience is above every deadline that the server has.
const httpPatience = 45 * time.Second
