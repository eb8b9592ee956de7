package certs

import (
	"bytes"
	"encoding/pem"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"bowline/internal/testkit"

	"go.uber.org/zap"
	"google.golang.org/grpc/test/bufconn"
)

// TestHalfOpenHandshakesMakeRoom: those who never finish are ended, the oldest first, and do not keep others out.
func TestHalfOpenHandshakesMakeRoom(t *testing.T) {
	dir := t.TempDir()
	ca := newAuthority(t, dir, "ca")
	server := issue(t, ca, "server")
	const most = 16
	e := serveEcho(t, Settings{CertFile: server.Cert, KeyFile: server.Key}, ListenerConfig{Handshakes: most})
	side := newSide(t, Settings{TrustedCAFile: ca.File})
	var open []net.Conn
	for range 10 * most {
		c, err := net.Dial("tcp", e.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		open = append(open, c)
		if len(open)%most == 0 {
			if _, err := e.ask(side, "localhost"); err != nil {
				t.Fatalf("with %d half open: %v", len(open), err)
			}
		}
	}
	e.l.mu.Lock()
	if n := e.l.under.Len(); n > most {
		t.Errorf("%d handshakes are under way", n)
	}
	e.l.mu.Unlock()
	// The first ones have ended long before their deadline.
	for _, c := range open[:8*most] {
		if err := c.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, c); os.IsTimeout(err) {
			t.Fatal("one of the oldest is still there")
		}
	}
	if said := e.rejection(t); said != errCrowded.Error() {
		t.Errorf("the log says %q", said)
	}
}

// TestHandshakesHaveADeadline: from the first byte to the last, however slowly they come.
func TestHandshakesHaveADeadline(t *testing.T) {
	dir := t.TempDir()
	server := issue(t, newAuthority(t, dir, "ca"), "server")
	side := newSide(t, Settings{CertFile: server.Cert, KeyFile: server.Key})
	for name, plain := range map[string]bool{"TLS": false, "TLS or plain": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner := bufconn.Listen(16)
				l := Listen(inner, ListenerConfig{TLS: side.Server("h2"), Plain: plain, Logger: zap.NewNop()})
				defer l.Close()
				client, err := inner.DialContext(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				begun := time.Now()
				// The beginning of a long record, a byte each second.
				record := append([]byte{recordOfHandshake, 3, 1, 0x40, 0}, make([]byte, 100)...)
				for i := range record {
					if _, err := client.Write(record[i : i+1]); err != nil {
						break
					}
					timer := time.NewTimer(time.Second)
					<-timer.C
				}
				if took := time.Since(begun); took < handshakeTimeout || took > handshakeTimeout+2*time.Second {
					t.Errorf("it was ended after %v", took)
				}
			})
		})
	}
}

// TestPlainBesideTLS: where both are spoken the first byte decides.
func TestPlainBesideTLS(t *testing.T) {
	dir := t.TempDir()
	ca := newAuthority(t, dir, "ca")
	server := issue(t, ca, "server")
	e := serveEcho(t, Settings{CertFile: server.Cert, KeyFile: server.Key}, ListenerConfig{Plain: true})
	if _, err := e.ask(newSide(t, Settings{TrustedCAFile: ca.File}), "localhost"); err != nil {
		t.Error(err)
	}
	c, err := net.Dial("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\n"); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 5)
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "GET /" {
		t.Errorf("%q, %v", b, err)
	}
}

// TestRevocationsInPEM: openssl's form works as etcd's does.
func TestRevocationsInPEM(t *testing.T) {
	dir := t.TempDir()
	ca, other := newAuthority(t, dir, "ca"), newAuthority(t, dir, "other")
	a, b := issue(t, ca, "a"), issue(t, other, "b")
	var all bytes.Buffer
	for authority, p := range map[*testkit.Authority]testkit.Pair{ca: a, other: b} {
		path := filepath.Join(dir, "one.crl")
		if err := authority.Revoke(path, p); err != nil {
			t.Fatal(err)
		}
		if err := pem.Encode(&all, &pem.Block{Type: "X509 CRL", Bytes: read(t, path)}); err != nil {
			t.Fatal(err)
		}
	}
	revoked, err := parseRevocations([][]byte{all.Bytes()})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []testkit.Pair{a, b} {
		if !revoked[string(p.Serial.Bytes())] {
			t.Errorf("%x is missing", p.Serial)
		}
	}
}

// TestSelfSigned: made once, used again, made anew when it is of no use any more.
func TestSelfSigned(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "fixtures", "peer")
	cert, key, err := SelfSigned(dir, []string{"localhost", "192.0.2.1"}, 3, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]os.FileMode{cert: 0o644, key: 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
	first := newSide(t, Settings{CertFile: cert, KeyFile: key})
	pair, err := first.server.get()
	if err != nil {
		t.Fatal(err)
	}
	if days := pair.Leaf.NotAfter.Sub(pair.Leaf.NotBefore).Hours() / 24; days < 3*365-1 || days > 3*365+1 {
		t.Errorf("it is valid for %v days", days)
	}
	// Whoever trusts the file trusts the server.
	e := serveEcho(t, Settings{CertFile: cert, KeyFile: key}, ListenerConfig{})
	for _, host := range []string{"localhost", "192.0.2.1"} {
		if _, err := e.ask(newSide(t, Settings{TrustedCAFile: cert}), host); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	before := read(t, cert)
	if _, _, err := SelfSigned(dir, nil, 1, zap.NewNop()); err != nil || !bytes.Equal(before, read(t, cert)) {
		t.Errorf("it was not used again: %v", err)
	}
	old := issue(t, newAuthority(t, t.TempDir(), "ca"), "old", expired)
	replace(t, cert, read(t, old.Cert))
	replace(t, key, read(t, old.Key))
	if _, _, err := SelfSigned(dir, []string{"a"}, 1, zap.NewNop()); err != nil || bytes.Equal(read(t, cert), read(t, old.Cert)) {
		t.Errorf("an expired one was used again: %v", err)
	}
	if _, _, err := SelfSigned(dir, nil, 0, zap.NewNop()); err == nil {
		t.Error("valid for no years")
	}
}
