package server

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"bowline/internal/tally"
)

// Stats is what a server has counted since it was made, for the metrics.
type Stats struct {
	// ReadIndexesFailed is how many linearizable reads found nobody to ask,
	// ReadIndexesSlow how many had no answer in time.
	ReadIndexesFailed, ReadIndexesSlow atomic.Int64
	// Promotions counts learners promoted by this member as leader.
	Promotions atomic.Int64
	promotions promotionFailures
	// LeasesRenewed counts renewals.
	LeasesRenewed atomic.Int64
	// Defragmenting is how many calls of Defragment are under way, and Defrags how
	// long they took.
	Defragmenting atomic.Int64
	Defrags       *tally.Histogram
	// Hashes and KVHashes are how long the calls Hash and HashKV took.
	Hashes, KVHashes *tally.Histogram
}

func newStats() *Stats {
	return &Stats{
		Defrags:  tally.Durations(100*time.Millisecond, 13),
		Hashes:   tally.Durations(10*time.Millisecond, 15),
		KVHashes: tally.Durations(10*time.Millisecond, 15),
	}
}

// promotionFailures counts refused promotions by their error's text, of which there
// are few.
type promotionFailures struct {
	mu       sync.Mutex // guards byReason
	byReason map[string]int64
}

func (p *promotionFailures) add(reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byReason == nil {
		p.byReason = make(map[string]int64)
	}
	if _, known := p.byReason[reason]; known || len(p.byReason) < maxReasons {
		p.byReason[reason]++
	}
}

// maxReasons bounds the reasons that are told apart.
const maxReasons = 16

// PromotionsRefused counts, by reason, the promotions of learners that failed on this
// member as leader.
func (s *Server) PromotionsRefused() map[string]int64 {
	p := &s.stats.promotions
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.byReason)
}

// Stats returns the counters.
func (s *Server) Stats() *Stats { return s.stats }

// Quota is the space that the engine may take, as it is shown: the default where
// none is set.
func (s *Server) Quota() int64 {
	if s.cfg.QuotaBytes == 0 {
		return DefaultQuotaBytes
	}
	return s.cfg.QuotaBytes
}

// timed begins to measure; the function that it returns ends it.
func timed(h *tally.Histogram) func() {
	began := time.Now()
	return func() { h.Observe(time.Since(began)) }
}
