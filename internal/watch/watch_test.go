package watch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"bowline/internal/mvcc"
)

func one(key string) CreateRequest { return CreateRequest{Key: []byte(key)} }

func span(key, end string) CreateRequest { return CreateRequest{Key: []byte(key), End: []byte(end)} }

func (r CreateRequest) from(rev int64) CreateRequest { r.StartRevision = rev; return r }
func (r CreateRequest) withID(id int64) CreateRequest {
	r.ID = id
	return r
}
func (r CreateRequest) withPrev() CreateRequest { r.PrevKV = true; return r }

func TestCreatedComesBeforeEvents(t *testing.T) {
	w := newWorld(t, Config{})
	w.put("a", "1")
	w.put("a", "2")
	s := w.watch(one("a").from(2), one("a"), one("b"))
	w.put("a", "3")
	w.expect(s,
		"id=0 rev=3 created", "id=1 rev=3 created", "id=2 rev=3 created",
		"id=1 rev=4 put(a=3@4)",
		"id=0 rev=4 put(a=1@2) put(a=2@3) put(a=3@4)",
	)
	w.put("b", "x")
	w.expect(s, "id=2 rev=5 put(b=x@5)")
}

func TestIDs(t *testing.T) {
	w := newWorld(t, Config{})
	s := w.watch(one("a"), one("a").withID(1), one("a").withID(-5), one("a"), one("a").withID(1))
	w.expect(s, "id=0 rev=1 created", "id=1 rev=1 created", "id=-5 rev=1 created", "id=2 rev=1 created",
		`id=-1 rev=1 created canceled reason="mvcc: duplicate watch ID provided on the WatchStream"`)
	must(t, s.Cancel(t.Context(), 1))
	must(t, s.Cancel(t.Context(), 1)) // unknown by now: no answer
	w.create(s, one("b").withID(1))
	w.put("b", "x")
	w.expect(s, "id=1 rev=1 canceled", "id=1 rev=1 created", "id=1 rev=2 put(b=x@2)")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRefusals(t *testing.T) {
	w := newWorld(t, Config{MaxWatchersPerStream: 2, MaxWatchers: 3})
	s := w.watch(span("b", "a"), span("b", "b"), one("a").from(-1), one("a"), one("a"), one("a"))
	w.expect(s,
		`id=-1 rev=1 created canceled reason="mvcc: watcher range is empty"`,
		`id=-1 rev=1 created canceled reason="mvcc: watcher range is empty"`,
		`id=-1 rev=1 created canceled reason="etcdserver: mvcc: required revision has been compacted"`,
		"id=0 rev=1 created", "id=1 rev=1 created",
		`id=-1 rev=1 created canceled reason="etcdserver: too many watches on the stream"`,
	)
	other := w.watch(one("a"), one("a"))
	w.expect(other, "id=0 rev=1 created", `id=-1 rev=1 created canceled reason="etcdserver: too many watches"`)
	must(t, s.Cancel(t.Context(), 0))
	w.create(other, one("a"))
	must(t, other.Refuse(t.Context(), "rpc error: code = PermissionDenied desc = etcdserver: permission denied"))
	w.expect(other, "id=1 rev=1 created",
		`id=-1 rev=1 created canceled reason="rpc error: code = PermissionDenied desc = etcdserver: permission denied"`)
}

func TestRanges(t *testing.T) {
	w := newWorld(t, Config{})
	s := w.watch(span("a", "c"), span("b", "\x00"), one("b"), CreateRequest{}, span("", "\x00"))
	w.drain(s)
	got := map[string]string{}
	for _, key := range []string{"\x00", "a", "b", "bb", "c", "z"} {
		w.put(key, "v")
		for _, m := range w.drain(s) {
			got[key] += fmt.Sprint(m.WatchId)
		}
	}
	want := map[string]string{"\x00": "34", "a": "04", "b": "2014", "bb": "014", "c": "14", "z": "14"}
	for key, ids := range want {
		if sorted(got[key]) != sorted(ids) {
			t.Errorf("%q went to %s, want %s", key, got[key], ids)
		}
	}
}

func sorted(s string) string {
	b := []byte(s)
	for i := range b {
		for j := i; j > 0 && b[j] < b[j-1]; j-- {
			b[j], b[j-1] = b[j-1], b[j]
		}
	}
	return string(b)
}

func TestRevisionTravelsInOneResponseAndWaitingOnesTogether(t *testing.T) {
	w := newWorld(t, Config{})
	s := w.watch(span("a", "z"))
	w.drain(s)
	w.publish(put("a", "1"), put("b", "1"), del("a"))
	w.publish(put("c", "1"))
	w.publish(put("zz", "1")) // nobody's
	w.dispatch()
	w.expect(s, "id=0 rev=3 put(a=1@2) put(b=1@2) del(a@2) put(c=1@3)")
}

func TestHalfDispatchedRevisionIsNotTaken(t *testing.T) {
	w := newWorld(t, Config{})
	s := w.watch(span("a", "z"))
	w.drain(s)
	w.publish(put("a", "1"), put("b", "1"))
	groups, _, _ := w.hub.feed.read(2, make([]group, 0, 1))
	s.mu.Lock()
	s.enqueueLocked(s.watchers[0], &groups[0].events[0], &s.ready)
	s.mu.Unlock()
	w.expect(s)
	s.mu.Lock()
	s.enqueueLocked(s.watchers[0], &groups[0].events[1], &s.ready)
	s.mu.Unlock()
	w.hub.pos.Store(2)
	s.nudge()
	w.expect(s, "id=0 rev=2 put(a=1@2) put(b=1@2)")
}

func TestMergingEndsAtTheSizeLimit(t *testing.T) {
	w := newWorld(t, Config{FragmentBytes: 600})
	s := w.watch(one("a"))
	w.drain(s)
	for range 3 {
		w.publish(put("a", strings.Repeat("x", 200)))
	}
	w.publish(put("a", strings.Repeat("x", 2000)))
	w.dispatch()
	var revisions []int64
	for _, m := range w.drain(s) {
		revisions = append(revisions, m.Header.Revision)
	}
	if fmt.Sprint(revisions) != "[3 4 5]" {
		t.Fatalf("responses end at revisions %v", revisions)
	}
}

func TestFragments(t *testing.T) {
	const limit = 1000
	w := newWorld(t, Config{FragmentBytes: limit})
	whole := span("a", "z")
	split := whole
	split.Fragment = true
	s := w.watch(whole, split)
	w.drain(s)
	var ops []op
	for i := range 20 {
		ops = append(ops, put(fmt.Sprintf("k%02d", i), strings.Repeat("x", 200)))
	}
	ops = append(ops, put("large", strings.Repeat("x", 3000)))
	w.publish(ops...)
	w.dispatch()
	all := w.drain(s)
	if n := len(all[0].Events); n != 21 || all[0].Fragment {
		t.Fatalf("unfragmented response has %d events, fragment=%v", n, all[0].Fragment)
	}
	var keys []string
	for i, m := range all[1:] {
		if m.Fragment != (i < len(all)-2) || m.WatchId != 1 || m.Header.Revision != 2 {
			t.Fatalf("fragment %d is %v", i, m)
		}
		size := 0
		for _, e := range m.Events {
			keys = append(keys, string(e.Kv.Key))
			size += len(e.Kv.Value)
		}
		if len(m.Events) > 1 && size > limit {
			t.Fatalf("fragment %d holds %d bytes", i, size)
		}
	}
	if len(keys) != 21 || keys[0] != "k00" || keys[20] != "large" {
		t.Fatalf("fragments hold %v", keys)
	}
}

func TestPrevKV(t *testing.T) {
	w := newWorld(t, Config{})
	w.put("a", "1")
	var streams []*Stream
	for range 10 {
		streams = append(streams, w.watch(one("a").withPrev(), one("a")))
	}
	w.put("a", "2")
	w.publish(del("a"))
	w.publish(put("a", "3"))
	w.dispatch()
	for _, s := range streams {
		all := w.drain(s)
		var got []string
		for _, m := range all[2:] {
			got = append(got, describe(m))
		}
		want := "id=0 rev=5 put(a=2@3)<-1@2 del(a@4)<-2@3 put(a=3@5)|id=1 rev=5 put(a=2@3) del(a@4) put(a=3@5)"
		if s := strings.Join(got, "|"); s != want && s != swapHalves(want) {
			t.Fatalf("got %s", s)
		}
	}
	if w.history.versions != 2 {
		t.Fatalf("%d previous values were fetched for 20 watchers of 2 events that have one", w.history.versions)
	}
	w.history.compact(5)
	late := w.watch(one("a").from(5).withPrev())
	w.publish(put("b", ""))
	w.expect(late, "id=0 rev=5 created", "id=0 rev=5 put(a=3@5)")
}

func swapHalves(s string) string {
	a, b, _ := strings.Cut(s, "|")
	return b + "|" + a
}

func TestFilters(t *testing.T) {
	w := newWorld(t, Config{})
	noPut, noDelete, neither := one("a"), one("a"), one("a")
	noPut.NoPut, neither.NoPut = true, true
	noDelete.NoDelete, neither.NoDelete = true, true
	s := w.watch(noPut, noDelete, neither)
	w.drain(s)
	w.publish(put("a", "1"))
	w.publish(del("a"))
	w.dispatch()
	w.expect(s, "id=1 rev=2 put(a=1@2)", "id=0 rev=3 del(a@3)")
	w.create(s, noPut.from(2))
	w.expect(s, "id=3 rev=3 created", "id=3 rev=3 del(a@3)")
}

func TestCancelDropsWhatWaits(t *testing.T) {
	w := newWorld(t, Config{FragmentBytes: 300})
	s := w.watch(one("a"))
	w.drain(s)
	for range 5 {
		w.publish(put("a", strings.Repeat("x", 200)))
	}
	w.dispatch()
	if m := w.poll(s); len(m.Events) != 1 {
		t.Fatalf("got %s", describe(m))
	}
	must(t, s.Cancel(t.Context(), 0))
	w.expect(s, "id=0 rev=6 canceled")
	if st := w.hub.Stats(); st.Pending != 0 || st.Watchers != 0 {
		t.Fatalf("stats are %+v", st)
	}
}

func TestReceiverWaitsWhileAnswersAreUnsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		s := w.watch()
		created := 0
		go func() {
			for s.Create(t.Context(), one("a")) == nil {
				created++
			}
		}()
		synctest.Wait()
		if created != maxUnsentAnswers {
			t.Fatalf("%d watches were created without an answer being read", created)
		}
		w.poll(s)
		synctest.Wait()
		if created != maxUnsentAnswers+1 {
			t.Fatalf("after one answer %d watches are created", created)
		}
		s.Close()
	})
}

func TestCloseAndStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		h := NewHub(Config{History: newFakeHistory()})
		ran := make(chan error)
		go func() { ran <- h.Run(ctx) }()
		errs := make(chan error)
		next := func(s *Stream) {
			for {
				if _, err := s.Next(t.Context()); err != nil {
					errs <- err
					return
				}
			}
		}
		a, b := h.NewStream(), h.NewStream()
		go next(a)
		go next(b)
		for range 3000 {
			must(t, a.Create(t.Context(), one("a")))
		}
		a.Close()
		a.Close()
		if err := <-errs; !errors.Is(err, ErrClosed) {
			t.Fatalf("after Close: %v", err)
		}
		if err := a.Create(t.Context(), one("a")); !errors.Is(err, ErrClosed) {
			t.Fatalf("Create after Close: %v", err)
		}
		if st := h.Stats(); st.Watchers != 0 || st.Streams != 1 || len(h.index.exact) != 0 {
			t.Fatalf("stats are %+v", st)
		}
		cancel()
		if err := <-errs; !errors.Is(err, ErrClosed) {
			t.Fatalf("after the hub has stopped: %v", err)
		}
		must(t, <-ran)
		b.Close()
	})
}

func TestPublishOutOfOrderPanics(t *testing.T) {
	w := newWorld(t, Config{})
	w.put("a", "1")
	defer func() {
		if recover() == nil {
			t.Fatal("a revision was published twice")
		}
	}()
	w.hub.Publish(2, []mvcc.Event{})
}
