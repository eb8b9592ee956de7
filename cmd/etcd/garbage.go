package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// Under smallHeap the collector is left alone: an idle member stays small.
	smallHeap = 8 << 20
	// largeHeap is the heap from which on there may be no more garbage than Go
	// allows by itself, as much as what lives.
	largeHeap = 128 << 20

	usualPercent = 100
)

// allowGarbage lets a heap of medium size double twice before it is collected. What a
// busy member keeps on the heap is small (its data is in the engine's caches, which are
// not scanned), so that each collection frees little and comes again soon: that was a tenth of
// all its work. Whoever has set GOGC or GOMEMLIMIT is obeyed.
//
// It belongs to the program, not to package member: a program that embeds a member has
// its own heap.
func allowGarbage() {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	afterCollections(&tuner{percent: usualPercent, live: liveHeap, set: func(p int) { debug.SetGCPercent(p) }})
}

// afterCollections has t look after each collection, for as long as the process lives.
func afterCollections(t *tuner) {
	// The sentinel is garbage at once; each collection finds it and leaves a new one.
	type sentinel struct{ t *tuner }
	runtime.AddCleanup(&sentinel{t}, func(t *tuner) {
		t.look()
		afterCollections(t)
	}, t)
}

// tuner chooses the collector's percentage by what lives on the heap. It is used by one
// goroutine at a time.
type tuner struct {
	percent int
	live    func() int64
	set     func(percent int)
}

func (t *tuner) look() {
	// To set it stops the world for a moment: small changes are not worth that.
	if p := garbagePercent(t.live()); p-t.percent >= 10 || t.percent-p >= 10 {
		t.percent = p
		t.set(p)
	}
}

// garbagePercent is how much garbage may lie beside live bytes, in percent of them.
func garbagePercent(live int64) int {
	if live < smallHeap || live >= largeHeap {
		return usualPercent
	}
	return int(min(2*live, largeHeap) * 100 / live)
}

func liveHeap() int64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return int64(sample[0].Value.Uint64())
}
