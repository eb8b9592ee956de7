package fsm

import (
	"testing"
	"time"
)

func TestPacerRestsWhileClientsWrite(t *testing.T) {
	now := time.Unix(1000, 0)
	step := func(p *pacer, took time.Duration, applied uint64, waiting bool) time.Duration {
		begin := now
		now = now.Add(took)
		return p.after(begin, now, applied, waiting)
	}
	p := pacer{times: compactRest, nap: compactNap, applied: 7}
	if nap := step(&p, 10*time.Millisecond, 7, false); nap != 0 {
		t.Errorf("rests %v although nobody writes", nap)
	}
	// One write, then steps between which none is seen: the writers are not gone.
	if nap := step(&p, compactNap, 8, false); nap != compactRest*compactNap {
		t.Errorf("rests %v after a step of %v", nap, compactNap)
	}
	if nap := step(&p, compactNap/8, 8, false); nap != 0 {
		t.Errorf("rests %v for a debt below what a timer can wait", nap)
	}
	if nap := step(&p, compactNap/8, 8, true); nap != compactRest*compactNap/4 {
		t.Errorf("rests %v while a group waits, want all that is owed", nap)
	}
	// A rest that was too long counts for later work, but not for much of it.
	p.rested(compactNap / 4)
	if nap := step(&p, compactNap, 8, true); nap != compactRest*compactNap-compactNap/4 {
		t.Errorf("rests %v after a rest that was too long", nap)
	}
	p.rested(time.Second)
	if nap := step(&p, compactNap/compactRest/2, 8, true); nap != 0 {
		t.Errorf("rests %v right after a rest that was much too long", nap)
	}
	if nap := step(&p, compactNap, 8, true); nap != compactRest*compactNap-compactNap/2 {
		t.Errorf("rests %v some time after a rest that was much too long", nap)
	}
	now = now.Add(2 * writersQuiet)
	if nap := step(&p, compactNap, 8, false); nap != 0 {
		t.Errorf("rests %v long after the last write", nap)
	}
}
