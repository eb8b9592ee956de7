package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// leastHeap is what Go takes a smaller heap for.
	leastHeap = 4 << 20
	// Under smallHeap the collector is left alone: an idle member stays small.
	smallHeap = 8 << 20
	// busyGarbage is what a busy member may leave on a heap however small: with a hundred clients it
	// would otherwise be collected forty times a second.
	busyGarbage = 24 << 20
	// largeHeap is the heap from which on there may be no more garbage than Go
	// allows by itself, as much as what lives.
	largeHeap = 80 << 20

	usualPercent = 100
)

// allowGarbage lets a heap of medium size double twice before it is collected. What a
// busy member keeps on the heap is small (its data is in the engine's caches, which are
// not scanned), so that each collection frees little and comes again soon: that was a tenth of
// all its work. While it is busy, a small heap may also hold what is allocated in a second.
// Whoever has set GOGC or GOMEMLIMIT is obeyed.
//
// It belongs to the program, not to package member: a program that embeds a member has
// its own heap.
func allowGarbage() {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	afterCollections(&tuner{percent: usualPercent, read: readHeap, set: func(p int) { debug.SetGCPercent(p) }})
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
	read    func() heap
	set     func(percent int)
	last    heap
}

// heap is what is known of it at one moment: what lives, and what was ever allocated.
type heap struct {
	at              time.Time
	live, allocated int64
}

func (t *tuner) look() {
	now := t.read()
	perSecond := int64(0)
	if took := now.at.Sub(t.last.at).Seconds(); !t.last.at.IsZero() && took > 0 {
		perSecond = int64(float64(now.allocated-t.last.allocated) / took)
	}
	t.last = now
	// To set it stops the world for a moment: small changes are not worth that.
	if p := garbagePercent(now.live, perSecond); p-t.percent >= 10 || t.percent-p >= 10 {
		t.percent = p
		t.set(p)
	}
}

// garbagePercent is how much garbage may lie beside live bytes, in percent of them, while so
// much is allocated.
func garbagePercent(live, perSecond int64) int {
	if live >= largeHeap {
		return usualPercent
	}
	live = max(live, leastHeap)
	garbage := live
	if live >= smallHeap {
		garbage = min(2*live, largeHeap)
	}
	return int(max(garbage, min(perSecond, busyGarbage)) * 100 / live)
}

func readHeap() heap {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(samples)
	h := heap{at: time.Now()}
	for i, into := range []*int64{&h.live, &h.allocated} {
		if samples[i].Value.Kind() == metrics.KindUint64 {
			*into = int64(samples[i].Value.Uint64())
		}
	}
	return h
}
