// Package phase notes what the time of a call went into, for those who ask why it was
// slow: the log's line about it, and the spans of traces.
package phase

import (
	"context"
	"time"
)

// most is how many phases a call is told in. What comes after them counts to the last.
const most = 8

// Step is one phase of a call.
type Step struct {
	// Name says what was done, in a few words.
	Name string
	// Ended is when it was done. It began when the step before it ended.
	Ended time.Time
}

// Timeline is the phases of one call, and a context that carries them. Only the
// goroutine that serves the call may touch it.
type Timeline struct {
	context.Context
	// Began is when the call came.
	Began time.Time
	steps [most]Step
	n     int
}

// Begin returns a timeline below ctx.
func Begin(ctx context.Context, now time.Time) *Timeline {
	return &Timeline{Context: ctx, Began: now}
}

type key struct{}

// Value finds the timeline itself, and what ctx knows.
func (t *Timeline) Value(k any) any {
	if k == (key{}) {
		return t
	}
	return t.Context.Value(k)
}

// Of returns the timeline of a call, nil if it has none.
func Of(ctx context.Context) *Timeline {
	if t, ok := ctx.(*Timeline); ok {
		return t
	}
	t, _ := ctx.Value(key{}).(*Timeline)
	return t
}

// End notes that a phase has ended. It does nothing on a nil Timeline.
func (t *Timeline) End(name string, at time.Time) {
	if t == nil {
		return
	}
	if t.n == most {
		t.n--
	}
	t.steps[t.n] = Step{name, at}
	t.n++
}

// Steps returns the phases in their order.
func (t *Timeline) Steps() []Step { return t.steps[:t.n] }
