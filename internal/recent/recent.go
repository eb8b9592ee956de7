package recent

import (
	"sync"
	"time"
)

// Bounds of what is remembered.
const (
	maxSlow     = 200
	maxText     = 512 // bytes of a request, or of an error
	maxPrefixes = 256
	maxPrefix   = 96 // bytes
	// fadeAt is how many requests are counted until all counts are halved, so that what
	// was long ago weighs little.
	fadeAt = 1 << 14
	// every is of how many requests one is counted. It is a prime: nothing else is
	// likely to go at its pace.
	every = 61
)

// Slow is a request that took long.
type Slow struct {
	At      time.Time // when it ended
	Took    time.Duration
	Method  string
	Request string // without values
	Remote  string
	Error   string // "" if it succeeded
	// Phases are what the time went into, in their order.
	Phases []Phase
}

// Phase is a part of a request's time.
type Phase struct {
	Name string
	Took time.Duration
}

// Hot is how much of the counted requests was for keys that begin with Prefix.
type Hot struct {
	Prefix        string
	Reads, Writes uint64
}

// Requests are the requests of a member. A nil one remembers nothing.
type Requests struct {
	mu       sync.Mutex // guards all
	slow     [maxSlow]Slow
	slowEver uint64
	hot      map[string]*Hot
	counted  uint64
}

// New returns Requests that remember nothing yet.
func New() *Requests { return &Requests{hot: make(map[string]*Hot)} }

// AddSlow remembers a slow request, and forgets the oldest.
func (r *Requests) AddSlow(s Slow) {
	if r == nil {
		return
	}
	s.Request, s.Error = cut(s.Request, maxText), cut(s.Error, maxText)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.slow[r.slowEver%maxSlow] = s
	r.slowEver++
}

// Slowest returns the latest slow requests, the last first, and how many there ever were.
func (r *Requests) Slowest() (latest []Slow, ever uint64) {
	if r == nil {
		return nil, 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range min(r.slowEver, maxSlow) {
		latest = append(latest, r.slow[(r.slowEver-1-i)%maxSlow])
	}
	return latest, r.slowEver
}

// Picks tells by how long a request took, in the last digits of which nobody has a
// hand, whether it is one of those to be counted: who is not picked pays a division.
func (r *Requests) Picks(took time.Duration) bool { return r != nil && uint64(took)%every == 0 }

// Count counts a request that was picked.
func (r *Requests) Count(key []byte, write bool) {
	prefix := prefixOf(key)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counted++; r.counted >= fadeAt {
		r.fade()
	}
	h := r.hot[prefix]
	if h == nil {
		h = &Hot{Prefix: prefix}
		if len(r.hot) >= maxPrefixes {
			// The newcomer takes over the count of the least: what is really hot cannot
			// be pushed out by many that are not.
			least := r.least()
			delete(r.hot, least.Prefix)
			h.Reads, h.Writes = least.Reads, least.Writes
		}
		r.hot[prefix] = h
	}
	if write {
		h.Writes++
	} else {
		h.Reads++
	}
}

func (r *Requests) least() (least *Hot) {
	for _, h := range r.hot {
		if least == nil || h.Reads+h.Writes < least.Reads+least.Writes {
			least = h
		}
	}
	return least
}

func (r *Requests) fade() {
	r.counted /= 2
	for prefix, h := range r.hot {
		h.Reads, h.Writes = h.Reads/2, h.Writes/2
		if h.Reads+h.Writes == 0 {
			delete(r.hot, prefix)
		}
	}
}

// Hottest returns the prefixes with their counts, in no order, and how many requests
// were counted.
func (r *Requests) Hottest() (all []Hot, counted uint64) {
	if r == nil {
		return nil, 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.hot {
		all = append(all, *h)
	}
	return all, r.counted
}

// prefixOf is a key up to its third slash if it begins with one, as those of Kubernetes
// do, or its second; all of it if there is none, up to a bound.
func prefixOf(key []byte) string {
	const depth = 2
	key = key[:min(len(key), maxPrefix)]
	end, found := 0, 0
	for i, b := range key {
		if b != '/' || i == 0 {
			continue
		}
		end = i + 1
		if found++; found == depth {
			break
		}
	}
	if end == 0 {
		end = len(key)
	}
	return string(key[:end])
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "…"
}
