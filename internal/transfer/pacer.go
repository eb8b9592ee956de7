package transfer

import (
	"context"
	"time"
)

// pacer holds back bytes while clients are busy: no more than rate of them in a second.
type pacer struct {
	rate int64
	// busy tells whether clients would feel more; nil is never.
	busy func() bool
}

// wait waits for as long as n bytes take at the rate, if somebody is busy. A nil pacer
// never waits.
func (p *pacer) wait(ctx context.Context, n int) error {
	if p == nil || p.busy == nil || !p.busy() {
		return ctx.Err()
	}
	t := time.NewTimer(time.Duration(int64(n) * int64(time.Second) / p.rate))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
