package v2http

// maxWatches bounds the watches under way on one member: each costs a goroutine and
// a connection, some 30 KiB.
const maxWatches = 50_000

// bounds counts watches.
type bounds struct{ slots chan struct{} }

func newBounds() bounds { return bounds{make(chan struct{}, maxWatches)} }

func (b bounds) enter() bool {
	select {
	case b.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

func (b bounds) leave() { <-b.slots }
