package security

import (
	"context"
	"crypto/tls"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bowline/internal/member"
	"bowline/internal/testkit"

	"go.etcd.io/etcd/api/v3/authpb"
	"go.uber.org/zap"
)

// pathRow is a place at which the sources serve HTTP, and what comes of asking there.
type pathRow struct {
	// registered is what the sources register, as package: expression.
	registered string
	asks       []ask
}

// ask is a request. Callers whose bit is in who get the status want; the others are
// refused.
type ask struct {
	to, path string // to is the port: client, metrics or peer
	want     int
	who      int
	body     string // what is posted; a GET if it is empty
}

func open(to string, want int, paths ...string) (all []ask) {
	for _, p := range paths {
		all = append(all, ask{to: to, path: p, want: want, who: everybody})
	}
	return all
}

// pathRows has a row for everything that a member serves over HTTP, apart from API v2,
// which has users of its own, and the calls below /v3/, which TestEveryCallAsJSON makes.
func pathRows() []pathRow {
	probes := open("client", 200, "/livez", "/livez/serializable_read", "/readyz", "/readyz/data_corruption", "/readyz/serializable_read",
		"/readyz/linearizable_read", "/readyz/non_learner", "/readyz?verbose")
	question := func(name string, who int, body string) pathRow {
		return pathRow{`console: apiPath + name`, []ask{{"client", "/console/api/" + name, 200, who, body}}}
	}
	posted := func(path string, want int) []ask { return []ask{{"peer", path, want, everybody, "{}"}} }
	const key = `{"key":"aw==","prefix":"aw=="}` // k
	return []pathRow{
		{`httpapi: "/health"`, open("client", 200, "/health", "/health?serializable=true")},
		{`httpapi: "/" + kind`, probes},
		{`httpapi: "/" + kind + "/" + c`, slices.Concat(probes, open("metrics", 200, "/livez", "/readyz", "/health"))},
		{`httpapi: "/version"`, slices.Concat(open("client", 200, "/version"), open("peer", 200, "/version"), open("metrics", 404, "/version"))},
		{`httpapi: "/debug/vars"`, slices.Concat(open("client", 200, "/debug/vars"), open("metrics", 404, "/debug/vars"), open("peer", 404, "/debug/vars"))},
		{`member: "/metrics"`, slices.Concat(open("client", 200, "/metrics"), open("metrics", 200, "/metrics"), open("peer", 404, "/metrics"))},
		// Only where they are asked for: TestProfilesWhereAskedFor.
		{`httpapi: "/debug/pprof/"`, open("client", 404, "/debug/pprof/", "/debug/pprof/heap")},
		{`httpapi: "/debug/pprof/cmdline"`, open("client", 404, "/debug/pprof/cmdline")},
		{`httpapi: "/debug/pprof/profile"`, open("client", 404, "/debug/pprof/profile")},
		{`httpapi: "/debug/pprof/symbol"`, open("client", 404, "/debug/pprof/symbol")},
		{`httpapi: "/debug/pprof/trace"`, open("client", 404, "/debug/pprof/trace")},
		{`httpapi: "/debug/requests"`, open("client", 404, "/debug/requests")},
		{`httpapi: "/debug/events"`, open("client", 404, "/debug/events")},
		{`member: "/debug/log-level"`, open("client", 404, "/debug/log-level")},
		// What a program that embeds a member adds, nothing here.
		{`member: path`, open("client", 404, "/", "/more", "/members", "/leases", "/raft/probing", "/v2/keys")},

		{`httpapi: gatewayPath`, []ask{{"client", "/v3/kv/range", 501, everybody &^ certified, ""}}},
		{`httpapi: gatewayOldPath`, []ask{{"client", "/v3beta/kv/range", 200, readers &^ certified, key}}},
		{`console: Path`, open("client", 200, "/console/", "/console/main.js")},
		{`console: apiPath`, open("client", 404, "/console/api/nothing")},
		{`console: callPath`, []ask{{"client", "/console/api/v3/kv/range", 200, readers &^ certified, key}}},
		question("overview", users&^certified, "{}"),
		question("figures", users&^certified, "{}"),
		question("tree", readers&^certified, key),
		question("search", readers&^certified, key),
		question("history", readers&^certified, key),
		question("leases", readers&^certified, "{}"),
		question("load", admins, "{}"),

		// The peer port is for members, whom TLS with --peer-client-cert-auth tells from others:
		// TestTLSEveryListener, TestTLSCluster.
		{`member: "/"`, open("peer", 404, "/", "/health", "/v3/kv/range", "/console/")},
		{`member: "/raft"`, open("peer", 405, "/raft")},
		{`member: "/raft/"`, open("peer", 404, "/raft/nothing")},
		{`member: transfer.Path`, open("peer", 404, "/bowline/state/nothing")},
		{`member: transfer.ImagePath`, open("peer", 405, "/raft/snapshot")},
		{`transfer: "POST " + path`, slices.Concat(posted("/bowline/state/offer", 412), posted("/bowline/state/chunk", 412), posted("/bowline/state/complete", 412))},
		{`transport: pathMessages`, posted("/raft", 412)},
		{`transport: pathStreams`, open("peer", 412, "/raft/stream/message/1")},
		{`transport: pathProbing`, open("peer", 200, "/raft/probing")},
		{`peers: pathMembers`, open("peer", 200, "/members")},
		{`peers: pathPromote`, posted("/members/promote/1", 404)},
		{`peers: pathHashKV`, open("peer", 400, "/members/hashkv")},
		{`peers: pathTreeHash`, open("peer", 400, "/bowline/v2/hash")},
		{`peers: pathLeases`, posted("/leases", 400)},
		{`peers: pathLeasesDetails`, posted("/leases/internal", 400)},
		{`peers: pathDowngrade`, open("peer", 200, "/downgrade/enabled")},
	}
}

// TestEveryPath asks for what the ports serve over HTTP, as callers of every kind. What
// needs no right tells nothing of keys, values, users or their tokens. A path that is
// registered anywhere and has no row fails the test.
func TestEveryPath(t *testing.T) {
	rows := pathRows()
	known := make(map[string]bool)
	for _, row := range rows {
		known[row.registered] = true
	}
	served := registrations(t)
	for what := range served {
		if !known[what] {
			t.Errorf("%s has no row: say who may ask there", what)
		}
	}
	for what := range known {
		if !served[what] {
			t.Errorf("nothing registers %s", what)
		}
	}
	r := startPaths(t, nil)
	for _, row := range rows {
		for _, a := range row.asks {
			for _, c := range callers {
				status, body := r.ask(a, c.bit, c.name)
				switch allowed := a.who&c.bit != 0; {
				case allowed && status != a.want:
					t.Errorf("%s%s by %q answers %d, want %d: %.100s", a.to, a.path, c.name, status, a.want, body)
				case !allowed && (status < 400 || status >= 500):
					t.Errorf("%s%s by %q answers %d, want a refusal: %.100s", a.to, a.path, c.name, status, body)
				}
				if a.who&nobody == 0 && c.bit != nobody {
					continue
				}
				for _, secret := range []string{"key-secret", "value-secret", "user-secret", "role-secret", r.tokens["root"]} {
					if strings.Contains(string(body), secret) {
						t.Errorf("%s%s tells %q to %q", a.to, a.path, secret, c.name)
					}
				}
			}
		}
	}
}

// TestProfilesWhereAskedFor: they are on the client port with the flag, and nowhere else.
func TestProfilesWhereAskedFor(t *testing.T) {
	level := zap.NewAtomicLevel()
	r := startPaths(t, func(c *member.Config) { c.EnablePprof, c.LogLevel, c.TraceCalls = true, &level, true })
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline", "/debug/pprof/symbol", "/debug/pprof/trace?seconds=0.01",
		"/debug/requests", "/debug/events", "/debug/log-level"} {
		for to, want := range map[string]int{"client": 200, "metrics": 404, "peer": 404} {
			if status, _ := r.ask(ask{to: to, path: path}, nobody, ""); status != want {
				t.Errorf("%s%s answers %d, want %d", to, path, status, want)
			}
		}
	}
}

// pathRig is a member with callers, who ask over HTTP.
type pathRig struct {
	*authRig
	plain, named http.Client // without and with the certificate
}

func startPaths(t *testing.T, change func(*member.Config)) *pathRig {
	t.Helper()
	var ports testkit.Ports
	block, err := ports.Take()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(block.Release)
	r := &pathRig{authRig: startAuth(t, func(c *member.Config) {
		c.JSONGateway, c.Console = true, true
		metrics := c.ListenClientURLs[0]
		metrics.Host = block.Addr(0)
		c.ListenMetricsURLs = append(c.ListenMetricsURLs, metrics)
		if change != nil {
			change(c)
		}
	})}
	r.addRole("role-secret", authpb.Permission_READ, "key-secret", "")
	r.addUser("user-secret", "role-secret")
	r.must(r.put("", "key-secret", "value-secret", 0))
	r.prepareCallers()
	r.plain.Transport = &http.Transport{DisableKeepAlives: true}
	r.named.Transport = &http.Transport{DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{RootCAs: r.ca, Certificates: []tls.Certificate{r.pair}, ServerName: "127.0.0.1"}}
	return r
}

// ask makes a request and returns the answer's status and the beginning of its body.
func (r *pathRig) ask(a ask, as int, user string) (status int, body []byte) {
	r.t.Helper()
	urls := map[string]string{"client": r.cfg.ListenClientURLs[0].String(), "metrics": r.cfg.ListenMetricsURLs[0].String(), "peer": r.cfg.ListenPeerURLs[0].String()}
	client := &r.plain
	if as == certified && a.to == "client" {
		urls["client"], client = r.cfg.ListenClientURLs[1].String(), &r.named
	}
	method, content := http.MethodGet, io.Reader(nil)
	if a.body != "" {
		method, content = http.MethodPost, strings.NewReader(a.body)
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), authPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, urls[a.to]+a.path, content)
	r.must(err)
	req.Header.Set("X-Bowline-Console", "1")
	if token := r.tokens[user]; token != "" {
		req.Header.Set("Authorization", token)
	}
	resp, err := client.Do(req)
	r.must(err)
	body, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	r.must(errors.Join(err, resp.Body.Close()))
	return resp.StatusCode, body
}

// registrations are the places in the member's sources where paths are registered, by
// package and expression.
func registrations(t *testing.T) map[string]bool {
	t.Helper()
	root, err := testkit.Root()
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]bool)
	for _, pkg := range []string{"console", "httpapi", "member", "peers", "transfer", "transport"} {
		files, err := filepath.Glob(filepath.Join(root, "internal", pkg, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s has %d files: %v", pkg, len(files), err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				if f, ok := call.Fun.(*ast.SelectorExpr); ok && len(call.Args) == 2 && (f.Sel.Name == "Handle" || f.Sel.Name == "HandleFunc") {
					found[pkg+": "+types.ExprString(call.Args[0])] = true
				}
				return true
			})
		}
	}
	return found
}
