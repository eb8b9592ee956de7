// Package rest has background work give way to what somebody waits for.
//
// Such work is long loops that never wait. The schedulers would let one keep a processor
// for milliseconds, while requests that need a fraction of one wait behind it. To
// yield is not enough: whoever yields stands in a queue that Go looks into before it
// looks at the network, and whatever else waits for the processor on this machine has
// to wait for the end of a slice. So a loop sleeps, for a short while but often.
package rest

import (
	"runtime"
	"time"
)

const (
	// turn is the shortest rest: requests that wait get their turn in it.
	turn = 20 * time.Microsecond
	// longest bounds a rest: what was no work, like waiting for the disk, is not told
	// apart.
	longest = 20 * time.Millisecond
	// credit bounds how much of a rest that took longer than wanted counts for later
	// ones: a timer of an idle process is late by a millisecond, one of a busy machine by
	// more, and the work would get less than its share.
	credit = 2 * time.Millisecond
)

// Breath is the rests of one loop, whose goroutine alone uses it.
type Breath struct {
	since time.Time // of the work that was not rested from yet
	owed  time.Duration
}

// Begin returns the rests of work that begins now.
func Begin() Breath { return Breath{since: time.Now()} }

// Take ends a piece of work and rests for so many times as long as it took; with zero
// times just long enough for others' turns. Nobody has to wait where none is busy.
func (b *Breath) Take(busy bool, times time.Duration) {
	now := time.Now()
	if !busy {
		b.since, b.owed = now, 0
		runtime.Gosched()
		return
	}
	b.owed = min(b.owed+turn+times*now.Sub(b.since), longest)
	b.since = now
	if b.owed <= 0 {
		return
	}
	time.Sleep(b.owed)
	b.since = time.Now()
	b.owed = max(b.owed-b.since.Sub(now), -credit)
}

// LeaveOut has time that was spent since the last rest not count as work.
func (b *Breath) LeaveOut(d time.Duration) { b.since = b.since.Add(d) }
