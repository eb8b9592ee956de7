package compat

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// events reads a watch until it has told so many events.
func events(t *testing.T, ctx context.Context, from clientv3.WatchChan, want int) (all []*clientv3.Event) {
	t.Helper()
	for len(all) < want {
		r := receive(t, ctx, from)
		must(t, r.Err())
		all = append(all, r.Events...)
	}
	if len(all) != want {
		t.Fatalf("%d events came, want %d", len(all), want)
	}
	return all
}

// briefly writes events as "type key=value<previous@revision".
func briefly(all []*clientv3.Event) string {
	var lines []string
	for _, e := range all {
		previous := ""
		if e.PrevKv != nil {
			previous = "<" + string(e.PrevKv.Value)
		}
		lines = append(lines, fmt.Sprintf("%s %s=%s%s@%d", e.Type, e.Kv.Key, e.Kv.Value, previous, e.Kv.ModRevision))
	}
	return strings.Join(lines, " ")
}

func TestWatchOptions(t *testing.T) {
	c, ctx := start(t)
	put(t, ctx, c, "a", "1")
	put(t, ctx, c, "a", "2")
	put(t, ctx, c, "b", "3")
	_, err := c.Delete(ctx, "a")
	must(t, err)
	for _, w := range []struct {
		name string
		key  string
		opts []clientv3.OpOption
		want string
	}{
		{"a key from its start", "a", []clientv3.OpOption{clientv3.WithRev(1)}, "PUT a=1@2 PUT a=2@3 DELETE a=@5"},
		{"from a revision", "a", []clientv3.OpOption{clientv3.WithRev(3)}, "PUT a=2@3 DELETE a=@5"},
		{"with previous values", "a", []clientv3.OpOption{clientv3.WithRev(2), clientv3.WithPrevKV()}, "PUT a=1@2 PUT a=2<1@3 DELETE a=<2@5"},
		{"all keys", "", []clientv3.OpOption{clientv3.WithRev(1), clientv3.WithPrefix()}, "PUT a=1@2 PUT a=2@3 PUT b=3@4 DELETE a=@5"},
		{"a range", "a", []clientv3.OpOption{clientv3.WithRev(1), clientv3.WithRange("b")}, "PUT a=1@2 PUT a=2@3 DELETE a=@5"},
		{"no puts", "a", []clientv3.OpOption{clientv3.WithRev(1), clientv3.WithFilterPut()}, "DELETE a=@5"},
		{"no deletes", "", []clientv3.OpOption{clientv3.WithRev(1), clientv3.WithFromKey(), clientv3.WithFilterDelete()}, "PUT a=1@2 PUT a=2@3 PUT b=3@4"},
	} {
		t.Run(w.name, func(t *testing.T) {
			got := briefly(events(t, ctx, c.Watch(ctx, w.key, w.opts...), strings.Count(w.want, "@")))
			if got != w.want {
				t.Errorf("got  %s\nwant %s", got, w.want)
			}
		})
	}
}

func TestWatchTellsProgress(t *testing.T) {
	c, ctx := start(t, "--watch-progress-notify-interval=100ms")
	watch := c.Watch(ctx, "a", clientv3.WithProgressNotify(), clientv3.WithCreatedNotify())
	if r := receive(t, ctx, watch); !r.Created {
		t.Errorf("first comes %+v", r)
	}
	rev := put(t, ctx, c, "b", "not watched")
	for {
		r := receive(t, ctx, watch)
		if !r.IsProgressNotify() {
			t.Fatalf("not progress but %+v", r)
		}
		if r.Header.Revision == rev {
			break
		}
	}
	quiet := c.Watch(ctx, "a")
	put(t, ctx, c, "a", "1")
	events(t, ctx, quiet, 1)
	must(t, c.RequestProgress(ctx))
	if r := receive(t, ctx, quiet); !r.IsProgressNotify() || r.Header.Revision < rev {
		t.Errorf("the progress asked for is %+v", r)
	}
}

// TestWatchFragments reads one revision that is larger than a response may be
// without fragments, together with a history that is larger still.
func TestWatchFragments(t *testing.T) {
	c, ctx := start(t)
	value := strings.Repeat("v", 100<<10)
	const revisions, keys = 5, 14
	for range revisions {
		var ops []clientv3.Op
		for k := range keys {
			ops = append(ops, clientv3.OpPut(fmt.Sprintf("key/%02d", k), value))
		}
		_, err := c.Txn(ctx).Then(ops...).Commit()
		must(t, err)
	}
	watch := c.Watch(ctx, "key/", clientv3.WithPrefix(), clientv3.WithRev(2), clientv3.WithFragment(), clientv3.WithPrevKV())
	for i, e := range events(t, ctx, watch, revisions*keys) {
		if want := fmt.Sprintf("key/%02d", i%keys); string(e.Kv.Key) != want || e.Kv.ModRevision != int64(2+i/keys) {
			t.Fatalf("event %d is of %s at %d", i, e.Kv.Key, e.Kv.ModRevision)
		}
		if (e.PrevKv == nil) != (i < keys) {
			t.Fatalf("event %d: previous %v", i, e.PrevKv)
		}
	}
}

func TestWatchOfCompactedHistoryIsCanceled(t *testing.T) {
	c, ctx := start(t)
	for range 5 {
		put(t, ctx, c, "a", "x")
	}
	_, err := c.Compact(ctx, 4, clientv3.WithCompactPhysical())
	must(t, err)
	watch := c.Watch(ctx, "a", clientv3.WithRev(2))
	r := receive(t, ctx, watch)
	if !r.Canceled || r.CompactRevision != 4 || !errors.Is(r.Err(), rpctypes.ErrCompacted) {
		t.Errorf("the watch says %+v, %v", r, r.Err())
	}
	closed(t, ctx, watch)
	events(t, ctx, c.Watch(ctx, "a", clientv3.WithRev(5)), 2)
}

func TestCanceledWatchLeavesOthersAlone(t *testing.T) {
	c, ctx := start(t)
	short, cancel := context.WithCancel(ctx)
	canceled, stays := c.Watch(short, "a"), c.Watch(ctx, "a", clientv3.WithCreatedNotify())
	receive(t, ctx, stays)
	cancel()
	closed(t, ctx, canceled)
	put(t, ctx, c, "a", "1")
	if got := briefly(events(t, ctx, stays, 1)); got != "PUT a=1@2" {
		t.Error(got)
	}
}

// TestWatchAndLeaseSurviveACrash kills the server under a client that watches and
// keeps a lease alive: every event comes once, and the lease goes on.
func TestWatchAndLeaseSurviveACrash(t *testing.T) {
	s := startServer(t)
	c, ctx := newClient(t, s), limited(t)
	session := newSession(t, c)
	put(t, ctx, c, "held", "x", clientv3.WithLease(session.Lease()))
	watch := c.Watch(ctx, "a", clientv3.WithCreatedNotify())
	receive(t, ctx, watch)
	put(t, ctx, c, "a", "before")
	if got := briefly(events(t, ctx, watch, 1)); got != "PUT a=before@3" {
		t.Error(got)
	}
	must(t, s.Crash())
	must(t, s.Restart())
	other := newClient(t, s)
	put(t, ctx, other, "a", "after")
	put(t, ctx, other, "a", "later")
	if got := briefly(events(t, ctx, watch, 2)); got != "PUT a=after@4 PUT a=later@5" {
		t.Error(got)
	}
	if _, err := other.KeepAliveOnce(ctx, session.Lease()); err != nil {
		t.Error(err)
	}
	if got := get(t, ctx, other, "held"); got != "x" {
		t.Errorf("the leased key is %q", got)
	}
}
