package member

import "time"

// clock is what leases are timed by. It goes on evenly, whatever is done to the
// system's time; only a build with failpoints makes it jump.
func clock() time.Time {
	now := time.Now()
	// gofail: var memberClock int
	// now = now.Add(time.Duration(memberClock) * time.Millisecond)
	return now
}
