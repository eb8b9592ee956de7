package transport

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"go.uber.org/zap"
)

const (
	probeInterval = 4 * time.Second
	// maxClockDifference between two members; more is worth a line, though nothing depends on it.
	maxClockDifference = time.Second
	driftLogInterval   = 30 * time.Second
)

// probe measures, until the peer is removed, how long a request takes and how far apart the clocks are.
func (p *peer) probe() {
	tick := time.NewTicker(probeInterval)
	defer tick.Stop()
	var smooth time.Duration
	var logged time.Time
	for {
		select {
		case <-tick.C:
		case <-p.ctx.Done():
			return
		}
		rtt, theirs, err := p.probeOnce()
		if err != nil {
			if p.ctx.Err() == nil {
				p.t.log.Warn("prober detected unhealthy status", zap.String("round-tripper-name", "ROUND_TRIPPER_RAFT_MESSAGE"),
					zap.String("remote-peer-id", hex(p.id)), zap.Duration("rtt", smooth), zap.Error(err))
			}
			continue
		}
		p.figures.roundTrips.Observe(rtt)
		if smooth == 0 {
			smooth = rtt
		} else {
			smooth += (rtt - smooth) / 8
		}
		now := time.Now()
		if drift := now.Sub(theirs) - smooth/2; drift.Abs() > maxClockDifference && now.Sub(logged) >= driftLogInterval {
			logged = now
			p.t.log.Warn("prober found high clock drift", zap.String("round-tripper-name", "ROUND_TRIPPER_RAFT_MESSAGE"),
				zap.String("remote-peer-id", hex(p.id)), zap.Duration("clock-drift", drift), zap.Duration("rtt", smooth))
		}
	}
}

// probeOnce returns how long a probe took, and the peer's time.
func (p *peer) probeOnce() (rtt time.Duration, theirs time.Time, err error) {
	ctx, cancel := context.WithTimeout(p.ctx, probeInterval)
	defer cancel()
	u := p.urls.pick()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at(u, pathProbing), nil)
	if err != nil {
		return 0, time.Time{}, err
	}
	start := time.Now()
	resp, err := p.t.posts.RoundTrip(req)
	if err != nil {
		return 0, time.Time{}, err
	}
	if resp.StatusCode != http.StatusOK {
		return 0, time.Time{}, refusal(resp)
	}
	defer resp.Body.Close()
	var h health
	if err := json.NewDecoder(io.LimitReader(resp.Body, 4<<10)).Decode(&h); err != nil {
		return 0, time.Time{}, err
	}
	if !h.OK {
		return 0, time.Time{}, errors.New("the peer says that it is not well")
	}
	return time.Since(start), h.Now, nil
}
