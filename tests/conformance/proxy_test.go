package conformance

import (
	"bufio"
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"bowline/internal/testkit"
)

// TestThroughProxy plays every scenario of one member through the gRPC proxy: those that etcd's own
// passes (testdata/proxy.txt), and the others, because ours passes them too. In a short run it plays the
// former, which are the promise, and those of watches, which are the proxy's main work.
func TestThroughProxy(t *testing.T) {
	promised := promisedOfProxies(t)
	var queue []*scenario
	for _, sc := range enabled(t) {
		short := testing.Short() && !promised[sc.Name] && !strings.HasPrefix(sc.Name, "watch/")
		if sc.Members <= 1 && !short {
			queue = append(queue, sc)
		}
		delete(promised, sc.Name)
	}
	for name := range promised {
		t.Errorf("no scenario is called %s", name)
	}
	var ports testkit.Ports
	scenarios := make(chan *scenario)
	var wg sync.WaitGroup
	for range atOnce {
		wg.Go(func() {
			for sc := range scenarios {
				t.Run(sc.Name, func(t *testing.T) { playThroughProxy(t, sc, &ports) })
			}
		})
	}
	for _, sc := range queue {
		scenarios <- sc
	}
	close(scenarios)
	wg.Wait()
}

func promisedOfProxies(t *testing.T) map[string]bool {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "proxy.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	names := make(map[string]bool)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if line := lines.Text(); !strings.HasPrefix(line, "#") {
			names[line] = true
		}
	}
	return names
}

// playThroughProxy plays a scenario against a proxy before a member.
func playThroughProxy(t *testing.T, sc *scenario, ports *testkit.Ports) {
	members := startMembers(t, sc, ports)
	front := *members[0]
	front.Addr = startProxy(t, front.Addr, ports)
	p, err := newPlayer([]*testkit.Server{&front})
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	_, failures := p.play(sc)
	for _, failure := range failures {
		t.Error(failure)
	}
}

// startProxy starts a proxy that ends with the test, and returns its address.
func startProxy(t *testing.T, cluster string, ports *testkit.Ports) string {
	t.Helper()
	block, err := ports.Take()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(block.Release)
	log, err := os.Create(filepath.Join(t.TempDir(), "proxy.log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(server.Path(t), "grpc-proxy", "start", "--endpoints", cluster, "--listen-addr", block.Addr(0),
		"--advertise-client-url", "", "--max-send-bytes", fmt.Sprint(math.MaxInt32))
	cmd.Env, cmd.Stdout, cmd.Stderr = testkit.CleanEnv(), log, log
	ended, err := testkit.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer log.Close()
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		select {
		case <-ended:
		case <-time.After(callPatience):
			t.Error("the proxy does not end")
			_ = cmd.Process.Kill() // it may just have ended
			<-ended
		}
		if t.Failed() {
			text, err := os.ReadFile(log.Name())
			t.Logf("the proxy's log, %v:\n%s", err, testkit.LastLines(string(text), 10))
		}
	})
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(callPatience); ; <-tick.C {
		c, err := net.Dial("tcp", block.Addr(0))
		if err == nil {
			c.Close()
			return block.Addr(0)
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}
