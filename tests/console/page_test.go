//go:build browser

package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bowline/internal/testkit"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

var (
	etcd  = testkit.Program{Name: "etcd", Variable: "BOWLINE_ETCD"}
	ports testkit.Ports
)

func TestMain(m *testing.M) { testkit.Main(m, &etcd) }

// patience is how long the page may take for what it has to do.
const patience = 15 * time.Second

// page is a tab of a browser.
type page struct {
	t      *testing.T
	ctx    context.Context
	origin string
	mu     sync.Mutex // guards both
	errors []string
	// expected are parts of errors that a test has caused.
	expected []string
}

// open starts a browser that shows the console at origin.
func open(t *testing.T, origin string, flags ...chromedp.ExecAllocatorOption) *page {
	t.Helper()
	flags = slices.Concat(chromedp.DefaultExecAllocatorOptions[:], []chromedp.ExecAllocatorOption{
		chromedp.ExecPath("chromium"), chromedp.WindowSize(1280, 900), chromedp.Flag("lang", "en-US"),
	}, flags) // as root it runs without a sandbox by itself
	browser, stop := chromedp.NewExecAllocator(context.Background(), flags...) // it outlives the test's context
	t.Cleanup(stop)
	return tab(t, browser, origin)
}

// another is one more tab of the same browser, with the same storage.
func (p *page) another() *page { return tab(p.t, p.ctx, p.origin) }

func tab(t *testing.T, parent context.Context, origin string) *page {
	t.Helper()
	p := &page{t: t, origin: origin}
	var end context.CancelFunc
	p.ctx, end = chromedp.NewContext(parent, chromedp.WithListener(p.hear))
	t.Cleanup(func() {
		p.check()
		end()
	})
	// The first command's context is the tab's: it has no deadline.
	if _, err := chromedp.Call(p.ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	p.visit("#/cluster")
	return p
}

// hear notes what a page must not do: report errors, or ask other servers.
func (p *page) hear(event any) {
	var wrong string
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		wrong = "exception: " + e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			wrong += " " + e.ExceptionDetails.Exception.Description
		}
	case *runtime.EventConsoleAPICalled:
		text, _ := json.Marshal(e.Args)
		wrong = "console: " + string(text)
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			wrong = fmt.Sprintf("log: %s %s", e.Entry.Text, e.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		if u, err := url.Parse(e.Request.URL); err != nil || u.Scheme+"://"+u.Host != p.origin {
			wrong = "request: " + e.Request.URL
		}
	}
	if wrong != "" {
		p.mu.Lock()
		p.errors = append(p.errors, wrong)
		p.mu.Unlock()
	}
}

// expect allows errors with a text: refusals, which browsers log.
func (p *page) expect(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expected = append(p.expected, text)
}

func (p *page) check() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.errors {
		known := false
		for _, text := range p.expected {
			known = known || strings.Contains(e, text)
		}
		if !known {
			p.t.Errorf("the page has told, or done: %s", e)
		}
	}
}

func (p *page) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatal(err)
	}
}

// visit goes to a view.
func (p *page) visit(view string) {
	p.t.Helper()
	// Where only the view changes, what the last one showed may be there for a moment.
	eval[bool](p, `(document.querySelector('main h1') || document.body).setAttribute('data-former', '') === undefined`)
	if at := p.origin + "/console/" + view; eval[bool](p, "location.href === "+quote(at)) {
		eval[bool](p, "dispatchEvent(new HashChangeEvent('hashchange'))") // a browser does nothing: it is there
	} else {
		p.do(chromedp.Navigate(at))
	}
	p.until("the view", `document.querySelector('main h1:not([data-former])') !== null`)
}

// eval returns what an expression, or a promise, gives.
func eval[T any](p *page, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// until waits for an expression to be true.
func (p *page) until(what, expression string) {
	p.t.Helper()
	ticker := time.NewTicker(30 * time.Millisecond)
	defer ticker.Stop()
	for late := time.After(patience); ; {
		if eval[bool](p, "Boolean("+expression+")") {
			return
		}
		select {
		case <-ticker.C:
		case <-late:
			p.shoot("failure")
			p.t.Fatalf("%s did not come; the page says:\n%s", what, eval[string](p, "document.body.innerText"))
		}
	}
}

// sees waits for a text, and misses for it to go.
func (p *page) sees(text string) {
	p.t.Helper()
	p.until(text, fmt.Sprintf("document.body.innerText.includes(%s)", quote(text)))
}

func (p *page) misses(text string) {
	p.t.Helper()
	p.until("the end of "+text, fmt.Sprintf("!document.body.innerText.includes(%s)", quote(text)))
}

func quote(text string) string {
	b, _ := json.Marshal(text)
	return string(b)
}

// controls is an expression for the visible controls of the topmost dialog, or of the
// page, that carry a name.
const named = `(() => {
	const root = [...document.querySelectorAll('dialog[open]')].pop() || document;
	return [...root.querySelectorAll('button, a, [role=treeitem], input, textarea, select')].filter((e) => e.checkVisibility() &&
		((e.getAttribute('aria-label') || '').trim() === name || e.textContent.trim() === name ||
		 [...(e.labels || [])].some((l) => l.textContent.trim() === name) || (e.querySelector('.key') || {}).textContent === name));
})()`

// mark waits for a control of that name, and returns a selector for it.
func (p *page) mark(name string) chromedp.CSS {
	p.t.Helper()
	const attribute = "data-under-test"
	p.until("a control called "+name, fmt.Sprintf(`((name) => {
		const found = %s[0];
		if (!found) return false;
		document.querySelectorAll('[%s]').forEach((e) => e.removeAttribute('%s'));
		found.setAttribute('%s', '');
		return true;
	})(%s)`, named, attribute, attribute, attribute, quote(name)))
	return chromedp.CSS("[" + attribute + "]")
}

// click clicks on a control, with the mouse. One that is replaced meanwhile, as when a
// view is drawn anew, is looked for again.
func (p *page) click(name string) {
	p.t.Helper()
	for began := time.Now(); ; {
		at := p.mark(name)
		ctx, cancel := context.WithTimeout(p.ctx, time.Second)
		err := chromedp.Do(ctx, chromedp.Click(at))
		cancel()
		if err == nil {
			return
		}
		if time.Since(began) > patience {
			p.t.Fatalf("%s: %v", name, err)
		}
	}
}

// fill replaces what is in a field, with the keyboard.
func (p *page) fill(label, text string) {
	p.t.Helper()
	at := p.mark(label)
	p.do(chromedp.Focus(at))
	eval[bool](p, "document.activeElement.select() === undefined")
	if text == "" {
		p.press(kb.Delete)
		return
	}
	p.do(chromedp.SendKeys(at, text))
}

// choose selects one of a list's values, as a person does.
func (p *page) choose(label, value string) {
	p.t.Helper()
	p.mark(label)
	eval[bool](p, fmt.Sprintf(`(() => {
		const list = document.querySelector('[data-under-test]');
		list.value = %s;
		return list.value === %[1]s && list.dispatchEvent(new Event('change', { bubbles: true }));
	})()`, quote(value)))
}

func (p *page) press(keys ...string) {
	p.t.Helper()
	for _, k := range keys {
		p.do(chromedp.KeyEvent(k))
	}
}

// shoot takes a picture of the whole page if somebody wants it.
func (p *page) shoot(name string) {
	p.t.Helper()
	p.shootAs(p.t, name)
}

// shootAs is shoot in a part of a test.
func (p *page) shootAs(t *testing.T, name string) {
	t.Helper()
	dir := os.Getenv("BOWLINE_SCREENSHOTS")
	if dir == "" {
		return
	}
	picture, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	name = strings.NewReplacer("/", "-", " ", "-").Replace(t.Name() + "-" + name)
	if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o600); err != nil {
		t.Fatal(err)
	}
}
