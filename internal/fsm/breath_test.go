package fsm

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestABreathIsTakenWhileClientsWrite, and not otherwise.
func TestABreathIsTakenWhileClientsWrite(t *testing.T) {
	r := newRig(t)
	r.apply(put("a", "1"))
	const work, times = 5 * time.Millisecond, 2
	b := r.fsm.newBreath(times)
	rested := func() time.Duration {
		t.Helper()
		b.LeaveOut(-work)
		began := time.Now()
		if err := b.take(t.Context()); err != nil {
			t.Fatal(err)
		}
		return time.Since(began)
	}
	rested()
	if !b.lastWrite.IsZero() {
		t.Error("a write is seen where there was none")
	}
	r.apply(put("a", "2"))
	if d := rested(); d < work*times {
		t.Errorf("rested %v after a write", d)
	}
	if d := rested(); d < work*times/2 { // some of it may have been rested before
		t.Errorf("rested %v right after", d)
	}
	b.lastWrite = time.Now().Add(-2 * writersQuiet)
	r.fsm.waiting.Add(1)
	if d := rested(); d < work*times/2 {
		t.Errorf("rested %v while a group waits", d)
	}
	r.fsm.waiting.Add(-1)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.take(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("it goes on: %v", err)
	}
}
