package tally

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// maxBuckets is the most buckets that a Histogram can have.
const maxBuckets = 24

// Histogram counts values in buckets whose upper bounds double: first, 2*first,
// 4*first and so on. The zero Histogram is not usable: see New.
type Histogram struct {
	first   uint64
	buckets int
	sum     atomic.Int64
	// counts holds the buckets, and behind them what is above all bounds.
	counts [maxBuckets + 1]atomic.Uint64
}

// New returns a histogram whose n buckets, at most 24, end at first, 2*first, ...
func New(first int64, n int) *Histogram {
	if first <= 0 || n <= 0 || n > maxBuckets {
		panic("tally: a histogram needs 1 to 24 buckets, the first of which ends above 0")
	}
	return &Histogram{first: uint64(first), buckets: n}
}

// Durations returns a histogram of durations.
func Durations(first time.Duration, n int) *Histogram { return New(int64(first), n) }

// Add counts a value; a negative one counts as 0.
func (h *Histogram) Add(v int64) {
	v = max(v, 0)
	i := 0
	if u := uint64(v); u > h.first {
		i = min(bits.Len64((u-1)/h.first), h.buckets)
	}
	h.counts[i].Add(1)
	h.sum.Add(v)
}

// Observe counts a duration.
func (h *Histogram) Observe(d time.Duration) { h.Add(int64(d)) }

// Snapshot is what a histogram has counted.
type Snapshot struct {
	Count uint64
	Sum   int64
	// Bounds are the upper bounds of the buckets, and Below[i] is how many values
	// were at most Bounds[i].
	Bounds []int64
	Below  []uint64
}

// Snapshot reads the histogram. Values that are added meanwhile are in it or not,
// but Count fits Below.
func (h *Histogram) Snapshot() Snapshot {
	s := Snapshot{Sum: h.sum.Load(), Bounds: make([]int64, h.buckets), Below: make([]uint64, h.buckets)}
	for i := range h.buckets {
		s.Count += h.counts[i].Load()
		s.Bounds[i], s.Below[i] = int64(h.first)<<i, s.Count
	}
	s.Count += h.counts[h.buckets].Load()
	return s
}
