//go:build race

package mvcc

// underRace tells that the race detector, and with it Pebble's own checks, make
// everything some twenty times slower.
const underRace = true
