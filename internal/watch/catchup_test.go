package watch

import (
	"errors"
	"fmt"
	"testing"
)

func TestStartRevisions(t *testing.T) {
	w := newWorld(t, Config{})
	for i := range 8 {
		w.put("a", fmt.Sprint(i)) // revisions 2..9
	}
	w.history.compact(5)
	s := w.watch(one("a").from(4), one("a").from(5), one("a").from(10), one("a").from(12))
	w.expect(s,
		"id=0 rev=9 created", "id=0 rev=0 canceled compact=5",
		"id=1 rev=9 created", "id=2 rev=9 created", "id=3 rev=9 created",
		"id=1 rev=9 put(a=3@5) put(a=4@6) put(a=5@7) put(a=6@8) put(a=7@9)",
	)
	for range 4 {
		w.publish(put("a", "x"))
	}
	w.dispatch()
	w.expect(s,
		"id=1 rev=13 put(a=x@10) put(a=x@11) put(a=x@12) put(a=x@13)",
		"id=2 rev=13 put(a=x@10) put(a=x@11) put(a=x@12) put(a=x@13)",
		"id=3 rev=13 put(a=x@12) put(a=x@13)")
}

// TestCatchingUpStopsAtTheHub has a watch catch up while a revision of its key is
// published but not handed out. Whoever waits for that revision must be woken.
func TestCatchingUpStopsAtTheHub(t *testing.T) {
	w := newWorld(t, Config{})
	w.watch(one("other")) // else there is nobody to hand out to
	w.put("a", "1")
	w.publish(put("a", "2"))
	s := w.watch(one("a").from(2))
	w.expect(s, "id=0 rev=3 created", "id=0 rev=2 put(a=1@2)")
	w.dispatch()
	w.expect(s, "id=0 rev=3 put(a=2@3)")
}

// TestCatchingUpTellsHowFar: what is sent then covers what others wrote since.
func TestCatchingUpTellsHowFar(t *testing.T) {
	w := newWorld(t, Config{})
	w.put("a", "1")
	w.put("b", "1")
	s := w.watch(one("a").from(2))
	w.expect(s, "id=0 rev=3 created", "id=0 rev=3 put(a=1@2)")
	w.put("a", "2")
	w.expect(s, "id=0 rev=4 put(a=2@4)")
}

func TestCatchUpFromHistory(t *testing.T) {
	w := newWorld(t, Config{Window: 1}) // the feed holds one revision
	for i := range 10 {
		w.put("a", fmt.Sprint(i))
		w.put("b", fmt.Sprint(i))
	}
	w.hub.stretches.limits.revisions = 4
	s := w.watch(one("a").from(3))
	w.expect(s, "id=0 rev=21 created",
		"id=0 rev=21 put(a=1@4) put(a=2@6) put(a=3@8) put(a=4@10)",
		"id=0 rev=21 put(a=5@12) put(a=6@14) put(a=7@16) put(a=8@18)",
		"id=0 rev=21 put(a=9@20)",
	)
	w.put("a", "live")
	w.expect(s, "id=0 rev=22 put(a=live@22)")
	if st := w.hub.Stats(); st.Slow != 0 || st.Events != 10 {
		t.Fatalf("stats are %+v", st)
	}
}

func TestStretchesAreShared(t *testing.T) {
	w := newWorld(t, Config{Window: 100_000})
	for i := range 100 {
		w.put("a", fmt.Sprint(i))
	}
	w.hub.Reset()
	w.put("b", "")
	var streams []*Stream
	for i := range 20 {
		streams = append(streams, w.watch(span("a", "b").from(int64(2+i)).withPrev()))
	}
	for i, s := range streams {
		n := 0
		for _, m := range w.drain(s) {
			n += len(m.Events)
		}
		if n != 100-i {
			t.Errorf("stream %d got %d events, want %d", i, n, 100-i)
		}
	}
	if w.history.changes != 1 || w.history.versions != 99 {
		t.Errorf("history was read %d times, %d previous values were fetched", w.history.changes, w.history.versions)
	}
	if kept := len(w.hub.stretches.kept) + int(w.hub.stretches.encoded.bytes.Load()); kept != 0 {
		t.Errorf("%d stretches or bytes are kept though nobody is behind", kept)
	}
}

// TestCompactedWatchKeepsItsID until it is canceled by the client, too.
func TestCompactedWatchKeepsItsID(t *testing.T) {
	w := newWorld(t, Config{})
	for i := range 8 {
		w.put("a", fmt.Sprint(i)) // revisions 2..9
	}
	w.history.compact(5)
	again := one("b").withID(7)
	s := w.watch(one("a").from(4).withID(7))
	w.expect(s, "id=7 rev=9 created", "id=7 rev=0 canceled compact=5")
	w.create(s, again)
	w.expect(s, `id=-1 rev=9 created canceled reason="mvcc: duplicate watch ID provided on the WatchStream"`)
	must(t, s.Cancel(t.Context(), 7))
	must(t, s.Cancel(t.Context(), 7)) // unknown by now: no answer
	w.expect(s, "id=7 rev=9 canceled")
	w.create(s, again)
	w.expect(s, "id=7 rev=9 created")
}

func TestCompactedWhileBehind(t *testing.T) {
	w := newWorld(t, Config{Window: 1})
	s := w.watch(one("a"), one("b"))
	w.drain(s)
	for i := range 2000 {
		w.publish(put("a", fmt.Sprint(i))) // pushed out before it was handed out
	}
	w.dispatch()
	w.history.compact(1500)
	w.expectInAnyOrder(s, "id=0 rev=0 canceled compact=1500", "id=1 rev=0 canceled compact=1500")
	w.put("a", "x")
	w.expect(s)
	if st := w.hub.Stats(); st.Watchers != 0 || st.Slow != 0 {
		t.Fatalf("stats are %+v", st)
	}
}

func TestReaderWhoDoesNotReadCostsABoundedQueue(t *testing.T) {
	w := newWorld(t, Config{Window: 100_000, QueueBytes: 5000})
	slow := w.watch(span("a", "z"), one("a"))
	fast := w.watch(one("a"))
	w.drain(fast)
	for i := range 1000 {
		w.put("a", fmt.Sprint(i))
		if n := len(w.drain(fast)); n != 1 {
			t.Fatalf("the fast reader got %d responses for event %d", n, i)
		}
		if slow.bytes > 5000+100 {
			t.Fatalf("%d bytes wait for the slow reader", slow.bytes)
		}
		if st := w.hub.Stats(); st.FeedBytes > 101_000 { // the newest event is encoded after it is counted
			t.Fatalf("the feed takes %d bytes", st.FeedBytes)
		}
	}
	st := w.hub.Stats()
	if st.Slow != 2 || st.Streams != 2 || st.Watchers != 3 {
		t.Fatalf("stats are %+v", st)
	}
	got := map[int64]int64{0: 1, 1: 1}
	for _, m := range w.drain(slow) {
		for _, e := range m.Events {
			if e.Kv.ModRevision != got[m.WatchId]+1 {
				t.Fatalf("watch %d got revision %d after %d", m.WatchId, e.Kv.ModRevision, got[m.WatchId])
			}
			got[m.WatchId]++
		}
	}
	if got[0] != 1001 || got[1] != 1001 {
		t.Fatalf("the slow reader got up to %v", got)
	}
	if st := w.hub.Stats(); st.Slow != 0 || st.Pending != 0 || st.Events != 3000 {
		t.Fatalf("stats are %+v", st)
	}
}

func TestReferencesGoWithTheFeed(t *testing.T) {
	w := newWorld(t, Config{Window: 10_000})
	s := w.watch(one("a"))
	w.drain(s)
	for i := range 200 {
		w.put("a", fmt.Sprint(i))
	}
	if st := w.hub.Stats(); st.Pending > 0 || st.Slow != 1 {
		t.Fatalf("a watch that the feed has left has references: %+v", st)
	}
	if got := w.poll(s); len(got.Events) == 0 || got.Events[0].Kv.ModRevision != 2 {
		t.Fatalf("caught up with %s", describe(got))
	}
}

func TestHugeRevision(t *testing.T) {
	w := newWorld(t, Config{Window: 10_000, QueueBytes: 1000})
	s := w.watch(span("k", "l"), one("k00000"))
	w.drain(s)
	var ops []op
	for i := range 1000 {
		ops = append(ops, put(fmt.Sprintf("k%05d", i), "v"))
	}
	w.put("k", "before")
	w.publish(ops...)
	w.dispatch()
	w.put("k", "after")
	var sizes []int
	for _, m := range w.drain(s) {
		if m.WatchId == 0 {
			sizes = append(sizes, len(m.Events))
		}
	}
	total := 0
	for _, n := range sizes {
		total += n
		if n > 2 && n < 1000 {
			t.Fatalf("the revision of 1000 events was split: %v", sizes)
		}
	}
	if total != 1002 {
		t.Fatalf("got %v", sizes)
	}
}

func TestReset(t *testing.T) {
	w := newWorld(t, Config{})
	s := w.watch(one("a"), one("a").from(8))
	w.put("a", "1")
	w.publish(put("a", "2")) // published, never handed out
	for range 5 {
		w.history.apply(put("a", "unseen")) // arrives with the new state
	}
	w.hub.Reset()
	w.put("a", "3")
	got := map[int64][]int64{}
	for _, m := range w.drain(s) {
		for _, e := range m.Events {
			got[m.WatchId] = append(got[m.WatchId], e.Kv.ModRevision)
		}
	}
	if fmt.Sprint(got) != "map[0:[2 3 4 5 6 7 8 9] 1:[8 9]]" {
		t.Fatalf("got %v", got)
	}
}

func TestFaultEndsNext(t *testing.T) {
	w := newWorld(t, Config{Window: 1})
	w.put("a", "1")
	w.put("b", "2")
	s := w.watch(one("a").from(2))
	w.poll(s)
	w.history.fault = errors.New("disk is gone")
	if _, err := s.Next(t.Context()); !errors.Is(err, w.history.fault) {
		t.Fatalf("got %v", err)
	}
}
