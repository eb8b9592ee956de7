package security

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"bowline/internal/testkit"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

var (
	etcdProgram    = &testkit.Program{Name: "etcd", Variable: "BOWLINE_ETCD"}
	etcdctlProgram = &testkit.Program{Name: "etcdctl"}
	tlsPorts       testkit.Ports
)

func TestMain(m *testing.M) { testkit.Main(m, etcdProgram, etcdctlProgram) }

// tlsPatience is how long anything that must happen may take.
const tlsPatience = 30 * time.Second

// tlsRig is an authority, what it has signed, and members that trust it.
type tlsRig struct {
	*testing.T
	dir            string
	ca, other      *testkit.Authority
	server, client testkit.Pair
	crl            string
	members        []*tlsMember
}

// tlsMember is a process whose ports all speak TLS.
type tlsMember struct {
	name                        string
	client, http, peer, metrics string // host:port
	log                         string
	cmd                         *exec.Cmd
	ended                       <-chan struct{}
}

func newTLSRig(t *testing.T) *tlsRig {
	t.Helper()
	r := &tlsRig{T: t, dir: t.TempDir()}
	r.ca, r.other = r.authority("ca"), r.authority("other")
	r.server, r.client = r.issue(r.ca, "server"), r.issue(r.ca, "client")
	r.crl = filepath.Join(r.dir, "revoked.crl")
	r.revoke()
	return r
}

// in is the rig for a subtest.
func (r *tlsRig) in(t *testing.T) *tlsRig {
	sub := *r
	sub.T = t
	return &sub
}

func (r *tlsRig) authority(name string) *testkit.Authority {
	r.Helper()
	a, err := testkit.NewAuthority(r.dir, name)
	r.must(err)
	return a
}

func (r *tlsRig) issue(a *testkit.Authority, name string, changes ...func(*x509.Certificate)) testkit.Pair {
	r.Helper()
	p, err := a.Issue(name, changes...)
	r.must(err)
	return p
}

func (r *tlsRig) revoke(pairs ...testkit.Pair) {
	r.Helper()
	r.must(r.ca.Revoke(r.crl, pairs...))
}

func (r *tlsRig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// start starts so many members of one cluster with mutual TLS everywhere. change may
// change the flags of each.
func (r *tlsRig) start(n int, change func(i int, flags map[string]string)) {
	r.Helper()
	block, err := tlsPorts.Take()
	r.must(err)
	r.Cleanup(block.Release)
	var all []string
	for i := range n {
		m := &tlsMember{name: fmt.Sprintf("m%d", i), client: block.Addr(4 * i), peer: block.Addr(4*i + 1), metrics: block.Addr(4*i + 2), http: block.Addr(4*i + 3)}
		m.log = filepath.Join(r.dir, m.name+".log")
		r.members = append(r.members, m)
		all = append(all, m.name+"=https://"+m.peer)
	}
	for i, m := range r.members {
		flags := map[string]string{
			"name": m.name, "data-dir": filepath.Join(r.dir, m.name),
			"listen-client-urls": "https://" + m.client, "advertise-client-urls": "https://" + m.client,
			"listen-peer-urls": "https://" + m.peer, "initial-advertise-peer-urls": "https://" + m.peer,
			"listen-metrics-urls": "https://" + m.metrics, "initial-cluster": strings.Join(all, ","),
			"cert-file": r.server.Cert, "key-file": r.server.Key, "trusted-ca-file": r.ca.File, "client-crl-file": r.crl,
			"peer-cert-file": r.server.Cert, "peer-key-file": r.server.Key, "peer-trusted-ca-file": r.ca.File, "peer-crl-file": r.crl,
		}
		if change != nil {
			change(i, flags)
		}
		r.launch(m, flags)
	}
}

func (r *tlsRig) launch(m *tlsMember, flags map[string]string) {
	r.Helper()
	log, err := os.Create(m.log)
	r.must(err)
	defer log.Close()
	cmd := exec.Command(etcdProgram.Path(r))
	for name, value := range flags {
		cmd.Args = append(cmd.Args, "--"+name+"="+value)
	}
	cmd.Env, cmd.Stdout, cmd.Stderr = testkit.CleanEnv(), log, log
	m.cmd = cmd
	m.ended, err = testkit.Start(cmd)
	r.must(err)
	r.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGKILL) // it may have ended
		<-m.ended
		if r.Failed() {
			r.Logf("%s:\n%s", m.name, testkit.LastLines(r.logOf(m), 15))
		}
	})
}

func (r *tlsRig) logOf(m *tlsMember) string {
	r.Helper()
	text, err := os.ReadFile(m.log)
	r.must(err)
	return string(text)
}

// waitLog waits until a member's log has a line with all these words.
func (r *tlsRig) waitLog(m *tlsMember, words ...string) {
	r.Helper()
	r.eventually("a line of the log with "+strings.Join(words, ", "), func(context.Context) error {
		for line := range strings.Lines(r.logOf(m)) {
			found := true
			for _, w := range words {
				found = found && strings.Contains(line, w)
			}
			if found {
				return nil
			}
		}
		return fmt.Errorf("there is none")
	})
}

// eventually tries until there is no error.
func (r *tlsRig) eventually(what string, try func(context.Context) error) {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), tlsPatience)
	defer cancel()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		one, done := context.WithTimeout(ctx, 3*time.Second)
		err := try(one)
		done()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			r.Fatalf("%s: %v", what, err)
		case <-poll.C:
		}
	}
}

// config trusts the authority, and shows a certificate if there is one.
func (r *tlsRig) config(p testkit.Pair) *tls.Config {
	r.Helper()
	text, err := os.ReadFile(r.ca.File)
	r.must(err)
	c := &tls.Config{RootCAs: x509.NewCertPool()}
	c.RootCAs.AppendCertsFromPEM(text)
	if p.Cert != "" {
		pair, err := tls.LoadX509KeyPair(p.Cert, p.Key)
		r.must(err)
		// It is shown even to who asks for another authority's.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	return c
}

// connect makes a client that shows a certificate.
func (r *tlsRig) connect(p testkit.Pair, addr string) *clientv3.Client {
	r.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{"https://" + addr}, TLS: r.config(p), Logger: zap.NewNop()})
	r.must(err)
	r.Cleanup(func() { c.Close() })
	return c
}

// ready waits until every member answers a linearizable read.
func (r *tlsRig) ready() {
	r.Helper()
	for _, m := range r.members {
		c := r.connect(r.client, m.client)
		r.eventually(m.name+" answers", func(ctx context.Context) error {
			_, err := c.Get(ctx, "x")
			return err
		})
	}
}

// ctl runs etcdctl and returns what it has said.
func (r *tlsRig) ctl(args ...string) (out string, err error) {
	r.Helper()
	cmd := exec.Command(etcdctlProgram.Path(r), args...)
	cmd.Env = append(testkit.CleanEnv(), "ETCDCTL_API=3")
	b, err := cmd.CombinedOutput()
	return string(b), err
}
