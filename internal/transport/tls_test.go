package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestHTTPS: https URLs take Config.Handshake, and HTTP/1.1 even from a server that offers more.
func TestHTTPS(t *testing.T) {
	protocols := make(chan string, 1)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { protocols <- r.Proto }))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	trusting := func(ctx context.Context, c net.Conn, host string) (net.Conn, error) {
		secure := tls.Client(c, &tls.Config{RootCAs: roots, ServerName: host})
		return secure, secure.HandshakeContext(ctx)
	}
	for name, c := range map[string]struct {
		handshake func(context.Context, net.Conn, string) (net.Conn, error)
		ok        bool
	}{"trusted": {trusting, true}, "not trusted": {nil, false}} {
		t.Run(name, func(t *testing.T) {
			tr, err := New(Config{ID: 1, ClusterID: testCluster, Version: "3.7.1", MinClusterVersion: "3.0.0", Raft: newFakeRaft(), Handshake: c.handshake})
			if err != nil {
				t.Fatal(err)
			}
			defer tr.Stop()
			mustAdd(t, tr.AddRemote(2, []string{s.URL}))
			resp, err := Destination{tr.peer(2)}.Do(context.Background(), http.MethodGet, "/", nil, nil)
			if (err == nil) != c.ok {
				t.Fatalf("asked: %v", err)
			}
			if err != nil {
				return
			}
			resp.Body.Close()
			if p := <-protocols; p != "HTTP/1.1" {
				t.Errorf("spoke %s", p)
			}
		})
	}
}
