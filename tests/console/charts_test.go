//go:build browser

package console

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestChartsFollowTheLoad draws while somebody reads and writes.
func TestChartsFollowTheLoad(t *testing.T) {
	s := start(t)
	c := dial(t, s, "", "")
	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	load.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			key := fmt.Sprintf("/registry/pods/%d", i%100)
			if _, err := c.Put(ctx, key, "value"); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
			if _, err := c.Get(ctx, key); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	defer load.Wait()
	defer stop()
	watcher := c.Watch(ctx, "/registry/pods/1")
	load.Go(func() {
		for range watcher {
		}
	})
	p := open(t, "http://"+s.Addr)
	p.visit("#/charts")
	for title, label := range map[string]string{
		"Requests": `reads [\d,.]*[1-9][\d,.]*\/s, writes [\d,.]*[1-9]`, "Latency of reads": `p50 [\d.]+ .*p99 [\d.]+`, "Latency of writes": `p50 [\d.]+ .*p99 [\d.]+`,
		"Log syncs (fsync)": `p99 [\d.]+`, "Watchers": `watchers 1,`, "Events sent": `events [\d.]*[1-9]`, "Size": `on disk [1-9]`, "Traffic": `received [1-9].* sent [1-9]`,
	} {
		p.until(title, fmt.Sprintf(`[...document.querySelectorAll('svg[role=img]')].some((x) => x.getAttribute('aria-label').startsWith(%s) &&
			/%s/.test(x.getAttribute('aria-label')) && x.querySelector('path').getAttribute('d').includes('L'))`, quote(title), label))
	}
	p.do(chromedp.EmulateViewport(1280, 800))
	p.shoot("charts")
}
