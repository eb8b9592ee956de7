package rest

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestRestsAreAShareOfTheWork measures ten pieces of work of a millisecond each.
func TestRestsAreAShareOfTheWork(t *testing.T) {
	for name, c := range map[string]struct {
		busy  bool
		times time.Duration
		took  time.Duration
	}{
		"nobody is busy":     {false, 3, 10 * time.Millisecond},
		"three times":        {true, 3, 10 * (4*time.Millisecond + turn)},
		"for others' turns":  {true, 0, 10 * (time.Millisecond + turn)},
		"longer than may be": {true, 1000, 10 * (time.Millisecond + longest)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				b := Begin()
				for range 10 {
					time.Sleep(time.Millisecond)
					b.Take(c.busy, c.times)
				}
				if took := time.Since(began); took != c.took {
					t.Errorf("it took %v, want %v", took, c.took)
				}
			})
		})
	}
}

// TestALateTimerCounts for later rests, but not for many.
func TestALateTimerCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const times = 2
		b := Begin()
		b.owed = -credit // as after a rest that was much too long
		work := credit / times
		began := time.Now()
		time.Sleep(work)
		b.Take(true, times)
		if rested := time.Since(began) - work; rested != turn {
			t.Errorf("rested %v for work that was rested from, want %v", rested, turn)
		}
		time.Sleep(work)
		b.LeaveOut(work / 2)
		began = time.Now()
		b.Take(true, times)
		if rested := time.Since(began); rested != work/2*times+turn {
			t.Errorf("rested %v for %v of which half is no work", rested, work)
		}
	})
}
