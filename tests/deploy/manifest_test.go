package deploy

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"bowline/internal/config"
	"bowline/internal/testkit"

	"sigs.k8s.io/yaml"
)

var (
	etcd    = testkit.Program{Name: "etcd", Variable: "BOWLINE_ETCD"}
	etcdctl = testkit.Program{Name: "etcdctl", Variable: "BOWLINE_ETCDCTL"}
	ports   testkit.Ports
)

func TestMain(m *testing.M) { testkit.Main(m, &etcd, &etcdctl) }

const patience = 30 * time.Second

// node is the machine's address in the manifest, and elsewhere the one that stands for it.
const (
	node      = "10.0.0.10"
	elsewhere = "127.0.0.2"
	pki       = "/etc/kubernetes/pki/etcd"
)

type probe struct {
	HTTPGet struct {
		Host, Path, Scheme string
		Port               int
	} `json:"httpGet"`
	TimeoutSeconds int
}

type pod struct {
	Spec struct {
		Containers []struct {
			Command                                     []string
			LivenessProbe, ReadinessProbe, StartupProbe probe
		}
	}
}

func repositoryFile(t *testing.T, path ...string) string {
	t.Helper()
	root, err := testkit.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(append([]string{root}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestManifest starts what kubeadm's manifest starts, flag for flag, and asks what the
// kubelet asks.
func TestManifest(t *testing.T) {
	dir := t.TempDir()
	certificates(t, dir)
	block, err := ports.Take()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(block.Release)
	var numbers [3]int
	for i := range numbers {
		numbers[i] = block.First + i
	}
	text := strings.NewReplacer(node, elsewhere, pki, dir, "/var/lib/etcd", filepath.Join(dir, "data"),
		":2379", fmt.Sprintf(":%d", numbers[0]), ":2380", fmt.Sprintf(":%d", numbers[1]), ":2381", fmt.Sprintf(":%d", numbers[2]),
		"port: 2381", fmt.Sprintf("port: %d", numbers[2])).Replace(repositoryFile(t, "deploy", "etcd.yaml"))
	var p pod
	if err := yaml.Unmarshal([]byte(text), &p); err != nil {
		t.Fatal(err)
	}
	c := p.Spec.Containers[0]
	server := exec.CommandContext(t.Context(), etcd.Path(t), c.Command[1:]...)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	server.Stderr = log
	ended, err := testkit.Start(server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		<-ended
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("%s", text)
		}
	})
	for what, p := range map[string]probe{"startup": c.StartupProbe, "readiness": c.ReadinessProbe, "liveness": c.LivenessProbe} {
		if err := p.answered(t.Context()); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	for _, host := range []string{"127.0.0.1", elsewhere} {
		line := exec.CommandContext(t.Context(), etcdctl.Path(t), "--endpoints", fmt.Sprintf("https://%s:%d", host, numbers[0]),
			"--cacert", filepath.Join(dir, "ca.crt"), "--cert", filepath.Join(dir, "server.crt"), "--key", filepath.Join(dir, "server.key"),
			"put", "/registry/k", "v")
		if out, err := line.CombinedOutput(); err != nil || string(out) != "OK\n" {
			t.Errorf("put by %s: %s, %v", host, out, err)
		}
	}
}

// answered waits until the probe succeeds.
func (p probe) answered(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	url := fmt.Sprintf("%s://%s%s", strings.ToLower(p.HTTPGet.Scheme), net.JoinHostPort(p.HTTPGet.Host, fmt.Sprint(p.HTTPGet.Port)), p.HTTPGet.Path)
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		last := get(ctx, url)
		if last == nil {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return last
		}
	}
}

func get(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s %s", url, answer.Status, body)
	}
	return err
}

// certificates writes what kubeadm has in its directory.
func certificates(t *testing.T, dir string) {
	t.Helper()
	authority, err := testkit.NewAuthority(dir, "ca")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"server", "peer"} {
		if _, err := authority.Issue(name, func(c *x509.Certificate) {
			c.IPAddresses = append(c.IPAddresses, net.ParseIP(elsewhere))
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestProcesses: each line of the Procfile is a member of the same cluster.
func TestProcesses(t *testing.T) {
	members := 0
	for line := range strings.Lines(repositoryFile(t, "Procfile")) {
		name, command, ok := strings.Cut(strings.TrimSpace(line), ": bin/etcd ")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		members++
		c, _, err := config.Parse(strings.Fields(command), nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if all, err := c.Bootstrap.InitialMembers(); err != nil || len(all) != 3 || c.Member.Name != name {
			t.Errorf("%s: %v, %v", name, all, err)
		}
	}
	if members != 3 {
		t.Errorf("%d members", members)
	}
}
