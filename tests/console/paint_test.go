//go:build browser

package console

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Keys are loaded until there are enough, or this has taken too long.
const (
	enoughKeys  = 1_000_000
	loadAtMost  = 20 * time.Second
	keysInTxn   = 128
	loaders     = 16
	paintAtMost = time.Second
)

// load writes keys like those of Kubernetes, and returns how many.
func load(t *testing.T, c *clientv3.Client) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), loadAtMost)
	defer cancel()
	var next, written atomic.Int64
	var all sync.WaitGroup
	for range loaders {
		all.Go(func() {
			for ctx.Err() == nil {
				from := next.Add(keysInTxn) - keysInTxn
				if from >= enoughKeys {
					return
				}
				ops := make([]clientv3.Op, 0, keysInTxn)
				for i := from; i < min(from+keysInTxn, enoughKeys); i++ {
					ops = append(ops, clientv3.OpPut(fmt.Sprintf("/registry/kind-%02d/namespace-%03d/object-%07d", i%50, i/50%200, i), "a value of some bytes, and not more"))
				}
				if _, err := c.Txn(ctx).Then(ops...).Commit(); err == nil {
					written.Add(int64(len(ops)))
				} else if ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	return int(written.Load())
}

// TestFirstPaintWithManyKeys measures how long one waits for the page, and for keys.
func TestFirstPaintWithManyKeys(t *testing.T) {
	s := start(t)
	began := time.Now()
	n := load(t, dial(t, s, "", ""))
	t.Logf("%d keys were written in %s", n, time.Since(began).Round(time.Millisecond))
	if n < enoughKeys/5 {
		t.Fatalf("only %d keys were written", n)
	}
	p := open(t, "http://"+s.Addr)
	for _, view := range []struct{ at, shown string }{
		{"#/cluster", `document.querySelector('tbody tr')`},
		{"#/keys", `document.querySelectorAll('[role=treeitem]').length > 50`},
		{"#/keys?p=/registry/kind-07/namespace-100/", `document.querySelectorAll('[role=treeitem]').length >= 20`},
	} {
		p.do(chromedp.Navigate("about:blank")) // so that the page is loaded anew
		p.visit(view.at)
		p.until("a mark of time when "+view.at+" is there", `(() => {
			if (!(`+view.shown+`)) return false;
			window.shownAt ||= performance.now();
			return true;
		})()`)
		paint := eval[float64](p, `performance.getEntriesByName('first-contentful-paint')[0].startTime`)
		shown := eval[float64](p, `window.shownAt`)
		t.Logf("%s: first paint after %.0f ms, all of it after %.0f ms", view.at, paint, shown)
		if paint > float64(paintAtMost/time.Millisecond) {
			t.Errorf("%s: first paint after %.0f ms", view.at, paint)
		}
	}
	p.visit("#/keys?p=/registry/kind-07/")
	p.until("the first page", `document.querySelectorAll('[role=treeitem]').length === 101`)
	p.click("More…")
	p.until("the next page", `document.querySelectorAll('[role=treeitem]').length > 101`)
	p.visit("#/keys")
	p.fill("Prefix, or a text to find", "OBJECT-0000000")
	p.click("Find text")
	p.sees("1 found")
	const looked = `Number(/([\d,]+) keys looked at/.exec(document.body.innerText)[1].replaceAll(',', ''))`
	first := eval[int](p, looked)
	if first >= n {
		t.Errorf("one step has looked at all %d keys", first)
	}
	p.click("Look further")
	p.until("the next step", fmt.Sprintf("%s > %d", looked, first))
	p.visit("#/load")
	p.sees("Prefixes by keys")
	p.sees("/registry/kind-0")
	p.shoot("load")
}
