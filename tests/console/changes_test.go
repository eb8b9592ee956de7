//go:build browser

package console

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// logIn fills in the form that is there.
func (p *page) logIn(user, password string) {
	p.t.Helper()
	p.sees("This cluster has users.")
	p.fill("User", user)
	p.fill("Password", password)
	p.press(kb.Enter)
	p.misses("This cluster has users.")
	p.until("who one is", `(document.querySelector('.who') || {}).textContent === `+quote(user))
}

// focused waits until the focus is on a control of a name.
func (p *page) focused(name string) {
	p.t.Helper()
	p.until("the focus on "+name, `document.activeElement.getAttribute('aria-label') === `+quote(name))
}

// changing is a browser, and clients that see what has become of its changes.
type changing struct {
	*page
	root *clientv3.Client
}

// as logs in as a user, at the API.
func (c *changing) as(user, password string) (*clientv3.Client, error) {
	client, err := clientv3.New(clientv3.Config{Endpoints: c.root.Endpoints(), Username: user, Password: password, Context: c.t.Context(), Logger: c.root.GetLogger()})
	if err == nil {
		c.t.Cleanup(func() { client.Close() })
	}
	return client, err
}

// TestUsersAndRolesAreChanged by root, with the keyboard, each step after a question; who is not root is not offered it.
func TestUsersAndRolesAreChanged(t *testing.T) {
	origin, root := secured(t)
	c := &changing{open(t, origin, chromedp.Flag("ignore-certificate-errors", true)), root}
	for _, refusal := range []string{"status of 400", "status of 401", "status of 403"} {
		c.expect("log: Failed to load resource: the server responded with a " + refusal)
	}
	c.offered(t)
	c.users(t)
	c.permissions(t)
	c.granted(t)
	c.deleted(t)
	c.inKorean(t)
}

// offered: nothing to who is not root.
func (c *changing) offered(t *testing.T) {
	t.Helper()
	c.logIn("anna", "pw-anna")
	c.click("Users")
	c.sees("Your roles (anna)")
	if n := eval[int](c.page, `document.querySelectorAll('main button').length`); n != 0 {
		t.Errorf("%d controls are offered to who may not change anything", n)
	}
	c.click("Log out")
	c.logIn("root", "pw-root")
}

// users: one with a password, and one without.
func (c *changing) users(t *testing.T) {
	t.Helper()
	c.click("New user")
	c.fill("User", "bert")
	c.fill("New password", "one")
	c.fill("The same once more", "another")
	c.press(kb.Enter)
	c.sees("The passwords differ.")
	for _, control := range c.nameless() {
		t.Errorf("%s has no name", control)
	}
	c.shoot("new-user")
	c.fill("The same once more", "one")
	c.press(kb.Enter)
	c.misses("The same once more")
	c.sees("bert")
	c.until("it is said", `document.getElementById('live').textContent === 'Changed.'`)

	c.click("New user")
	c.fill("User", "certified")
	c.click("without a password: by certificate alone")
	c.until("no password is asked for", `!document.querySelector('dialog input[type=password]').checkVisibility()`)
	c.click("Add")
	c.sees("certified")
	if _, err := c.as("certified", "x"); err == nil {
		t.Error("a user without a password logs in")
	}
}

// permissions of a new role, of every scope.
func (c *changing) permissions(t *testing.T) {
	t.Helper()
	c.click("New role")
	c.fill("Role", "writer")
	c.press(kb.Enter)
	c.misses("Cancel")
	c.click("Grant a permission writer")
	c.choose("What", "READWRITE")
	c.fill("Key", "/w/")
	for _, control := range c.nameless() {
		t.Errorf("%s has no name", control)
	}
	c.shoot("permission")
	c.press(kb.Enter)
	c.sees("readwrite /w/*")
	c.focused("Grant a permission writer")
	for _, more := range []struct{ scope, key, end, shown string }{
		{"key", `/one\x00`, "", `read /one\x00`}, {"range", "a", "c", "read a … c"}, {"range", "x", "", "read x …"}, {"all", "", "", "read all keys"},
	} {
		c.click("Grant a permission writer")
		c.choose("Which keys", more.scope)
		if more.key != "" {
			c.fill("Key", more.key)
		}
		if more.end != "" {
			c.fill("Up to, but without", more.end)
		}
		c.click("Grant")
		c.sees(more.shown)
	}
	c.click("Revoke read all keys (writer)")
	c.sees("Revoke this permission?")
	c.click("Revoke")
	c.misses("read all keys")
	held, err := c.root.RoleGet(t.Context(), "writer")
	if err != nil {
		t.Fatal(err)
	}
	var got [][2]string
	for _, perm := range held.Perm {
		got = append(got, [2]string{string(perm.Key), string(perm.RangeEnd)})
	}
	want := [][2]string{{"/one\x00", ""}, {"/w/", "/w0"}, {"a", "c"}, {"x", "\x00"}}
	if len(got) != len(want) {
		t.Fatalf("the role may %q", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("the role may %q, want %q", got[i], want[i])
		}
	}
}

// granted: a role, and another password, which hold at once.
func (c *changing) granted(t *testing.T) {
	t.Helper()
	bert, err := c.as("bert", "one")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bert.Put(t.Context(), "/w/x", "y"); err == nil {
		t.Error("who has no role may write")
	}
	c.click("Grant a role bert")
	c.choose("Role", "writer")
	c.click("Grant")
	c.until("the role", `[...document.querySelectorAll('main button')].some((b) => b.getAttribute('aria-label') === 'Revoke writer (bert)')`)
	if _, err := bert.Put(t.Context(), "/w/x", "y"); err != nil {
		t.Error("who has the role:", err)
	}
	c.shoot("access")
	c.click("Change password bert")
	c.fill("New password", "two")
	c.fill("The same once more", "two")
	c.press(kb.Enter)
	c.misses("The same once more")
	c.focused("Change password bert")
	if _, err := c.as("bert", "one"); err == nil {
		t.Error("the former password is good")
	}
	if _, err := c.as("bert", "two"); err != nil {
		t.Error("the new password:", err)
	}
}

// deleted: after a question, what is not what access rests on.
func (c *changing) deleted(t *testing.T) {
	t.Helper()
	c.click("Delete writer")
	c.sees("Users who lose it: bert")
	c.press(kb.Escape)
	c.misses("Users who lose it")
	if _, err := c.root.RoleGet(t.Context(), "writer"); err != nil {
		t.Error("a question that was not answered deletes:", err)
	}
	c.click("Revoke writer (bert)")
	c.click("Revoke")
	c.until("the role is taken", `![...document.querySelectorAll('main button')].some((b) => b.getAttribute('aria-label') === 'Revoke writer (bert)')`)
	c.click("Delete writer")
	c.click("Delete")
	c.misses("writer")
	c.click("Delete bert")
	c.click("Delete")
	c.misses("bert")
	if users, err := c.root.UserList(t.Context()); err != nil || len(users.Users) != 3 {
		t.Errorf("there are %v, %v", users, err)
	}
	c.click("Delete root")
	c.click("Delete")
	c.sees("invalid auth management")
	c.click("Cancel")
}

// inKorean, on a phone.
func (c *changing) inKorean(t *testing.T) {
	t.Helper()
	c.do(chromedp.EmulateViewport(360, 800))
	c.click("한국어")
	c.click("새 역할")
	c.sees("추가")
	c.shoot("korean")
	if wide := eval[int](c.page, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); wide > 0 {
		t.Errorf("it is %d pixels too wide", wide)
	}
}
