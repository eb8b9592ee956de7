package admission

import "time"

// bucket holds what may be spent at once, a second's worth at most. Its level may be
// below zero: what a request costs is known when it is done, and the next one waits.
type bucket struct {
	rate, level float64
	at          time.Time // when level was so
}

func newBucket(perSecond float64, now time.Time) bucket {
	return bucket{rate: perSecond, level: max(perSecond, 1), at: now}
}

// refill adds what has come in since it was looked at.
func (b *bucket) refill(now time.Time) {
	if d := now.Sub(b.at); d > 0 {
		b.level = min(b.level+d.Seconds()*b.rate, max(b.rate, 1))
		b.at = now
	}
}

// full tells that the bucket is as one that was never used.
func (b *bucket) full() bool { return b.level >= max(b.rate, 1) }
