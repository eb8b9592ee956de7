package server

import (
	"context"
	"iter"
	"time"
)

// ticks yields the time whenever an interval has passed, until ctx ends. What comes
// while the last one is worked on is one.
func ticks(ctx context.Context, interval time.Duration) iter.Seq[time.Time] {
	return func(yield func(time.Time) bool) {
		t := time.NewTicker(interval)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-t.C:
				if !yield(now) {
					return
				}
			}
		}
	}
}
