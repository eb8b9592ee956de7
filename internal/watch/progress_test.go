package watch

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestManualProgress(t *testing.T) {
	w := newWorld(t, Config{Window: 2000, QueueBytes: 300})
	s := w.watch()
	must(t, s.Progress(t.Context()))
	w.expect(s)
	w.create(s, one("a"))
	w.create(s, one("b"))
	must(t, s.Progress(t.Context()))
	w.expect(s, "id=0 rev=1 created", "id=1 rev=1 created", "id=-1 rev=1")

	// It waits for what was current, and stands behind all that waits.
	w.publish(put("b", "1"))
	must(t, s.Progress(t.Context()))
	w.expect(s)
	w.dispatch()
	w.put("a", "2")
	w.expect(s, "id=1 rev=2 put(b=1@2)", "id=-1 rev=2", "id=0 rev=3 put(a=2@3)")

	// A watch that is behind, or is to start later, forbids it for good.
	for range 20 {
		w.put("a", strings.Repeat("x", 50))
	}
	must(t, s.Progress(t.Context()))
	for _, m := range w.drain(s) {
		if m.WatchId == -1 {
			t.Fatal("progress while a watch was behind")
		}
	}
	w.create(s, one("c").from(25))
	must(t, s.Progress(t.Context()))
	w.put("d", "")
	must(t, s.Progress(t.Context()))
	w.put("d", "")
	must(t, s.Progress(t.Context()))
	w.expect(s, "id=2 rev=23 created", "id=-1 rev=25")
}

func TestProgressInLineIsDroppedWhenAWatchFallsBehind(t *testing.T) {
	w := newWorld(t, Config{QueueBytes: 100})
	s := w.watch(one("a"), one("b"))
	w.drain(s)
	w.put("a", strings.Repeat("x", 200))
	must(t, s.Progress(t.Context()))
	w.put("b", "2")
	for _, m := range w.drain(s) {
		if m.WatchId == -1 {
			t.Fatalf("got %s", describe(m))
		}
	}
}

func TestProgressNotify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const interval = 10 * time.Second
		w := newWorld(t, Config{ProgressInterval: interval})
		quiet, busy, later := one("a"), one("b"), one("c").from(100)
		quiet.ProgressNotify, busy.ProgressNotify, later.ProgressNotify = true, true, true
		s := w.watch(quiet, busy, later, one("d"))
		defer s.Close()
		w.drain(s)
		w.put("b", "1")
		w.drain(s)
		start := time.Now()
		next := func() string {
			r, err := s.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			m, err := decode(r)
			if err != nil {
				t.Fatal(err)
			}
			return describe(m)
		}
		if got := next(); got != "id=0 rev=2" {
			t.Fatalf("at the first tick got %s", got)
		}
		took := time.Since(start)
		if took < interval || took > interval*11/10 {
			t.Fatalf("first tick after %v", took)
		}
		if a, b := next(), next(); a != "id=0 rev=2" || b != "id=1 rev=2" {
			t.Fatalf("at the second tick got %s and %s", a, b)
		}
		if got := time.Since(start); got != 2*took {
			t.Fatalf("second tick after %v, the first after %v", got, took)
		}
		must(t, s.Cancel(t.Context(), 0))
		if a, b := next(), next(); a != "id=0 rev=2 canceled" || b != "id=1 rev=2" {
			t.Fatalf("after the cancellation got %s and %s", a, b)
		}
	})
}

func TestIntervalsDiffer(t *testing.T) {
	w := newWorld(t, Config{ProgressInterval: time.Hour})
	seen := map[time.Duration]bool{}
	for range 20 {
		d := w.watch().interval
		if d < time.Hour || d > 66*time.Minute {
			t.Fatalf("interval %v", d)
		}
		seen[d] = true
	}
	if len(seen) < 10 {
		t.Fatalf("20 streams have %d intervals", len(seen))
	}
}

func TestProgressStaysBehindWhatIsCaughtUp(t *testing.T) {
	w := newWorld(t, Config{Window: 4000, QueueBytes: 100_000})
	var all []CreateRequest
	for i := range readyTurns + 4 {
		all = append(all, one(fmt.Sprint(i)))
	}
	s := w.watch(all...)
	w.drain(s)
	for i := range all {
		w.publish(put(fmt.Sprint(i), "v"))
	}
	w.dispatch()
	must(t, s.Progress(t.Context()))
	// The feed lets go of the first one's event, so the queue does too. It has its
	// turn to catch up when most of the others have been served.
	s.mu.Lock()
	first := s.watchers[0]
	s.dropLocked(first)
	s.fallBehindLocked(first, 2)
	s.mu.Unlock()
	seen := map[int64]bool{}
	for _, m := range w.drain(s) {
		if m.WatchId == progressID && len(seen) < len(all) {
			t.Fatalf("progress %d after the events of %d watches of %d", m.Header.Revision, len(seen), len(all))
		}
		seen[m.WatchId] = true
	}
	if len(seen) != len(all)+1 {
		t.Fatalf("events of %d watches of %d, and progress, arrived", len(seen), len(all))
	}
}
