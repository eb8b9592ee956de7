package security

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"bowline/internal/testkit"
)

// TestTLSEntry: the line of every course works with a certificate, and with none of
// the wrong ones; both sides say why.
func TestTLSEntry(t *testing.T) {
	r := newTLSRig(t)
	revoked := r.issue(r.ca, "revoked")
	r.revoke(revoked)
	r.start(1, func(i int, flags map[string]string) {
		flags["listen-client-urls"] += "," + strings.Replace(flags["listen-client-urls"], "127.0.0.1", "127.0.0.2", 1)
	})
	r.ready()
	m := r.members[0]
	if out, err := r.ctl("--endpoints=https://"+m.client, "put", "/registry/a", "1", "--cacert", r.ca.File, "--cert", r.client.Cert, "--key", r.client.Key); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, c := range []struct {
		name         string
		pair         testkit.Pair
		cacert, host string
		client       string // what etcdctl says; nothing for who is let in
		server       string // what the server's log says
	}{
		{"the right one", r.client, r.ca.File, "127.0.0.1", "", ""},
		{"none", testkit.Pair{}, r.ca.File, "127.0.0.1", "certificate required", "client didn't provide a certificate"},
		{"another authority's", r.issue(r.other, "stranger"), r.ca.File, "127.0.0.1", "unknown certificate authority", "signed by unknown authority"},
		{"expired", r.issue(r.ca, "old", func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
		}), r.ca.File, "127.0.0.1", "expired certificate", "certificate has expired"},
		{"revoked", revoked, r.ca.File, "127.0.0.1", "bad certificate", fmt.Sprintf("certificate serial %x revoked", revoked.Serial.Bytes())},
		{"the server is not who it should be", r.client, r.ca.File, "127.0.0.2", "not 127.0.0.2", "bad certificate"},
		{"the server is unknown", r.client, r.other.File, "127.0.0.1", "unknown authority", "bad certificate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := r.in(t)
			endpoint := "https://" + strings.Replace(m.client, "127.0.0.1", c.host, 1)
			args := []string{"get", "/", "--prefix", "--keys-only", "--limit=10", "--cacert", c.cacert}
			if c.pair.Cert != "" {
				args = append(args, "--cert", c.pair.Cert, "--key", c.pair.Key)
			}
			out, err := r.ctl(append(args, "--endpoints="+endpoint, "--command-timeout=1s")...)
			if c.client == "" {
				if err != nil || out != "/registry/a\n\n" {
					t.Errorf("%q, %v", out, err)
				}
				return
			}
			if err == nil || !strings.Contains(out, c.client) {
				t.Errorf("etcdctl says %q, not %q", out, c.client)
			}
			r.waitLog(m, "rejected connection on client endpoint", c.server)
		})
	}
}

// TestTLSEveryListener: no port forgets a rule. In etcd a second listener once did
// not look at the list of revoked certificates.
func TestTLSEveryListener(t *testing.T) {
	for name, split := range map[string]bool{"one port for all": false, "a port for HTTP": true} {
		t.Run(name, func(t *testing.T) {
			r := newTLSRig(t)
			revoked, elsewhere := r.issue(r.ca, "revoked"), r.issue(r.ca, "elsewhere", func(c *x509.Certificate) {
				c.IPAddresses, c.DNSNames = nil, []string{"elsewhere"}
			})
			r.revoke(revoked)
			r.start(1, func(i int, flags map[string]string) {
				flags["client-cert-allowed-hostname"], flags["peer-cert-allowed-cn"] = "localhost", "server,client"
				if split {
					flags["listen-client-http-urls"] = "https://" + r.members[i].http
				}
			})
			r.ready()
			m := r.members[0]
			places := []string{"https://" + m.metrics + "/health", "https://" + m.peer + "/version", "https://" + m.client + "/health"}
			if split {
				places[2] = "https://" + m.http + "/health"
			}
			for _, url := range places {
				for who, p := range map[string]testkit.Pair{"right": r.client, "none": {}, "revoked": revoked, "wrong name": elsewhere, "stranger": r.issue(r.other, "stranger")} {
					for _, h2 := range []bool{false, true} {
						if err := r.fetch(url, r.config(p), h2); (err == nil) != (who == "right") {
							t.Errorf("%s, %s, HTTP/2 %v: %v", url, who, h2, err)
						}
					}
				}
			}
			for who, p := range map[string]testkit.Pair{"none": {}, "revoked": revoked, "wrong name": elsewhere} {
				if out, err := r.ctl("--endpoints="+m.client, "--command-timeout=1s", "get", "a", "--cacert", r.ca.File, "--cert="+p.Cert, "--key="+p.Key); err == nil {
					t.Errorf("%s: %s", who, out)
				}
			}
		})
	}
}

// fetch asks for a page.
func (r *tlsRig) fetch(url string, c *tls.Config, h2 bool) error {
	transport := &http.Transport{TLSClientConfig: c, ForceAttemptHTTP2: h2}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.ReadAll(resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}

// TestTLSWrongSettings: a member does not start without what it needs.
func TestTLSWrongSettings(t *testing.T) {
	r := newTLSRig(t)
	for _, c := range []struct{ flag, value, want string }{
		{"cert-file", r.dir + "/none.crt", "no such file"},
		{"key-file", r.client.Key, "private key does not match public key"},
		{"client-crl-file", r.dir + "/none.crl", "no such file"},
		{"peer-trusted-ca-file", r.dir + "/none.crt", "no such file"},
		{"cipher-suites", "TLS_NONE", `unexpected TLS cipher suite \"TLS_NONE\"`},
		{"tls-min-version", "TLS1.1", `unexpected TLS version \"TLS1.1\"`},
	} {
		t.Run(c.flag, func(t *testing.T) {
			each := &tlsRig{T: t, dir: t.TempDir(), ca: r.ca, server: r.server, client: r.client, crl: r.crl}
			each.start(1, func(_ int, flags map[string]string) { flags[c.flag] = c.value })
			m := each.members[0]
			select {
			case <-m.ended:
			case <-time.After(tlsPatience):
				t.Fatal("it has started")
			}
			if text := each.logOf(m); !strings.Contains(text, c.want) {
				t.Errorf("it says:\n%s", text)
			}
			if code := m.cmd.ProcessState.ExitCode(); code != 1 {
				t.Errorf("exit code %d", code)
			}
			if _, err := exec.Command("ls", each.dir+"/m0/member").Output(); err == nil {
				t.Error("it has left a data directory")
			}
		})
	}
}
