package compat

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	command "bowline/internal/cli/ctl"
	"bowline/internal/testkit"
)

// etcdctl runs a command line of API v3.
func etcdctl(t *testing.T, s *testkit.Server, args ...string) (code int, out string) {
	t.Helper()
	var b bytes.Buffer
	env := command.OSEnv()
	env.In, env.Out, env.Err, env.Environ = strings.NewReader(""), &b, &b, nil
	code = command.Run(limited(t), env, append([]string{"--endpoints", s.Addr}, args...))
	return code, b.String()
}

// wants runs a command line, which must end so.
func wants(t *testing.T, s *testkit.Server, code int, text string, args ...string) {
	t.Helper()
	if got, out := etcdctl(t, s, args...); got != code || !strings.Contains(out, text) {
		t.Errorf("%q ends with %d, want %d, and says %q, want %q", args, got, code, out, text)
	}
}

type oldNode struct {
	Key, Value string
	Dir        bool
	Expiration string
	TTL        int64
	Nodes      []*oldNode
}

// oldRequest makes a request of API v2.
func oldRequest(t *testing.T, s *testkit.Server, method, key string, form url.Values) *oldNode {
	t.Helper()
	address := "http://" + s.Addr + "/v2/keys" + (&url.URL{Path: key}).EscapedPath()
	var body io.Reader
	if method == http.MethodPut || method == http.MethodPost {
		body = strings.NewReader(form.Encode())
	} else {
		address += "?" + form.Encode()
	}
	req, err := http.NewRequestWithContext(limited(t), method, address, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var event struct{ Node *oldNode }
	b, err := io.ReadAll(resp.Body)
	if err != nil || json.Unmarshal(b, &event) != nil || event.Node == nil {
		t.Fatalf("%s %s: %s %v", method, key, b, err)
	}
	return event.Node
}

// oldFiles are the files of a tree: the value, and whether it expires.
func oldFiles(t *testing.T, s *testkit.Server, key string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	var walk func(n *oldNode)
	walk = func(n *oldNode) {
		if !n.Dir {
			files[n.Key] = fmt.Sprintf("%q %v", n.Value, n.Expiration != "")
		}
		for _, child := range n.Nodes {
			walk(child)
		}
	}
	walk(oldRequest(t, s, http.MethodGet, key, url.Values{"recursive": {"true"}}))
	return files
}

// newPairs are the keys of API v3: the value, and whether there is a lease.
func newPairs(t *testing.T, c *clientv3.Client, ctx context.Context, prefix string) map[string]string {
	t.Helper()
	resp, err := c.Get(ctx, prefix, clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	pairs := make(map[string]string)
	for _, kv := range resp.Kvs {
		pairs[string(kv.Key)] = fmt.Sprintf("%q %v", kv.Value, kv.Lease != 0)
	}
	return pairs
}

// TestMigrateThereAndBack copies a random tree of API v2 into API v3 and back.
func TestMigrateThereAndBack(t *testing.T) {
	s := startServer(t, "--enable-v2")
	c, ctx := newClient(t, s), limited(t)
	random := rand.New(rand.NewPCG(4, 4))
	for i := range 400 {
		key := "/app"
		for range 1 + random.IntN(3) {
			key += fmt.Sprintf("/d%d", random.IntN(5))
		}
		form := url.Values{"value": {fmt.Sprint("v\n& =é", i)[random.IntN(2):]}}
		if random.IntN(3) == 0 {
			form.Set("ttl", fmt.Sprint(1000+random.IntN(20)))
		}
		oldRequest(t, s, http.MethodPut, fmt.Sprintf("%s/f %d%%", key, i), form)
	}
	oldRequest(t, s, http.MethodPut, "/app/nothing", url.Values{"dir": {"true"}})
	oldRequest(t, s, http.MethodPost, "/app/queue", url.Values{"value": {"job"}})
	oldRequest(t, s, http.MethodPut, "/app/_hidden/h", url.Values{"value": {"secret"}})
	oldRequest(t, s, http.MethodPut, "/app/dying", url.Values{"dir": {"true"}, "ttl": {"5000"}})
	oldRequest(t, s, http.MethodPut, "/app/dying/in", url.Values{"value": {"x"}})
	want := oldFiles(t, s, "/app")
	want["/app/dying/in"] = `"x" true` // with its directory

	wants(t, s, 0, fmt.Sprintf("would copy %d keys", len(want)), "migrate", "v2-to-v3", "--prefix", "/app", "--dry-run")
	if got := newPairs(t, c, ctx, ""); len(got) != 0 {
		t.Fatalf("a dry run has written %v", got)
	}
	wants(t, s, 0, "/app/nothing is an empty directory", "migrate", "v2-to-v3", "--prefix", "/app", "--hidden", "/app/_hidden")
	got := newPairs(t, c, ctx, "/app")
	if got["/app/_hidden/h"] != `"secret" false` {
		t.Errorf("the hidden file is %q", got["/app/_hidden/h"])
	}
	delete(got, "/app/_hidden/h")
	if !maps.Equal(got, want) {
		t.Errorf("API v3 has %v, want %v", got, want)
	}
	if leases, err := c.Leases(ctx); err != nil || len(leases.Leases) > 30 {
		t.Errorf("%d leases, %v", len(leases.Leases), err)
	}

	// Begun again, it finds all there; another value ends it, unless it is to be replaced.
	wants(t, s, 0, fmt.Sprintf("copied 0 keys, with 0 leases; %d were there already", len(want)), "migrate", "v2-to-v3", "--prefix", "/app/")
	changed := slices.Sorted(maps.Keys(want))[7]
	if _, err := c.Put(ctx, changed, "mine"); err != nil {
		t.Fatal(err)
	}
	wants(t, s, 1, "is there already", "migrate", "v2-to-v3", "--prefix", "/app")
	wants(t, s, 0, "1 of them in the place of another value", "migrate", "v2-to-v3", "--prefix", "/app", "--overwrite")

	// And back, to another place.
	wants(t, s, 0, "would copy", "migrate", "v3-to-v2", "--prefix", "/app", "--to", "/back", "--dry-run")
	wants(t, s, 0, "copied", "migrate", "v3-to-v2", "--prefix", "/app", "--to", "/back")
	back := make(map[string]string)
	for key, value := range oldFiles(t, s, "/back") {
		back["/app"+strings.TrimPrefix(key, "/back")] = value
	}
	if !maps.Equal(back, want) {
		t.Errorf("API v2 has %v, want %v", back, want)
	}
	for _, n := range oldRequest(t, s, http.MethodGet, "/back/dying", nil).Nodes {
		if n.TTL < 4900 || n.TTL > 5001 {
			t.Errorf("%s has %d seconds left", n.Key, n.TTL)
		}
	}
	wants(t, s, 0, fmt.Sprintf("; %d were there already", len(want)+1), "migrate", "v3-to-v2", "--prefix", "/app", "--to", "/back")
}

// TestMigrateRefuses what API v2 cannot hold, and names it.
func TestMigrateRefuses(t *testing.T) {
	s := startServer(t, "--enable-v2")
	c, ctx := newClient(t, s), limited(t)
	for key, value := range map[string]string{"/k/text": "v", "/k/bin": "\xff\x00", "/k/\xfe": "v", "/k//double": "v", "/k/up/../x": "v"} {
		if _, err := c.Put(ctx, key, value); err != nil {
			t.Fatal(err)
		}
	}
	wants(t, s, 1, `"/k/bin" cannot be a key of API v2: the value is no UTF-8 text`, "migrate", "v3-to-v2", "--prefix", "/k/b")
	wants(t, s, 1, `cannot be a key of API v2: the key is no UTF-8 text`, "migrate", "v3-to-v2", "--prefix", "/k/\xfe")
	wants(t, s, 1, `cannot be a key of API v2: the key is no path`, "migrate", "v3-to-v2", "--prefix", "/k//")
	wants(t, s, 0, `copied 1 keys, with 0 leases; 4 left out`, "migrate", "v3-to-v2", "--skip-binary")
	if got := oldFiles(t, s, "/"); len(got) != 1 || got["/k/text"] != `"v" false` {
		t.Errorf("copied %v", got)
	}
	if _, err := c.Put(ctx, "/k", "v"); err != nil {
		t.Fatal(err)
	}
	wants(t, s, 1, `"/k" is a directory in API v2`, "migrate", "v3-to-v2", "--prefix", "/k", "--skip-binary", "--overwrite")
	wants(t, s, 1, "Key not found (/none)", "migrate", "v2-to-v3", "--prefix", "/none")
	wants(t, s, 128, "is not below", "migrate", "v2-to-v3", "--prefix", "/a", "--hidden", "/b/_x")
	wants(t, s, 128, "takes no arguments", "migrate", "v2-to-v3", "/a")
	without := startServer(t)
	wants(t, without, 1, "--enable-v2", "migrate", "v2-to-v3")
	wants(t, s, 0, "copied 1 keys", "migrate", "v3-to-v2", "--prefix", "/k/text", "--to", "/else", "-w", "simple")
}
