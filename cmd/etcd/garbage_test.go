package main

import (
	"runtime"
	"slices"
	"testing"
)

func TestGarbagePercent(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		live int64
		want int
	}{
		{0, 100}, {mib, 100}, {8*mib - 1, 100},
		{8 * mib, 200}, {30 * mib, 200}, {64 * mib, 200},
		{80 * mib, 160}, {100 * mib, 128}, {127 * mib, 100},
		{128 * mib, 100}, {4096 * mib, 100},
	} {
		if got := garbagePercent(c.live); got != c.want {
			t.Errorf("%d MiB: %d %%, want %d", c.live/mib, got, c.want)
		}
	}
}

func TestTunerSetsOnlyWhatDiffers(t *testing.T) {
	var set []int
	live := int64(0)
	tune := &tuner{percent: usualPercent, live: func() int64 { return live }, set: func(p int) { set = append(set, p) }}
	for _, mib := range []int64{1, 20, 30, 64, 65, 100, 102, 500, 2} {
		live = mib << 20
		tune.look()
	}
	if want := []int{200, 128, 100}; !slices.Equal(set, want) {
		t.Errorf("set %v, want %v", set, want)
	}
}

// Each collection leads to a look, not only the first.
func TestLooksAfterEachCollection(t *testing.T) {
	looks := make(chan struct{}, 1)
	afterCollections(&tuner{percent: usualPercent, set: func(int) {}, live: func() int64 {
		select {
		case looks <- struct{}{}:
		default: // nobody waits any more
		}
		return 0
	}})
	for range 3 {
		runtime.GC()
		<-looks
	}
}
