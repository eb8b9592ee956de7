package reclaim

import "time"

const (
	// piece is how much is freed at a time: freeing less takes hardly less time, and
	// freeing twice as much nearly twice as long.
	piece = 1 << 20
	// idleness is how long nothing is freed, as a multiple of the time that something is:
	// of some hundred writes, one may meet it.
	idleness = 250
	// maxBytes is how much may wait. What comes on top is freed at once. From half of that
	// on, or of the most files, the rests get shorter, until what is removed all the time is
	// freed as quickly as that.
	maxBytes = 4 << 30
	// scarcity is what multiple of the bytes that wait the disk must have free: else its
	// space matters more than the latency of writes.
	scarcity = 4
)

// rest is the time until the next piece, after one that took a time and left so much
// waiting; files is the part of the most files.
func rest(files float64, bytes int64, took time.Duration) time.Duration {
	room := 1 - max(files, float64(bytes)/maxBytes)
	return time.Duration(min(1, 2*max(0, room)) * idleness * float64(took))
}
