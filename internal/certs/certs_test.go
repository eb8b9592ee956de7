package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bowline/internal/testkit"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func newAuthority(t *testing.T, dir, name string) *testkit.Authority {
	t.Helper()
	a, err := testkit.NewAuthority(dir, name)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func issue(t *testing.T, a *testkit.Authority, name string, changes ...func(*x509.Certificate)) testkit.Pair {
	t.Helper()
	p, err := a.Issue(name, changes...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func expired(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
}

func hosts(names ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, names }
}

func newSide(t *testing.T, s Settings) *Side {
	t.Helper()
	side, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	return side
}

// echo is a server that sends back what it receives, behind a Listener.
type echo struct {
	addr string
	logs *observer.ObservedLogs
	l    *Listener
}

func serveEcho(t *testing.T, s Settings, cfg ListenerConfig) *echo {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	s.Logger = zap.New(core)
	side := newSide(t, s)
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	before := goleak.IgnoreCurrent()
	cfg.TLS, cfg.Logger, cfg.Rejected = side.Server("h2"), s.Logger, "rejected"
	l := Listen(raw, cfg)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-ended
		goleak.VerifyNone(t, before)
	})
	return &echo{addr: raw.Addr().String(), logs: logs, l: l}
}

// ask makes a round trip, and returns the server's certificate.
func (e *echo) ask(side *Side, host string) (*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	raw, err := net.Dial("tcp", e.addr)
	if err != nil {
		return nil, err
	}
	c, err := side.Handshake(ctx, raw, host)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(c, "x"); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		return nil, err
	}
	return c.(*tls.Conn).ConnectionState().PeerCertificates[0], nil
}

// rejection waits for the server's next word about a rejected connection.
func (e *echo) rejection(t *testing.T) string {
	t.Helper()
	deadline := time.After(5 * time.Second)
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for {
		for _, entry := range e.logs.TakeAll() {
			if entry.Message == "rejected" {
				return fmt.Sprint(entry.ContextMap()["error"])
			}
		}
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatal("the server has logged nothing")
		}
	}
}

// TestWhoIsLetIn: who is refused hears of it, and the server's log says why.
func TestWhoIsLetIn(t *testing.T) {
	dir := t.TempDir()
	ca, other := newAuthority(t, dir, "ca"), newAuthority(t, dir, "other")
	server, good := issue(t, ca, "server"), issue(t, ca, "good")
	revoked := issue(t, ca, "revoked")
	crl := filepath.Join(dir, "revoked.crl")
	if err := ca.Revoke(crl, revoked); err != nil {
		t.Fatal(err)
	}
	base := Settings{CertFile: server.Cert, KeyFile: server.Key, TrustedCAFile: ca.File, CRLFile: crl}
	cns, names, matching := base, base, base
	cns.AllowedCNs = []string{"x", "good"}
	names.AllowedHostnames = []string{"x", "localhost"}
	matching.MatchAddress, matching.Resolver = true, fakeResolver{}
	for _, c := range []struct {
		name           string
		settings       Settings
		pair           testkit.Pair
		client, server string // what each hears; nothing for who is let in
	}{
		{"the right one", base, good, "", ""},
		{"none", base, testkit.Pair{}, "certificate required", "client didn't provide a certificate"},
		{"of another authority", base, issue(t, other, "stranger"), "unknown certificate authority", "signed by unknown authority"},
		{"expired", base, issue(t, ca, "old", expired), "expired certificate", "has expired"},
		{"revoked", base, revoked, "bad certificate", fmt.Sprintf("certificate serial %x revoked", revoked.Serial.Bytes())},
		{"for servers alone", base, issue(t, ca, "noclient", func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}), "bad certificate", "incompatible key usage"},
		{"an allowed name", cns, good, "", ""},
		{"another name", cns, issue(t, ca, "evil"), "bad certificate", "client certificate authentication failed"},
		{"an allowed host", names, good, "", ""},
		{"another host", names, issue(t, ca, "elsewhere", hosts("elsewhere")), "bad certificate", "client certificate authentication failed"},
		{"from its address", matching, good, "", ""},
		{"from another address", matching, issue(t, ca, "moved", hosts("elsewhere")), "bad certificate", `"127.0.0.1" does not match any of DNSNames ["elsewhere"]`},
		{"from a host that it is", matching, issue(t, ca, "known", hosts("*.known.example")), "", ""},
	} {
		for version, v := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
			t.Run(c.name+" "+version, func(t *testing.T) {
				e := serveEcho(t, c.settings, ListenerConfig{})
				side := newSide(t, Settings{CertFile: c.pair.Cert, KeyFile: c.pair.Key, TrustedCAFile: ca.File, MaxVersion: v})
				_, err := e.ask(side, "127.0.0.1")
				if c.client == "" {
					if err != nil {
						t.Fatal(err)
					}
					return
				}
				want := c.client
				if v == tls.VersionTLS12 && c.name == "none" {
					want = "handshake failure" // it has no better word
				}
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("the client hears %v, not %q", err, want)
				}
				if said := e.rejection(t); !strings.Contains(said, c.server) {
					t.Errorf("the server says %q, not %q", said, c.server)
				}
			})
		}
	}
}

// TestServersAreJudged: a client refuses servers by the same rules.
func TestServersAreJudged(t *testing.T) {
	dir := t.TempDir()
	ca, other := newAuthority(t, dir, "ca"), newAuthority(t, dir, "other")
	server := issue(t, ca, "server")
	crl := filepath.Join(dir, "revoked.crl")
	if err := ca.Revoke(crl, server); err != nil {
		t.Fatal(err)
	}
	e := serveEcho(t, Settings{CertFile: server.Cert, KeyFile: server.Key}, ListenerConfig{})
	for _, c := range []struct {
		name     string
		settings Settings
		host     string
		want     string
	}{
		{"right", Settings{TrustedCAFile: ca.File}, "127.0.0.1", ""},
		{"wrong host", Settings{TrustedCAFile: ca.File}, "elsewhere", "not elsewhere"},
		{"another name is expected", Settings{TrustedCAFile: ca.File, ServerName: "localhost"}, "elsewhere", ""},
		{"wrong authority", Settings{TrustedCAFile: other.File}, "127.0.0.1", "unknown authority"},
		{"not verified", Settings{TrustedCAFile: other.File, SkipVerify: true}, "elsewhere", ""},
		{"revoked", Settings{TrustedCAFile: ca.File, CRLFile: crl}, "127.0.0.1", "revoked"},
		{"wrong name", Settings{TrustedCAFile: ca.File, AllowedCNs: []string{"x"}}, "127.0.0.1", "authentication failed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := e.ask(newSide(t, c.settings), c.host)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, not %q", err, c.want)
			}
		})
	}
}

// TestFilesAreReadAgain: what was replaced counts for the next handshake.
func TestFilesAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	ca, other := newAuthority(t, dir, "ca"), newAuthority(t, dir, "other")
	server, client := issue(t, ca, "server"), issue(t, ca, "client")
	stranger := issue(t, other, "stranger")
	trusted, crl := filepath.Join(dir, "trusted.pem"), filepath.Join(dir, "revoked.crl")
	replace(t, trusted, read(t, ca.File))
	if err := ca.Revoke(crl); err != nil {
		t.Fatal(err)
	}
	e := serveEcho(t, Settings{CertFile: server.Cert, KeyFile: server.Key, TrustedCAFile: trusted, CRLFile: crl}, ListenerConfig{})
	side := newSide(t, Settings{CertFile: client.Cert, KeyFile: client.Key, TrustedCAFile: ca.File})
	strangers := newSide(t, Settings{CertFile: stranger.Cert, KeyFile: stranger.Key, TrustedCAFile: ca.File})
	shows := func(what string, p testkit.Pair) {
		t.Helper()
		if shown, err := e.ask(side, "localhost"); err != nil || shown.SerialNumber.Cmp(p.Serial) != 0 {
			t.Fatalf("%s: %v, %v", what, shown, err)
		}
	}
	refused := func(what string, s *Side, why string) {
		t.Helper()
		if _, err := e.ask(s, "localhost"); err == nil {
			t.Fatalf("%s: let in", what)
		}
		if said := e.rejection(t); !strings.Contains(said, why) {
			t.Fatalf("%s: %s", what, said)
		}
	}
	shows("at first", server)
	formerKey := read(t, server.Key)
	renewed := issue(t, ca, "server")
	shows("renewed", renewed)
	newKey := read(t, server.Key)
	replace(t, server.Key, formerKey)
	shows("half renewed", renewed)
	replace(t, server.Key, newKey)
	if err := os.Rename(server.Cert, server.Cert+".away"); err != nil {
		t.Fatal(err)
	}
	shows("removed", renewed)

	refused("a stranger", strangers, "unknown authority")
	replace(t, trusted, append(read(t, ca.File), read(t, other.File)...))
	if _, err := e.ask(strangers, "localhost"); err != nil {
		t.Fatalf("another authority was added: %v", err)
	}
	replace(t, trusted, read(t, ca.File))
	refused("the authority was removed", strangers, "unknown authority")

	if err := ca.Revoke(crl, client); err != nil {
		t.Fatal(err)
	}
	refused("revoked", side, "revoked")
	replace(t, crl, []byte("garbage"))
	refused("unknown whether it is revoked", side, "revoked.crl")
	if err := ca.Revoke(crl); err != nil {
		t.Fatal(err)
	}
	shows("not revoked any more", renewed)
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func replace(t *testing.T, path string, with []byte) {
	t.Helper()
	if err := os.WriteFile(path, with, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestWrongFilesAreToldAtOnce: a start fails with a reason.
func TestWrongFilesAreToldAtOnce(t *testing.T) {
	dir := t.TempDir()
	ca := newAuthority(t, dir, "ca")
	a, b := issue(t, ca, "a"), issue(t, ca, "b")
	garbage := filepath.Join(dir, "garbage")
	replace(t, garbage, []byte("garbage"))
	for _, c := range []struct {
		name     string
		settings Settings
		want     string
	}{
		{"no key", Settings{CertFile: a.Cert}, "KeyFile and CertFile must both be present[key: , cert: " + a.Cert + "]"},
		{"no certificate of clients", Settings{ClientKeyFile: a.Key}, "ClientKeyFile and ClientCertFile must both be present"},
		{"another's key", Settings{CertFile: a.Cert, KeyFile: b.Key}, "private key does not match public key"},
		{"no such file", Settings{CertFile: a.Cert, KeyFile: dir + "/none"}, "no such file"},
		{"no authority", Settings{TrustedCAFile: garbage}, "no certificate of an authority"},
		{"no list", Settings{CRLFile: garbage}, "x509"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := New(c.settings); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, not %q", err, c.want)
			}
		})
	}
}
