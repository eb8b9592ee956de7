package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestHTTPS: https URLs take Config.TLS, and HTTP/1.1 even from a server that offers more.
func TestHTTPS(t *testing.T) {
	protocols := make(chan string, 1)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { protocols <- r.Proto }))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	for name, c := range map[string]struct {
		config *tls.Config
		ok     bool
	}{"trusted": {&tls.Config{RootCAs: roots}, true}, "not trusted": {nil, false}} {
		t.Run(name, func(t *testing.T) {
			tr, err := New(Config{ID: 1, ClusterID: testCluster, Version: "3.7.1", MinClusterVersion: "3.0.0", Raft: newFakeRaft(), TLS: c.config})
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
