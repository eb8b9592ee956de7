package server

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"bowline/internal/config"
)

// TestCompactionPlans runs plans for a day, at the end of whose n-th minute the
// revision is 10 n, and notes what they compact to in which minute.
func TestCompactionPlans(t *testing.T) {
	const day = 24 * 60
	for name, c := range map[string]struct {
		plan config.Compaction
		busy int // the minute after which nothing is written any more
		want []string
		all  int
	}{
		"off":                    {config.Compaction{}, day, nil, 0},
		"every ten minutes":      {config.Compaction{Period: 10 * time.Minute}, day, []string{"10: 1", "20: 100", "30: 200"}, day / 10},
		"hourly":                 {config.Compaction{Period: time.Hour}, day, []string{"60: 1", "120: 600", "180: 1200"}, 24},
		"three hours back":       {config.Compaction{Period: 3 * time.Hour}, day, []string{"180: 1", "240: 600", "300: 1200"}, 22},
		"nothing new":            {config.Compaction{Period: time.Hour}, 90, []string{"60: 1", "120: 600", "180: 900"}, 3},
		"the last 1000":          {config.Compaction{Revisions: 1000}, day, []string{"105: 50", "110: 100", "115: 150"}, (day - 100) / 5},
		"the last 1000, then no": {config.Compaction{Revisions: 1000}, 111, []string{"105: 50", "110: 100", "115: 110"}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			plan := newCompactionPlan(c.plan, start)
			if plan == nil {
				if c.all != 0 {
					t.Fatal("there is no plan")
				}
				return
			}
			var got []string
			plan.due(start, 1)
			jitter := []time.Duration{0, 300 * time.Microsecond, 0, 2 * time.Millisecond}
			for i := 1; time.Duration(i)*plan.interval() <= day*time.Minute; i++ {
				after := time.Duration(i) * plan.interval()
				now := start.Add(after + jitter[i%len(jitter)])
				rev := max(1, 10*int64(min(after, time.Duration(c.busy)*time.Minute)/time.Minute))
				if to, ok := plan.due(now, rev); ok {
					plan.done(now, to)
					got = append(got, fmt.Sprintf("%d: %d", int(after.Minutes()), to))
				}
			}
			if len(got) != c.all || !slices.Equal(got[:min(3, len(got))], c.want) {
				t.Errorf("%d compactions, %v; want %d, %v", len(got), got[:min(5, len(got))], c.all, c.want)
			}
		})
	}
}

// TestFailedCompactionIsDueAgain has a compaction fail: it is due at the next look.
func TestFailedCompactionIsDueAgain(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	plan := newCompactionPlan(config.Compaction{Period: 10 * time.Minute}, start)
	due := 0
	for i := range 13 {
		if _, ok := plan.due(start.Add(time.Duration(i)*plan.interval()), int64(1+i)); ok {
			due++
		}
	}
	if due != 3 {
		t.Errorf("it was due %d times in minutes 10 to 12, want 3", due)
	}
}
