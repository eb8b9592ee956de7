package proxy

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"bowline/internal/testkit"
)

// TestGateway: clients reach the members that are there, through one that fails and comes back.
func TestGateway(t *testing.T) {
	cluster, err := testkit.StartCluster(server.Path(t), t.TempDir(), 3, &ports)
	must(t, err)
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	var endpoints []string
	for _, m := range cluster.Members {
		endpoints = append(endpoints, "http://"+m.Addr)
	}
	g := startOutpost(t, "gateway", strings.Join(endpoints, ","), "--retry-delay", "100ms")
	ctx, c := limited(t), client(t, g.addr)
	w := c.Watch(ctx, "k", clientv3.WithCreatedNotify())
	next(t, ctx, w)
	put(t, ctx, c, "k", "1")
	if r := next(t, ctx, w); len(r.Events) != 1 {
		t.Errorf("seen is %+v", r)
	}
	down := cluster.Members[0]
	must(t, down.Crash())
	for range 6 { // each client has a connection of its own: two would have gone to the member that is down
		get(t, ctx, g.addr)
	}
	waitFor(t, "the member to be left out", func() bool { return g.said("deactivated endpoint") })
	must(t, down.Restart())
	waitFor(t, "the member to be back", func() bool { return g.said(`"msg":"activated"`) })
	get(t, ctx, g.addr)
}

func get(t *testing.T, ctx context.Context, addr string) {
	t.Helper()
	r, err := client(t, addr).Get(ctx, "k")
	must(t, err)
	if len(r.Kvs) != 1 {
		t.Errorf("read %v", r.Kvs)
	}
}

// startSecure starts a member with TLS towards clients.
func startSecure(t *testing.T, block *testkit.Block, url string, ca *testkit.Authority, pair testkit.Pair) {
	t.Helper()
	dir, peer := t.TempDir(), "http://"+block.Addr(1)
	log, err := os.Create(filepath.Join(dir, "log"))
	must(t, err)
	cmd := exec.Command(server.Path(t), "--data-dir", filepath.Join(dir, "data"), "--listen-client-urls", url, "--advertise-client-urls", url,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer,
		"--cert-file", pair.Cert, "--key-file", pair.Key, "--trusted-ca-file", ca.File, "--client-cert-auth")
	cmd.Env, cmd.Stdout, cmd.Stderr = testkit.CleanEnv(), log, log
	ended, err := testkit.Start(cmd)
	must(t, err)
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		log.Close()
	})
	waitFor(t, "the member to be ready", func() bool {
		return strings.Contains(string(readFile(t, log.Name())), "successfully notified init daemon")
	})
}
