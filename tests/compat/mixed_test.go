package compat

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"bowline/internal/testkit"
)

// mixed is members of one cluster, under programs of several kinds.
type mixed struct {
	t       *testing.T
	dir     string
	peers   []string // URLs
	clients []string // addresses
	flags   []string // of all members
	ended   map[int]<-chan struct{}
	running map[int]*exec.Cmd
}

// newMixed has members that talk with each other over http or https, in which case they want each other's certificates.
func newMixed(t *testing.T, scheme string, n int) *mixed {
	t.Helper()
	m := &mixed{t: t, dir: t.TempDir(), ended: make(map[int]<-chan struct{}), running: make(map[int]*exec.Cmd)}
	block, err := ports.Take()
	must(t, err)
	t.Cleanup(block.Release)
	for i := range n {
		m.peers, m.clients = append(m.peers, scheme+"://"+block.Addr(2*i)), append(m.clients, block.Addr(2*i+1))
	}
	m.flags = []string{"--snapshot-count=50", "--heartbeat-interval=20", "--election-timeout=300"}
	if scheme == "https" {
		authority, err := testkit.NewAuthority(m.dir, "authority")
		must(t, err)
		pair, err := authority.Issue("peer")
		must(t, err)
		m.flags = append(m.flags, "--peer-client-cert-auth", "--peer-trusted-ca-file="+authority.File, "--peer-cert-file="+pair.Cert, "--peer-key-file="+pair.Key)
	}
	t.Cleanup(func() {
		for i := range m.running {
			m.kill(i)
			if log, err := os.ReadFile(m.log(i)); err == nil && t.Failed() {
				t.Logf("the end of the log of m%d:\n%s", i, testkit.LastLines(string(log), 15))
			}
		}
	})
	return m
}

func (m *mixed) log(i int) string { return filepath.Join(m.dir, fmt.Sprintf("m%d.log", i)) }

// launch starts a member under a program.
func (m *mixed) launch(i int, program string) {
	m.t.Helper()
	var cluster []string
	for j, u := range m.peers {
		cluster = append(cluster, fmt.Sprintf("m%d=%s", j, u))
	}
	log, err := os.OpenFile(m.log(i), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(m.t, err)
	defer log.Close()
	client := "http://" + m.clients[i]
	cmd := exec.Command(program, append([]string{
		fmt.Sprintf("--name=m%d", i), "--data-dir=" + filepath.Join(m.dir, fmt.Sprintf("m%d", i)), "--listen-client-urls=" + client, "--advertise-client-urls=" + client,
		"--listen-peer-urls=" + m.peers[i], "--initial-advertise-peer-urls=" + m.peers[i], "--initial-cluster=" + strings.Join(cluster, ","),
	}, m.flags...)...)
	cmd.Env, cmd.Stdout, cmd.Stderr = testkit.CleanEnv(), log, log
	ended, err := testkit.Start(cmd)
	must(m.t, err)
	m.running[i], m.ended[i] = cmd, ended
}

// kill ends a member by force.
func (m *mixed) kill(i int) {
	_ = m.running[i].Process.Kill() // it may have ended
	<-m.ended[i]
}

// dial is a client of one member.
func (m *mixed) dial(i int) *clientv3.Client {
	m.t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{m.clients[i]}, Logger: zap.NewNop()})
	must(m.t, err)
	m.t.Cleanup(func() { c.Close() })
	return c
}

// agree waits until all members hold the same.
func (m *mixed) agree(ctx context.Context, clients []*clientv3.Client) {
	m.t.Helper()
	first, err := clients[0].Get(ctx, "k")
	must(m.t, err)
	rev := first.Header.Revision
	var hashes []uint32
	for i, c := range clients {
		_, err := c.Get(ctx, "k") // after which the member has applied as much as the first had
		must(m.t, err)
		h, err := (pb.NewMaintenanceClient(c.ActiveConnection())).HashKV(ctx, &pb.HashKVRequest{Revision: rev})
		must(m.t, err)
		if hashes = append(hashes, h.Hash); h.Hash != hashes[0] {
			m.t.Errorf("at revision %d m%d has the hash %x, m0 %x", rev, i, h.Hash, hashes[0])
		}
	}
}

// lead has a member lead.
func (m *mixed) lead(ctx context.Context, clients []*clientv3.Client, i int) {
	m.t.Helper()
	for ctx.Err() == nil {
		want, err := clients[i].Status(ctx, m.clients[i])
		must(m.t, err)
		if want.Leader == want.Header.MemberId {
			return
		}
		for _, c := range clients {
			// It is refused by those who do not lead, and may come to nothing.
			_, _ = c.MoveLeader(ctx, want.Header.MemberId)
		}
	}
	m.t.Fatalf("m%d does not lead", i)
}

// otherProgram is what the other members of mixed clusters run: ours, if no other is named.
func otherProgram(t *testing.T) string {
	t.Helper()
	if other := os.Getenv("BOWLINE_OTHER_ETCD"); other != "" {
		return other
	}
	return server.Path(t)
}

// TestMixedCluster: a member of ours and two of another program are one cluster, whoever leads, with TLS between them and
// without; each follows again that was away for longer than the log lasts; and the others are replaced by ours in place.
func TestMixedCluster(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			m, other := newMixed(t, scheme, 3), otherProgram(t)
			programs := []string{server.Path(t), other, other}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			var clients []*clientv3.Client
			for i, program := range programs {
				m.launch(i, program)
				clients = append(clients, m.dial(i))
			}
			for i, c := range clients {
				putAgain(t, ctx, c, "k", fmt.Sprint("from ", i))
			}
			m.agree(ctx, clients)
			for leader := range 2 {
				m.lead(ctx, clients, leader)
				away := 1 - leader
				m.kill(away)
				for i := range 200 {
					putAgain(t, ctx, clients[leader], fmt.Sprint("key", i), fmt.Sprint(leader))
				}
				m.launch(away, programs[away])
				putAgain(t, ctx, clients[away], "k", "again")
				m.agree(ctx, clients)
			}
			for i := 1; i < 3; i++ {
				m.kill(i)
				m.launch(i, server.Path(t))
				putAgain(t, ctx, clients[i], "k", "ours")
				m.agree(ctx, clients)
			}
		})
	}
}
