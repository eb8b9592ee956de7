//go:build browser

package console

import (
	"testing"

	"bowline/internal/testkit"

	"github.com/chromedp/chromedp"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// secured starts a member that serves HTTP with TLS on a port of its own, has data, and
// three users: root, a reader of /app/, and one without roles.
func secured(t *testing.T, flags ...string) (origin string, root *clientv3.Client) {
	t.Helper()
	_, pair := testkit.NewServerPair(t)
	block, err := ports.Take()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(block.Release)
	origin = "https://" + block.Addr(0)
	s := start(t, append(flags, "--cert-file", pair.Cert, "--key-file", pair.Key, "--listen-client-http-urls", origin, "--bcrypt-cost", "4")...)
	c := dial(t, s, "", "")
	put(t, c, "/app/a", "readable", "/other/b", "not for all")
	ctx := t.Context()
	for _, step := range []func() error{
		func() error { _, err := c.RoleAdd(ctx, "reader"); return err },
		func() error {
			_, err := c.RoleGrantPermission(ctx, "reader", "/app/", "/app0", clientv3.PermissionType(clientv3.PermRead))
			return err
		},
		func() error { _, err := c.UserAdd(ctx, "root", "pw-root"); return err },
		func() error { _, err := c.UserGrantRole(ctx, "root", "root"); return err },
		func() error { _, err := c.UserAdd(ctx, "anna", "pw-anna"); return err },
		func() error { _, err := c.UserGrantRole(ctx, "anna", "reader"); return err },
		func() error { _, err := c.AuthEnable(ctx); return err },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	return origin, dial(t, s, "root", "pw-root")
}

// TestAReadOnlyUser may see what it may see, and is told what not, over TLS.
func TestAReadOnlyUser(t *testing.T) {
	origin, root := secured(t)
	p := open(t, origin, chromedp.Flag("ignore-certificate-errors", true))
	for _, refusal := range []string{"status of 400", "status of 401", "status of 403"} {
		p.expect("log: Failed to load resource: the server responded with a " + refusal)
	}
	p.sees("This cluster has users.")
	p.click("Cancel")
	p.misses("This cluster has users.")
	p.click("Keys")
	p.sees("user name is empty")
	p.click("Cluster")
	p.click("Log in")
	p.fill("User", "anna")
	p.fill("Password", "wrong")
	p.do(chromedp.Click(chromedp.CSS("dialog button[type=submit]")))
	p.sees("authentication failed")
	p.shoot("login")
	p.fill("Password", "pw-anna")
	p.do(chromedp.Click(chromedp.CSS("dialog button[type=submit]")))
	p.misses("This cluster has users.")
	p.until("who one is", `(document.querySelector('.who') || {}).textContent === 'anna'`)
	p.sees("healthy")

	p.click("Keys")
	p.sees("You may not do this")
	p.sees("You may read:")
	p.shoot("keys-refused")
	p.click("/app/")
	p.click("a")
	p.sees("readable")
	p.click("Edit")
	p.fill("Value", "changed")
	p.click("Compare and go on")
	p.click("Write")
	p.sees("You may not do this: etcdserver: permission denied")
	p.shoot("write-refused")
	p.click("Cancel")
	if r, err := root.Get(t.Context(), "/app/a"); err != nil || string(r.Kvs[0].Value) != "readable" {
		t.Fatalf("it is %v, %v", r, err)
	}
	p.click("History")
	p.sees("This version created the key.")
	p.visit("#/watch?k=/app/&all=1")
	p.sees("Watching")
	put(t, root, "/app/new", "seen by the reader")
	p.sees("seen by the reader")
	p.visit("#/watch?k=/other/&all=1")
	p.sees("permission denied")

	p.click("Users")
	p.sees("Your roles (anna)")
	p.sees("read /app/*")
	p.click("Load")
	p.sees("You may not do this")
	if eval[bool](p, `Boolean(localStorage.getItem('bowline.token') || document.cookie)`) {
		t.Error("the token is kept where other tabs see it")
	}

	p.click("Log out")
	p.sees("This cluster has users.")
	p.fill("User", "root")
	p.fill("Password", "pw-root")
	p.do(chromedp.Click(chromedp.CSS("dialog button[type=submit]")))
	p.misses("This cluster has users.")
	p.visit("#/access")
	p.sees("reader")
	p.visit("#/load")
	p.sees("Prefixes by keys")
}

// TestWithoutTheGateway has the console work where API v3 as JSON is switched off.
func TestWithoutTheGateway(t *testing.T) {
	s := start(t, "--enable-grpc-gateway=false")
	put(t, dial(t, s, "", ""), "/a", "its value")
	p := open(t, "http://"+s.Addr)
	p.visit("#/keys?k=/a")
	p.sees("its value")
}
