package v2test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"bowline/internal/testkit"
)

// cluster is the members that a file needs.
type cluster struct {
	t       *testing.T
	program string
	args    []string
	block   *testkit.Block
	dir     string
	nodes   []*node
}

type node struct {
	endpoint string
	cmd      *exec.Cmd
	ended    <-chan struct{}
}

func startCluster(t *testing.T, program string, f *file, block *testkit.Block) *cluster {
	c := &cluster{t: t, program: program, args: f.Needs.Args, block: block, dir: t.TempDir()}
	for i := range f.Needs.Nodes {
		c.nodes = append(c.nodes, &node{endpoint: "http://" + block.Addr(2*i)})
	}
	t.Cleanup(func() {
		for i := range c.nodes {
			c.end(i, syscall.SIGKILL)
		}
	})
	for i := range c.nodes {
		c.launch(i, nil)
	}
	c.ready()
	return c
}

// command is a member's; of flags that are given twice the last counts.
func (c *cluster) command(i int, extra []string) []string {
	var initial []string
	for j := range c.nodes {
		initial = append(initial, fmt.Sprintf("n%d=http://%s", j, c.block.Addr(2*j+1)))
	}
	peer := "http://" + c.block.Addr(2*i+1)
	last := map[string]string{}
	for _, arg := range slices.Concat([]string{"--enable-v2=true"}, c.args, extra) {
		name, _, _ := strings.Cut(arg, "=")
		last[name] = arg
	}
	args := []string{
		"--name", fmt.Sprintf("n%d", i), "--data-dir", filepath.Join(c.dir, fmt.Sprintf("n%d", i)),
		"--listen-client-urls", c.nodes[i].endpoint, "--advertise-client-urls", c.nodes[i].endpoint,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
		"--initial-cluster", strings.Join(initial, ","), "--initial-cluster-token", "v2",
	}
	for _, arg := range last {
		args = append(args, arg)
	}
	return args
}

func (c *cluster) launch(i int, extra []string) {
	c.t.Helper()
	log, err := os.OpenFile(filepath.Join(c.dir, fmt.Sprintf("n%d.log", i)), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		c.t.Fatal(err)
	}
	defer log.Close()
	n := c.nodes[i]
	n.cmd = exec.Command(c.program, c.command(i, extra)...)
	n.cmd.Env, n.cmd.Stdout, n.cmd.Stderr = testkit.CleanEnv(), log, log
	if n.ended, err = testkit.Start(n.cmd); err != nil {
		c.t.Fatal(err)
	}
}

// end ends a member and waits for it.
func (c *cluster) end(i int, sig syscall.Signal) {
	n := c.nodes[i]
	if n.cmd == nil {
		return
	}
	_ = n.cmd.Process.Signal(sig) // it may have ended by itself
	select {
	case <-n.ended:
	case <-time.After(20 * time.Second):
		_ = n.cmd.Process.Kill()
		<-n.ended
	}
	n.cmd = nil
}

// control does to a member what a step says.
func (c *cluster) control(what string, i int, args []string) {
	switch what {
	case "restart", "kill_restart":
		sig := syscall.SIGTERM
		if what == "kill_restart" {
			sig = syscall.SIGKILL
		}
		c.end(i, sig)
		c.launch(i, args)
		c.ready()
	case "stop":
		c.end(i, syscall.SIGTERM)
	case "kill":
		c.end(i, syscall.SIGKILL)
	case "start":
		c.launch(i, args)
		c.ready()
	case "pause":
		_ = c.nodes[i].cmd.Process.Signal(syscall.SIGSTOP)
	case "resume":
		_ = c.nodes[i].cmd.Process.Signal(syscall.SIGCONT)
	}
}

// ready waits until the members answer, know their cluster's version, and are equally
// far.
func (c *cluster) ready() {
	c.t.Helper()
	deadline := time.Now().Add(40 * time.Second)
	settled, last := time.Now(), ""
	for time.Since(settled) < time.Second {
		state := ""
		for i, n := range c.nodes {
			if n.cmd == nil {
				continue
			}
			health, _, _ := fetch(http.MethodGet, n.endpoint+"/health")
			version, body, _ := fetch(http.MethodGet, n.endpoint+"/version")
			if health == nil || health.StatusCode != http.StatusOK || version == nil || strings.Contains(body, "not_decided") {
				state += fmt.Sprint(i, " is not ready at ", time.Now(), "; ")
				continue
			}
			head, _, _ := fetch(http.MethodHead, n.endpoint+"/v2/keys")
			if head != nil {
				state += head.Header.Get("X-Etcd-Index") + "; "
			}
		}
		if parts := strings.Split(strings.TrimSuffix(state, "; "), "; "); state != last || len(slices.Compact(slices.Sorted(slices.Values(parts)))) > 1 {
			settled, last = time.Now(), state
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("the members are not ready: %s", state)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// fetch makes one request, by itself.
func fetch(method, url string) (*http.Response, string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return nil, "", err
	}
	resp, err := client().RoundTrip(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

// client follows no redirects and keeps no connections.
func client() *http.Transport {
	return &http.Transport{DisableKeepAlives: true, DisableCompression: true}
}
