package proxy

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"bowline/internal/testkit"
)

var (
	server = testkit.Program{Name: "etcd", Variable: "BOWLINE_ETCD"}
	ports  testkit.Ports
)

func TestMain(m *testing.M) { testkit.Main(m, &server) }

// patience is how long a test may wait altogether: only one that fails does.
const patience = time.Minute

func limited(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// startServer starts a member that ends with the test.
func startServer(t *testing.T, flags ...string) *testkit.Server {
	t.Helper()
	s, err := testkit.StartServer(server.Path(t), t.TempDir(), &ports, flags...)
	must(t, err)
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// outpost is a process that stands before a cluster.
type outpost struct {
	addr  string
	cmd   *exec.Cmd
	ended <-chan struct{}

	mu  sync.Mutex // guards log
	log bytes.Buffer
}

// Write implements io.Writer, for the log.
func (o *outpost) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.log.Write(b)
}

func (o *outpost) said(text string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Contains(o.log.String(), text)
}

// startOutpost starts a way in, "grpc-proxy" or "gateway", that ends with the test.
func startOutpost(t *testing.T, way, endpoints string, flags ...string) *outpost {
	t.Helper()
	block, err := ports.Take()
	must(t, err)
	t.Cleanup(block.Release)
	o := &outpost{addr: block.Addr(0)}
	args := append([]string{way, "start", "--endpoints", endpoints, "--listen-addr", o.addr}, flags...)
	if way == "grpc-proxy" {
		args = append(args, "--advertise-client-url", o.addr)
	}
	o.cmd = exec.Command(server.Path(t), args...)
	o.cmd.Dir, o.cmd.Env, o.cmd.Stdout, o.cmd.Stderr = t.TempDir(), testkit.CleanEnv(), o, o
	o.ended, err = testkit.Start(o.cmd)
	must(t, err)
	t.Cleanup(func() {
		o.stop(t)
		if t.Failed() {
			o.mu.Lock()
			defer o.mu.Unlock()
			t.Logf("the log of the %s:\n%s", way, testkit.LastLines(o.log.String(), 15))
		}
	})
	waitFor(t, "the "+way+" to be ready", func() bool { return o.said("successfully notified init daemon") })
	return o
}

// stop ends the process as an operator would. It dies of the signal.
func (o *outpost) stop(t *testing.T) {
	t.Helper()
	_ = o.cmd.Process.Signal(syscall.SIGTERM) // it may have ended before
	select {
	case <-o.ended:
	case <-time.After(patience):
		_ = o.cmd.Process.Kill()
		<-o.ended
		t.Error("it had to be killed")
	}
	if status := o.cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("it ended with %v", o.cmd.ProcessState)
	}
}

// waitFor waits for a condition.
func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// connect is a client until the test ends.
func connect(t *testing.T, cfg clientv3.Config) *clientv3.Client {
	t.Helper()
	cfg.DialTimeout, cfg.Logger = patience, zap.NewNop()
	c, err := clientv3.New(cfg)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

func client(t *testing.T, addr string) *clientv3.Client {
	t.Helper()
	return connect(t, clientv3.Config{Endpoints: []string{addr}})
}

// page is what an address serves over HTTP.
func page(t *testing.T, url string) (code int, body string) {
	t.Helper()
	resp, err := http.Get(url)
	must(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp.StatusCode, string(text)
}

// metric is the value of a metric without labels, as it is written.
func metric(t *testing.T, url, name string) string {
	t.Helper()
	_, body := page(t, url)
	for line := range strings.Lines(body) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func put(t *testing.T, ctx context.Context, kv clientv3.KV, key, value string) int64 {
	t.Helper()
	r, err := kv.Put(ctx, key, value)
	must(t, err)
	return r.Header.Revision
}

// next is what a watch brings next.
func next(t *testing.T, ctx context.Context, from clientv3.WatchChan) clientv3.WatchResponse {
	t.Helper()
	select {
	case r, ok := <-from:
		if !ok {
			t.Fatal("the watch has ended")
		}
		return r
	case <-ctx.Done():
		t.Fatal("nothing came")
	}
	panic("not reached")
}

func readFile(t *testing.T, path ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	must(t, err)
	return b
}
