package discovery

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"bowline/embed"
	"bowline/internal/testkit"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// TestMain has all that asks for names ask the test's server.
func TestMain(m *testing.M) {
	names, err := testkit.NewNames()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	net.DefaultResolver = names.Resolver()
	if r, err := newRig(names); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	} else {
		rigOf = func() *rig { return r }
		code := m.Run()
		r.close()
		names.Close()
		os.Exit(code)
	}
}

// rigOf is the rig that all tests use.
var rigOf func() *rig

// patience is how long a test may wait altogether: only one that fails does.
const patience = 20 * time.Second

// rig is two members alone, one of which serves TLS, whose names are in DNS.
type rig struct {
	dir           string
	plain, secure *embed.Etcd
	authority     *testkit.Authority
	// nowhere is an address that nobody listens on.
	nowhere string
}

// newRig starts the members, and says in DNS:
//   - plain.test: the one without TLS;
//   - secure.test: the one with TLS, whose certificate is for that domain and for its host, m.secure.test;
//   - both.test: both, and the certificate is not for that domain;
//   - secure.test with the suffix blue: the one with TLS; with green: at nowhere.
func newRig(names *testkit.Names) (*rig, error) {
	r := new(rig)
	var err error
	if r.dir, err = os.MkdirTemp("", "discovery-"); err != nil {
		return nil, err
	}
	if r.authority, err = testkit.NewAuthority(r.dir, "authority"); err != nil {
		return nil, err
	}
	pair, err := r.authority.Issue("member", func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"secure.test", "m.secure.test"}, nil })
	if err != nil {
		return nil, err
	}
	if r.plain, err = startMember(filepath.Join(r.dir, "plain"), "http", func(*embed.Config) {}); err != nil {
		return nil, err
	}
	if r.secure, err = startMember(filepath.Join(r.dir, "secure"), "https", func(c *embed.Config) {
		c.ClientTLSInfo.CertFile, c.ClientTLSInfo.KeyFile = pair.Cert, pair.Key
	}); err != nil {
		return nil, err
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r.nowhere = free.Addr().String()
	free.Close()
	local := [4]byte{127, 0, 0, 1}
	names.Host("m.plain.test", local)
	names.Host("m.secure.test", local)
	names.Host("secure.test", local)
	atPlain, atSecure := record("m.plain.test", r.plain.Clients[0].Addr().String()), record("m.secure.test", r.secure.Clients[0].Addr().String())
	names.Service("_etcd-client._tcp.plain.test", atPlain)
	names.Service("_etcd-client-ssl._tcp.secure.test", atSecure)
	names.Service("_etcd-client-ssl-blue._tcp.secure.test", atSecure)
	names.Service("_etcd-client-ssl-green._tcp.secure.test", record("m.secure.test", r.nowhere))
	names.Service("_etcd-client-ssl._tcp.both.test", atSecure)
	names.Service("_etcd-client._tcp.both.test", atPlain)
	return r, nil
}

// record is that of a host at the port of an address.
func record(host, addr string) net.SRV {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		panic(err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		panic(err)
	}
	return net.SRV{Target: host, Port: uint16(n)}
}

// startMember starts a member that has its own kind under the key "kind".
func startMember(dir, scheme string, change func(*embed.Config)) (*embed.Etcd, error) {
	c := embed.NewConfig()
	c.Dir, c.TickMs, c.ElectionMs = dir, 10, 100
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	c.ListenPeerUrls = []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	c.ListenClientUrls = []url.URL{{Scheme: scheme, Host: "127.0.0.1:0"}}
	change(c)
	e, err := embed.StartEtcd(c)
	if err != nil {
		return nil, err
	}
	select {
	case <-e.Server.ReadyNotify():
	case <-time.After(patience):
		return nil, fmt.Errorf("the member with %s is not ready", scheme)
	}
	inside, err := e.Client()
	if err != nil {
		return nil, err
	}
	defer inside.Close()
	_, err = inside.Put(context.Background(), "kind", scheme)
	return e, err
}

func (r *rig) close() {
	r.plain.Close()
	r.secure.Close()
	os.RemoveAll(r.dir)
}

// trust is what a client of the member with TLS needs.
func (r *rig) trust(t *testing.T) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(r.authority.File)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatal("no certificate")
	}
	return &tls.Config{RootCAs: roots}
}

// kindAt is what a client is told at an address of this machine, which with TLS it calls secure.test.
func kindAt(t *testing.T, addr string, secure *tls.Config) (string, error) {
	t.Helper()
	if secure != nil {
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			t.Fatal(err)
		}
		addr = "https://secure.test:" + port
	}
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{addr}, TLS: secure, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	got, err := c.Get(ctx, "kind")
	if err != nil {
		return "", err
	}
	return string(got.Kvs[0].Value), nil
}

// locked is a buffer that gRPC's log is written to as well.
type locked struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
