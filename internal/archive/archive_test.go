package archive

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMoments restores a hundred random moments of a busy history, by revision and by
// time, across restarts of the archiver.
func TestMoments(t *testing.T) {
	w := newWorld(t, directory{t.TempDir()})
	var restarts []time.Time
	for range 12 {
		w.busy(60)
		restarts = append(restarts, w.now)
		w.restart()
	}
	w.busy(30)
	must(t, w.tick(t.Context(), 2*time.Second))
	newest := w.archiver.newest
	if at, rev := w.fsm.At(); newest.Index != at.Index || newest.Revision != rev {
		t.Fatalf("archived up to %v, at entry %d, revision %d", newest, at.Index, rev)
	}
	names, err := w.store.List(t.Context())
	must(t, err)
	oldest := parseNames(names).checkpoints[0].moment
	for range 50 {
		rev := oldest.Revision + w.random.Int64N(newest.Revision-oldest.Revision+1)
		w.expect(Target{Revision: rev}, rev)
	}
	for range 50 {
		at := oldest.Time.Add(time.Duration(w.random.Int64N(int64(newest.Time.Sub(oldest.Time)))))
		for _, r := range restarts {
			// What a restart finds in the log, and not in the archive, is as old as the restart.
			if d := r.Sub(at); d > -100*time.Millisecond && d < w.config.Interval+200*time.Millisecond {
				at = r.Add(100 * time.Millisecond)
			}
		}
		rev := oldest.Revision
		for r, seen := range w.times {
			// It is looked at 100 ms after it was written.
			if !seen.Add(100*time.Millisecond).After(at) && r > rev {
				rev = r
			}
		}
		w.expect(Target{Time: at}, rev)
	}
	w.expect(Target{}, newest.Revision)
	v, err := Verify(t.Context(), w.store, options(""))
	must(t, err)
	if len(v.Spans) != 1 || v.Spans[0].To.Index != newest.Index || v.Spans[0].From != oldest {
		t.Errorf("verified %+v, from %v to %v", v, oldest, newest)
	}
}

// TestWhatIsNotArchivedIsRefused names what is missing, and leaves nothing behind.
func TestWhatIsNotArchivedIsRefused(t *testing.T) {
	path := t.TempDir()
	w := newWorld(t, directory{path})
	w.busy(100)
	must(t, w.tick(t.Context(), 2*time.Second))
	newest := w.archiver.newest
	names, err := w.store.List(t.Context())
	must(t, err)
	c := parseNames(names)
	refused := func(target Target, text string) {
		t.Helper()
		dir := t.TempDir()
		_, err := Restore(t.Context(), w.store, target, options(dir))
		if !errors.Is(err, ErrNotArchived) || !strings.Contains(err.Error(), text) {
			t.Errorf("%+v: %v, want one with %q", target, err, text)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%+v leaves %v, %v", target, left, err)
		}
	}
	refused(Target{Revision: newest.Revision + 1}, "its end")
	refused(Target{Time: newest.Time.Add(time.Second)}, "its end")
	refused(Target{Time: c.checkpoints[0].moment.Time.Add(-1)}, "the oldest in it is revision ")
	middle := c.logs[len(c.logs)/2]
	must(t, w.store.Remove(t.Context(), middle.name))
	refused(Target{Revision: newest.Revision}, "is missing, the next is log-")
	if _, err := Restore(t.Context(), directory{t.TempDir()}, Target{}, options(t.TempDir())); err == nil || !strings.Contains(err.Error(), "holds no archive") {
		t.Errorf("an empty directory: %v", err)
	}
}

// TestGap has a new checkpoint begun when the log has gone beyond the archive.
func TestGap(t *testing.T) {
	w := newWorld(t, directory{t.TempDir()})
	w.busy(50)
	w.held = nil // a member without an archive
	for range 50 {
		w.write()
	}
	w.trim()
	w.restart()
	w.busy(50)
	must(t, w.tick(t.Context(), 2*time.Second))
	_, rev := w.fsm.At()
	w.expect(Target{}, rev)
	v, err := Verify(t.Context(), w.store, options(""))
	must(t, err)
	if len(v.Spans) != 2 {
		t.Errorf("there are %d spans: %+v", len(v.Spans), v.Spans)
	}
}

// TestRetention removes what is too old, and nothing that is needed.
func TestRetention(t *testing.T) {
	w := newWorld(t, directory{t.TempDir()})
	w.config.CheckpointEvery, w.config.Retention = 5*time.Second, 20*time.Second
	w.restart()
	w.busy(600)
	must(t, w.tick(t.Context(), 2*time.Second))
	names, err := w.store.List(t.Context())
	must(t, err)
	c := parseNames(names)
	oldest := c.checkpoints[0].moment
	if age := w.now.Sub(oldest.Time); age < w.config.Retention || age > w.config.Retention+3*w.config.CheckpointEvery {
		t.Errorf("the oldest checkpoint is %v old", age)
	}
	if c.logs[0].first > oldest.Index+1 {
		t.Errorf("the log begins at %d, the checkpoint ends at %d", c.logs[0].first, oldest.Index)
	}
	w.expect(Target{Revision: oldest.Revision}, oldest.Revision)
	if _, err := Verify(t.Context(), w.store, options("")); err != nil {
		t.Error(err)
	}
}

// TestAnotherMembersArchiveIsLeftAlone refuses to add to it.
func TestAnotherMembersArchiveIsLeftAlone(t *testing.T) {
	w := newWorld(t, directory{t.TempDir()})
	w.busy(20)
	before, err := w.store.List(t.Context())
	must(t, err)
	w.config.Identity.MemberID++
	w.restart()
	if err := w.tick(t.Context(), time.Second); err == nil || !strings.Contains(err.Error(), "is the archive of member 1 of cluster abc") {
		t.Errorf("it answers %v", err)
	}
	after, err := w.store.List(t.Context())
	must(t, err)
	slices.Sort(before)
	slices.Sort(after)
	if !slices.Equal(before, after) {
		t.Errorf("there is %v, was %v", after, before)
	}
}
