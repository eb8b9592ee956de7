package main

import (
	"runtime"
	"slices"
	"testing"
	"time"
)

func TestGarbagePercent(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		live, perSecond int64
		want            int
	}{
		{0, 0, 100}, {mib, 0, 100}, {8*mib - 1, 0, 100},
		{8 * mib, 0, 200}, {30 * mib, 0, 200}, {40 * mib, 0, 200},
		{50 * mib, 0, 160}, {64 * mib, 0, 125}, {79 * mib, 0, 101},
		{80 * mib, 0, 100}, {4096 * mib, 0, 100},
		{mib, mib, 100}, {mib, 8 * mib, 200}, {4 * mib, 1024 * mib, 600},
		{6 * mib, 1024 * mib, 400}, {8 * mib, 1024 * mib, 300}, {12 * mib, 1024 * mib, 200},
		{30 * mib, 1024 * mib, 200}, {4096 * mib, 1024 * mib, 100},
	} {
		if got := garbagePercent(c.live, c.perSecond); got != c.want {
			t.Errorf("%d MiB, %d a second: %d %%, want %d", c.live/mib, c.perSecond/mib, got, c.want)
		}
	}
}

func TestTunerSetsOnlyWhatDiffers(t *testing.T) {
	var set []int
	var h heap
	tune := &tuner{percent: usualPercent, read: func() heap { return h }, set: func(p int) { set = append(set, p) }}
	for _, mib := range []int64{1, 20, 30, 40, 41, 64, 65, 500, 2} {
		h.at, h.live = h.at.Add(time.Second), mib<<20
		tune.look()
	}
	for range 2 { // it becomes busy
		h.at, h.allocated = h.at.Add(time.Second/20), h.allocated+4<<20
		tune.look()
	}
	h.at = h.at.Add(time.Minute)
	tune.look()
	if want := []int{200, 125, 100, 600, 100}; !slices.Equal(set, want) {
		t.Errorf("set %v, want %v", set, want)
	}
}

// Each collection leads to a look, not only the first.
func TestLooksAfterEachCollection(t *testing.T) {
	looks := make(chan struct{}, 1)
	afterCollections(&tuner{percent: usualPercent, set: func(int) {}, read: func() heap {
		select {
		case looks <- struct{}{}:
		default: // nobody waits any more
		}
		return heap{}
	}})
	for range 3 {
		runtime.GC()
		<-looks
	}
}
