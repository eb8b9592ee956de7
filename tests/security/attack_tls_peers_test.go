package security

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"bowline/internal/testkit"
)

// TestTLSCluster: three members with mutual TLS agree; who has not the right
// certificate is nobody to them, and says so himself.
func TestTLSCluster(t *testing.T) {
	r := newTLSRig(t)
	const cn = "m"
	named := func(c *x509.Certificate) { c.Subject.CommonName = cn }
	r.start(3, func(i int, flags map[string]string) {
		own := r.issue(r.ca, fmt.Sprint("peer", i), named)
		flags["peer-cert-file"], flags["peer-key-file"], flags["peer-cert-allowed-cn"] = own.Cert, own.Key, cn
	})
	r.ready()
	c := r.connect(r.client, r.members[0].client)
	if _, err := c.Put(t.Context(), "k", "v"); err != nil {
		t.Fatal(err)
	}
	last := r.connect(r.client, r.members[2].client)
	if resp, err := last.Get(t.Context(), "k"); err != nil || len(resp.Kvs) != 1 {
		t.Fatalf("%v, %v", resp, err)
	}
	revoked := r.issue(r.ca, "revoked", named)
	r.revoke(revoked)
	m := r.members[0]
	for _, who := range []struct {
		name, why string
		pair      testkit.Pair
	}{
		{"nobody", "client didn't provide a certificate", testkit.Pair{}},
		{"another authority's", "signed by unknown authority", r.issue(r.other, "stranger", named)},
		{"revoked", "revoked", revoked},
		{"a wrong name", "client certificate authentication failed", r.issue(r.ca, "wrong")},
		{"from elsewhere", "does not match any of DNSNames", r.issue(r.ca, "far", named, func(c *x509.Certificate) {
			c.IPAddresses, c.DNSNames = nil, []string{"elsewhere.invalid"}
		})},
	} {
		t.Run(who.name, func(t *testing.T) {
			r := r.in(t)
			for _, path := range []string{"/version", "/members", "/raft/probing"} {
				if err := r.fetch("https://"+m.peer+path, r.config(who.pair), false); err == nil {
					t.Errorf("%s was answered", path)
				}
			}
			r.waitLog(m, "rejected connection on peer endpoint", who.why)
		})
	}
	if err := r.fetch("https://"+m.peer+"/version", r.config(r.issue(r.ca, "right", named)), false); err != nil {
		t.Errorf("a right one: %v", err)
	}
}

// TestTLSPeerPaths: tricks in a path reach nothing but what is served to members.
func TestTLSPeerPaths(t *testing.T) {
	r := newTLSRig(t)
	r.start(1, nil)
	r.ready()
	m := r.members[0]
	transport := &http.Transport{TLSClientConfig: r.config(r.client)}
	defer transport.CloseIdleConnections()
	for _, path := range []string{
		"/metrics", "/health", "/debug/pprof/", "/debug/vars", "/v3/kv/range", "/v2/keys/", "/raft/../metrics", "/raft/%2e%2e/metrics",
		"//metrics", "/raft/stream/message/../../../debug/vars", "/raft/stream/message/..%2f..%2fmembers", "/members/../health",
		"/raft/stream/other/1", "/raft/stream/message/zz", "/raft/stream/message/", "/members/", "/etc/passwd", "/" + strings.Repeat("a/", 5000),
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+m.peer, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.URL.Opaque = path // as it is
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Errorf("%.60s: %v", path, err)
			continue
		}
		body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		resp.Body.Close()
		if resp.StatusCode < 300 || err != nil {
			t.Errorf("%.60s: %d %.100q, %v", path, resp.StatusCode, body, err)
		}
	}
	r.ready()
}

// endless is a body without end; it counts what was taken of it.
type endless struct{ taken int64 }

func (e *endless) Read(b []byte) (int, error) {
	clear(b)
	e.taken += int64(len(b))
	return len(b), nil
}

// TestTLSEndlessBody: a member that sends without end is cut off, and costs little.
func TestTLSEndlessBody(t *testing.T) {
	r := newTLSRig(t)
	r.start(1, nil)
	r.ready()
	m := r.members[0]
	before := m.memory(t)
	transport := &http.Transport{TLSClientConfig: r.config(r.client)}
	defer transport.CloseIdleConnections()
	// Without the cluster's ID nothing of a body is wanted, and leases take 64 KiB.
	for _, path := range []string{"/raft", "/raft/snapshot", "/leases", "/leases/internal"} {
		body := new(endless)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+m.peer+path, body)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := transport.RoundTrip(req)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode < 400 {
				t.Errorf("%s: %d", path, resp.StatusCode)
			}
		}
		if ctx.Err() != nil {
			t.Errorf("%s: it was taken for 20 s", path)
		}
		cancel()
	}
	if after := m.memory(t); after > before+64<<20 {
		t.Errorf("the member has grown from %d MiB to %d", before>>20, after>>20)
	}
	r.ready()
}

// TestTLSAutomatic: members that make their own certificates encrypt, and agree.
func TestTLSAutomatic(t *testing.T) {
	r := newTLSRig(t)
	r.start(3, func(_ int, flags map[string]string) {
		for _, name := range []string{"cert-file", "key-file", "trusted-ca-file", "client-crl-file"} {
			delete(flags, name)
			delete(flags, "peer-"+name)
		}
		delete(flags, "peer-crl-file")
		flags["auto-tls"], flags["peer-auto-tls"] = "true", "true"
	})
	for _, m := range r.members {
		r.eventually(m.name, func(context.Context) error {
			out, err := r.ctl("--endpoints=https://"+m.client, "--command-timeout=2s", "--cacert", r.dir+"/"+m.name+"/fixtures/client/cert.pem", "get", "a")
			if err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		})
	}
	conn, err := tls.Dial("tcp", r.members[0].peer, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}
