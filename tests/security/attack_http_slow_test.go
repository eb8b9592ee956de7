package security

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// where lists what can be asked over plain HTTP: each kind of handler at each port.
func (r *httpRig) where() map[string][]string {
	return map[string][]string{
		r.client:  {"GET /health", "POST /version", "POST /metrics", "POST /debug/vars", "POST /no/such/path"},
		r.metrics: {"POST /health", "GET /metrics"},
		r.peer: {"GET /members", "GET /members/hashkv", "POST /members/promote/1", "POST /leases", "POST /leases/internal",
			"GET /downgrade/enabled", "GET /version", "POST /raft", "GET /raft/probing", "GET /raft/stream/msgapp/7", "POST /raft/snapshot",
			"POST /bowline/state/offer", "POST /bowline/state/chunk", "POST /bowline/state/complete", "POST /no/such/path"},
	}
}

// TestSlowHTTP: whoever sends slowly, or does not read, is cut off, and costs little
// until then.
func TestSlowHTTP(t *testing.T) {
	r := startHTTP(t)
	before := r.memory()
	var waiting []func()
	later := func(what string, c net.Conn) { waiting = append(waiting, func() { cutOff(t, what, c, httpPatience) }) }
	for addr, paths := range r.where() {
		for range 50 {
			later("half a head at "+addr, speak(t, addr, "GET /health HTTP/1.1\r\nHost: a\r\nX-Slow: "))
		}
		for _, path := range paths {
			method, path, _ := strings.Cut(path, " ")
			for range 5 {
				head := r.head(method, path, addr, "Content-Length: 100000\r\n")
				later("half a body for "+path, speak(t, addr, head+"some"))
				head = r.head(method, path, addr, "Transfer-Encoding: chunked\r\n")
				later("no chunk for "+path, speak(t, addr, head))
			}
		}
	}
	for _, addr := range []string{r.client, r.metrics} {
		for range 5 {
			c := speak(t, addr, "")
			if err := c.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
				t.Fatal(err)
			}
			blocked := make(chan error, 1)
			go func() { blocked <- askWithoutReading(c, addr) }()
			waiting = append(waiting, func() {
				if err := <-blocked; err == nil {
					t.Errorf("%s goes on answering who does not read", addr)
				}
			})
		}
	}
	r.answers()
	r.grownBy(before, 128<<20) // metrics for those who do not read are garbage
	for _, wait := range waiting {
		wait()
	}
	r.answers()
}

// askWithoutReading asks for large answers until the other side has enough of it, and
// returns nil if it never has.
func askWithoutReading(c net.Conn, addr string) error {
	if err := c.SetWriteDeadline(time.Now().Add(2 * httpPatience)); err != nil {
		return err
	}
	for range 1 << 20 {
		if _, err := fmt.Fprintf(c, "GET /metrics HTTP/1.1\r\nHost: %s\r\n\r\n", addr); err != nil {
			if nerr, ok := err.(net.Error); ok && nerr.Timeout() {
				return nil
			}
			return err
		}
	}
	return nil
}

// zeros is a body of zeros.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// TestEndlessBodies: nobody swallows a body without an end, and it costs little.
func TestEndlessBodies(t *testing.T) {
	r := startHTTP(t)
	before := r.memory()
	const most = 1 << 30 // who swallows as much swallows anything
	for addr, paths := range r.where() {
		for _, path := range paths {
			method, path, _ := strings.Cut(path, " ")
			req, err := http.NewRequest(method, "http://"+addr+path, io.LimitReader(zeros{}, most))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-Etcd-Cluster-ID", r.cluster)
			req.Header.Set("X-Server-From", "7")
			req.Header.Set("X-Server-Version", "3.7.1")
			req.Header.Set("X-Min-Cluster-Version", "3.0.0")
			counted := &counting{ReadCloser: req.Body}
			req.Body = counted
			c := http.Client{Timeout: httpPatience, Transport: &http.Transport{DisableKeepAlives: true}}
			resp, err := c.Do(req)
			if err == nil {
				resp.Body.Close()
			}
			if counted.n >= most {
				t.Errorf("%s at %s took %d MiB", path, addr, counted.n>>20)
			}
			c.CloseIdleConnections()
		}
	}
	// What /raft may hold, and as much again until it is collected.
	r.grownBy(before, 320<<20)
	r.answers()
}

// counting counts what is read of a body.
type counting struct {
	io.ReadCloser
	n int64
}

func (c *counting) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b)
	c.n += int64(n)
	return n, err
}

// TestLongHeads: the head of a request is bounded, at each port and over gRPC's HTTP/2.
func TestLongHeads(t *testing.T) {
	r := startHTTP(t)
	for _, addr := range []string{r.client, r.metrics, r.peer} {
		for bytes, want := range map[int]int{32 << 10: http.StatusOK, 128 << 10: http.StatusRequestHeaderFieldsTooLarge} {
			c := speak(t, addr, "GET /version HTTP/1.1\r\nHost: a\r\nX-Long: ")
			go io.WriteString(c, strings.Repeat("x", bytes)+"\r\n\r\n")
			got := statusOf(t, c)
			if addr == r.metrics && want == http.StatusOK {
				want = http.StatusNotFound
			}
			if got != want {
				t.Errorf("a head of %d bytes at %s: %d, want %d", bytes, addr, got, want)
			}
		}
	}
}
