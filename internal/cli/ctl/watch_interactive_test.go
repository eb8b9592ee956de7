package ctl

import (
	"context"
	"slices"
	"sync"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// fakeWatcher remembers what it was asked for.
type fakeWatcher struct {
	clientv3.Watcher
	mu    sync.Mutex
	asked []string
}

func (f *fakeWatcher) note(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, what)
}

func (f *fakeWatcher) Watch(ctx context.Context, key string, _ ...clientv3.OpOption) clientv3.WatchChan {
	f.note("watch " + key)
	c := make(chan clientv3.WatchResponse)
	context.AfterFunc(ctx, func() { close(c) })
	return c
}

func (f *fakeWatcher) RequestProgress(context.Context) error { f.note("progress"); return nil }
func (f *fakeWatcher) Close() error                          { return nil }

// TestLinesOfAnInteractiveWatchAreCarriedOutInOrder: a request for progress is about the
// watches before it.
func TestLinesOfAnInteractiveWatchAreCarriedOutInOrder(t *testing.T) {
	for range 20 {
		b, f := newBench(t), new(fakeWatcher)
		dial := b.env.Dial
		b.env.Dial = func(cfg clientv3.Config) (*clientv3.Client, error) {
			c, err := dial(cfg)
			c.Watcher = f
			return c, err
		}
		if code := b.run("watch a\nprogress\nwatch b\nprogress\n", "watch", "-i"); code != 3 {
			t.Fatalf("exit %d: %s", code, b.err.String())
		}
		if want := []string{"watch a", "progress", "watch b", "progress"}; !slices.Equal(f.asked, want) {
			t.Fatalf("asked %q", f.asked)
		}
	}
}
