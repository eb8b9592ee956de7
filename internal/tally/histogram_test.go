package tally

import (
	"sync"
	"testing"
	"time"
)

func TestBucketsHoldWhatIsAtMostTheirBound(t *testing.T) {
	const first = 100
	for _, c := range []struct {
		value  int64
		bucket int // 3 is above all bounds
	}{
		{-5, 0}, {0, 0}, {1, 0}, {100, 0}, {101, 1}, {200, 1}, {201, 2}, {300, 2}, {400, 2}, {401, 3}, {1 << 62, 3},
	} {
		h := New(first, 3)
		h.Add(c.value)
		s := h.Snapshot()
		for i, below := range s.Below {
			want := uint64(0)
			if i >= c.bucket {
				want = 1
			}
			if below != want {
				t.Errorf("%d: %d values at most %d, want %d", c.value, below, s.Bounds[i], want)
			}
		}
		if s.Count != 1 || s.Sum != max(c.value, 0) {
			t.Errorf("%d: count %d, sum %d", c.value, s.Count, s.Sum)
		}
	}
}

func TestNothingIsLostWhenManyAdd(t *testing.T) {
	h := Durations(time.Millisecond, 14)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 1000 {
				h.Observe(time.Duration(i) * time.Millisecond)
			}
		})
	}
	all.Wait()
	if s := h.Snapshot(); s.Count != 8000 || s.Sum != int64(8*499_500*time.Millisecond) {
		t.Errorf("count %d, sum %v", s.Count, time.Duration(s.Sum))
	}
}

func TestNewRefusesWhatItCannotHold(t *testing.T) {
	for _, n := range []int{0, maxBuckets + 1} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%d buckets were accepted", n)
				}
			}()
			New(1, n)
		}()
	}
}

func BenchmarkObserve(b *testing.B) {
	h := Durations(time.Millisecond, 14)
	for i := range b.N {
		h.Observe(time.Duration(i))
	}
}

// BenchmarkStamp is what it costs to ask for the time once.
func BenchmarkStamp(b *testing.B) {
	start := time.Now()
	var last time.Duration
	for range b.N {
		last = time.Since(start)
	}
	_ = last
}
