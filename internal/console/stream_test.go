package console_test

import (
	"bufio"
	"crypto/tls"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"bowline/internal/config"
	"bowline/internal/member"
	"bowline/internal/testkit"
)

// TestAWatchOverTLSAndHTTP2 follows a watch as a browser does that speaks HTTP/2 with the
// port of gRPC.
func TestAWatchOverTLSAndHTTP2(t *testing.T) {
	_, pair := testkit.NewServerPair(t)
	var secure url.URL
	r := start(t, func(c *member.Config) {
		c.ClientTLS = config.Certificates{CertFile: pair.Cert, KeyFile: pair.Key}
		secure = url.URL{Scheme: "https", Host: freeHost(t)}
		c.ListenClientURLs = append(c.ListenClientURLs, secure)
	})
	r.origin = secure.String()
	r.http.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	if resp, body := r.send("/console/", nil, get); resp.ProtoMajor != 2 || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), "main.js") {
		t.Fatalf("HTTP/%d: %d %s", resp.ProtoMajor, resp.StatusCode, body)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.origin+"/console/api/v3/watch", strings.NewReader(`{"create_request":{"key":"aw=="}}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Bowline-Console", "1")
	resp, err := r.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	if !lines.Scan() || !strings.Contains(lines.Text(), `"created":true`) {
		t.Fatalf("%s %v", lines.Text(), lines.Err())
	}
	r.put("k", "v")
	if !lines.Scan() || !strings.Contains(lines.Text(), `"key":"aw=="`) {
		t.Fatalf("%s %v", lines.Text(), lines.Err())
	}
}

// freeHost is an address that nobody else listens on.
func freeHost(t *testing.T) string {
	t.Helper()
	var ports testkit.Ports
	block, err := ports.Take()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(block.Release)
	return block.Addr(0)
}
