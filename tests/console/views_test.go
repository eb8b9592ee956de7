//go:build browser

package console

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// TestEveryView looks at each at the width of a phone and of a desk, light and dark, in
// both languages: nothing is wider than the screen, and every control has a name.
func TestEveryView(t *testing.T) {
	s := start(t)
	c := dial(t, s, "", "")
	furnish(t, c)
	p := open(t, "http://"+s.Addr)
	views := []struct{ name, at, ready string }{
		{"cluster", "#/cluster", `document.querySelector('tbody tr')`},
		{"charts", "#/charts", `document.querySelectorAll('[role=img] path[d^=M]').length > 8`},
		{"keys", "#/keys", `document.querySelector('[role=treeitem]')`},
		{"pod", "#/keys?p=/registry/&k=/registry/pods/default/web-0", `document.querySelector('.object')`},
		{"secret", "#/keys?p=/registry/&k=/registry/secrets/default/token", `document.querySelector('.object')`},
		{"json", "#/keys?p=/app/&k=/app/config.json", `document.querySelector('[role=tabpanel] pre')`},
		{"watch", "#/watch?k=/app/&all=1", `document.body.innerText.includes('` + "Watching" + `') || document.querySelector('.events')`},
		{"leases", "#/leases", `document.querySelector('tbody tr')`},
		{"access", "#/access", `document.querySelector('tbody tr')`},
		{"load", "#/load", `document.querySelector('tbody tr')`},
	}
	for _, look := range []struct {
		colours, language string
		width             int64
	}{{"light", "en", 1280}, {"dark", "en", 360}, {"dark", "ko", 1280}, {"light", "ko", 360}} {
		t.Run(fmt.Sprintf("%s %s %d", look.colours, look.language, look.width), func(t *testing.T) {
			p.do(chromedp.EmulateViewport(look.width, 800), chromedp.Func(func(_ context.Context, _ *chromedp.Target) error {
				_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
					Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: look.colours}}})
				return err
			}))
			eval[bool](p, fmt.Sprintf("localStorage.setItem('bowline.language', '%s') === undefined", look.language))
			p.do(chromedp.Reload())
			for _, v := range views {
				p.visit(v.at)
				p.until(v.name, v.ready)
				p.shootAs(t, v.name)
				if wide := eval[int](p, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); wide > 0 {
					t.Errorf("%s is %d pixels too wide", v.name, wide)
				}
				for _, control := range p.nameless() {
					t.Errorf("%s: %s has no name", v.name, control)
				}
			}
		})
	}
}

// operable are the roles of what can be operated.
var operable = []string{"button", "link", "combobox", "textbox", "searchbox", "checkbox", "tab", "treeitem", "tree", "tablist", "tabpanel", "table", "dialog", "navigation", "img"}

// nameless lists the controls that a screen reader could not name.
func (p *page) nameless() (all []string) {
	tree, err := chromedp.Call(p.ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	if err != nil {
		p.t.Fatal(err)
	}
	if len(tree.Nodes) < 20 {
		p.t.Fatalf("the tree has only %d nodes", len(tree.Nodes))
	}
	for _, n := range tree.Nodes {
		role := textOf(n.Role)
		if !n.Ignored && slices.Contains(operable, role) && strings.TrimSpace(textOf(n.Name)) == "" {
			all = append(all, role+" "+string(n.NodeID))
		}
	}
	return all
}

func textOf(v *accessibility.Value) (text string) {
	if v == nil || json.Unmarshal(v.Value, &text) != nil {
		return ""
	}
	return text
}

// furnish puts something of everything into a member.
func furnish(t *testing.T, c *clientv3.Client) {
	t.Helper()
	ctx := t.Context()
	put(t, c, "/app/config.json", `{"replicas": 3, "image": "example/web:1.2", "list": [1, 2, 3]}`,
		"/app/motd", "hello\nworld", "/registry/pods/default/web-0", pod("web-0"), "/registry/secrets/default/token", secret("token", "hunter2-hunter2"),
		"/registry/services/specs/default/web", "x", "/registry/leases/kube-system/a-lease-with-quite-a-long-name-as-there-are", "y")
	for i := range 40 {
		put(t, c, fmt.Sprintf("/registry/pods/kube-system/pod-%02d", i), pod("p"))
	}
	l, err := c.Grant(ctx, 3600)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if _, err := c.Put(ctx, fmt.Sprintf("/app/leased/%d", i), "v", clientv3.WithLease(l.ID)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.RoleAdd(ctx, "reader"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.RoleGrantPermission(ctx, "reader", "/app/", "/app0", clientv3.PermissionType(clientv3.PermRead)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.UserAdd(ctx, "anna", "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.UserGrantRole(ctx, "anna", "reader"); err != nil {
		t.Fatal(err)
	}
	for range 400 { // of which some are counted
		if _, err := c.Get(ctx, "/registry/pods/default/web-0"); err != nil {
			t.Fatal(err)
		}
	}
}
