package compat

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"bowline/embed"
	command "bowline/internal/cli/ctl"
	"bowline/internal/testkit"
)

// guarded is a member with TLS that serves both APIs.
type guarded struct {
	t        *testing.T
	endpoint string
	ca       string
	tls      *tls.Config
	http     *http.Client
}

func newGuarded(t *testing.T) *guarded {
	t.Helper()
	authority, err := testkit.NewAuthority(t.TempDir(), "authority")
	must(t, err)
	pair, err := authority.Issue("member")
	must(t, err)
	c := embed.NewConfig()
	c.Dir, c.ZapLoggerBuilder = t.TempDir(), embed.NewZapLoggerBuilder(zap.NewNop())
	c.ListenPeerUrls = []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	c.ListenClientUrls = []url.URL{{Scheme: "https", Host: "127.0.0.1:0"}}
	c.ClientTLSInfo.CertFile, c.ClientTLSInfo.KeyFile = pair.Cert, pair.Key
	c.Settings = map[string]string{"enable-v2": "true"}
	e, err := embed.StartEtcd(c)
	must(t, err)
	t.Cleanup(e.Close)
	closed(t, limited(t), e.Server.ReadyNotify())
	g := &guarded{t: t, endpoint: "https://" + e.Clients[0].Addr().String(), ca: authority.File}
	pem, err := os.ReadFile(authority.File)
	must(t, err)
	g.tls = &tls.Config{RootCAs: x509.NewCertPool()}
	g.tls.RootCAs.AppendCertsFromPEM(pem)
	g.http = &http.Client{Transport: &http.Transport{TLSClientConfig: g.tls}}
	t.Cleanup(g.http.CloseIdleConnections)
	return g
}

// old makes a request of API v2 as a user, name:password or nobody, and returns the answer.
func (g *guarded) old(user, method, path, body string) string {
	g.t.Helper()
	req, err := http.NewRequestWithContext(limited(g.t), method, g.endpoint+path, strings.NewReader(body))
	must(g.t, err)
	if name, password, ok := strings.Cut(user, ":"); ok {
		req.SetBasicAuth(name, password)
	}
	req.Header.Set("Content-Type", "application/json")
	if strings.HasPrefix(path, "/v2/keys") {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := g.http.Do(req)
	must(g.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(g.t, err)
	return string(b)
}

// wants runs etcdctl, which must end so.
func (g *guarded) wants(code int, text, line string) {
	g.t.Helper()
	var b bytes.Buffer
	env := command.OSEnv()
	env.In, env.Out, env.Err, env.Environ = strings.NewReader(""), &b, &b, nil
	args := append([]string{"--endpoints=" + g.endpoint}, strings.Fields(line)...)
	if got := command.Run(limited(g.t), env, args); got != code || !strings.Contains(b.String(), text) {
		g.t.Errorf("%s ends with %d, want %d, and says %q, want %q", line, got, code, b.String(), text)
	}
}

// TestMigrateWithUsers copies between the APIs over TLS, each with users of its own: what either user may not do ends the
// copy, and leaves nothing behind.
func TestMigrateWithUsers(t *testing.T) {
	g := newGuarded(t)
	for _, r := range []struct{ user, method, path, body string }{
		{"", "PUT", "/v2/keys/app/a", "value=1&ttl=1000"},
		{"", "PUT", "/v2/keys/app/d/b", "value=2"},
		{"", "PUT", "/v2/auth/users/root", `{"user":"root","password":"old"}`},
		{"", "PUT", "/v2/auth/roles/reader", `{"role":"reader","permissions":{"kv":{"read":["/app","/app/*"],"write":[]}}}`},
		{"", "PUT", "/v2/auth/users/reader", `{"user":"reader","password":"r","roles":["reader"]}`},
		{"", "PUT", "/v2/auth/enable", ""},
		{"root:old", "PUT", "/v2/auth/roles/guest", `{"role":"guest","revoke":{"kv":{"read":["/*"],"write":["/*"]}}}`},
	} {
		if answer := g.old(r.user, r.method, r.path, r.body); strings.Contains(answer, `"message"`) {
			t.Fatalf("%s %s: %s", r.method, r.path, answer)
		}
	}
	ctx := limited(t)
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{g.endpoint}, TLS: g.tls, Logger: zap.NewNop()})
	must(t, err)
	defer c.Close()
	for _, do := range []func() error{
		func() error { _, err := c.UserAdd(ctx, "root", "new"); return err },
		func() error { _, err := c.UserGrantRole(ctx, "root", "root"); return err },
		func() error { _, err := c.UserAdd(ctx, "mover", "m"); return err },
		func() error { _, err := c.RoleAdd(ctx, "mover"); return err },
		func() error {
			_, err := c.RoleGrantPermission(ctx, "mover", "/app", clientv3.GetPrefixRangeEnd("/app"), clientv3.PermissionType(clientv3.PermReadWrite))
			return err
		},
		func() error { _, err := c.UserGrantRole(ctx, "mover", "mover"); return err },
		func() error { _, err := c.AuthEnable(ctx); return err },
	} {
		must(t, do())
	}

	const up, down = "migrate v2-to-v3 --prefix /app", "migrate v3-to-v2 --prefix /app --to /back"
	ca, mover := "--cacert="+g.ca+" ", "--cacert="+g.ca+" --user=mover:m "
	g.wants(1, "certificate signed by unknown authority", up)
	g.wants(1, "Insufficient credentials); --v2-user tells who asks", mover+up)
	g.wants(1, "Insufficient credentials)\n", mover+up+" --v2-user=reader:wrong")
	g.wants(1, "user name is empty", ca+up+" --v2-user=reader:r")
	g.wants(1, "permission denied", mover+up+" --v2-user=reader:r --to /elsewhere")
	root, err := clientv3.New(clientv3.Config{Endpoints: []string{g.endpoint}, TLS: g.tls, Username: "root", Password: "new", Logger: zap.NewNop()})
	must(t, err)
	defer root.Close()
	if all, err := root.Leases(ctx); err != nil || len(all.Leases) != 0 {
		t.Errorf("copies that were refused leave %v, %v", all, err)
	}
	g.wants(0, "would copy 2 keys, with 1 leases", mover+up+" --v2-user=reader:r --dry-run")
	g.wants(0, "copied 2 keys, with 1 leases", mover+up+" --v2-user=reader:r")
	g.wants(0, "copied 0 keys, with 0 leases; 2 were there already", mover+up+" --v2-user=reader:r")
	got, err := root.Get(ctx, "", clientv3.WithPrefix())
	must(t, err)
	if len(got.Kvs) != 2 || string(got.Kvs[0].Value) != "1" || got.Kvs[0].Lease == 0 || string(got.Kvs[1].Key) != "/app/d/b" || got.Kvs[1].Lease != 0 {
		t.Errorf("API v3 has %v", got.Kvs)
	}

	g.wants(1, "Insufficient credentials)", mover+down+" --v2-user=reader:r")
	g.wants(1, "user name is empty", ca+down+" --v2-user=root:old")
	g.wants(0, "copied 2 keys, with 1 leases", mover+down+" --v2-user=root:old")
	back := g.old("root:old", "GET", "/v2/keys/back?recursive=true&sorted=true", "")
	for _, want := range []string{`"key":"/back/a","value":"1","expiration"`, `"key":"/back/d/b","value":"2","modifiedIndex"`} {
		if !strings.Contains(back, want) {
			t.Errorf("API v2 has %s", back)
		}
	}
}
