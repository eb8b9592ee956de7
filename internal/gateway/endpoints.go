package gateway

import (
	"math/rand/v2"
	"sync"
)

// Endpoint is one of the places that connections are passed on to.
type Endpoint struct {
	// Addr is host:port.
	Addr string
	// Priority and Weight are those of its record in DNS: only the endpoints of the lowest
	// priority that has any in service are used, in proportion to their weights.
	Priority, Weight uint16
}

// unweightedShare is how rarely endpoints without weight are used beside those that have one.
const unweightedShare = 100

// pool is the endpoints, and which of them are in service.
type pool struct {
	all []Endpoint

	mu   sync.Mutex // guards what follows
	down []bool
	turn int // of the round robin
	// intn draws below n.
	intn func(n int) int
}

func newPool(endpoints []Endpoint) *pool {
	return &pool{all: endpoints, down: make([]bool, len(endpoints)), intn: rand.IntN}
}

// pick chooses an endpoint in service; false if there is none.
func (p *pool) pick() (int, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var weighted, unweighted []int
	sum := 0
	for _, i := range p.bestLocked() {
		if w := int(p.all[i].Weight); w > 0 {
			weighted = append(weighted, i)
			sum += w
		} else {
			unweighted = append(unweighted, i)
		}
	}
	switch {
	case len(weighted) == 0 && len(unweighted) == 0:
		return 0, false
	case len(weighted) == 0, len(unweighted) > 0 && p.intn(unweightedShare) == 0:
		p.turn++
		return unweighted[p.turn%len(unweighted)], true
	}
	drawn := p.intn(sum)
	for _, i := range weighted {
		if drawn -= int(p.all[i].Weight); drawn < 0 {
			return i, true
		}
	}
	panic("gateway: drew more than the sum of all weights")
}

// bestLocked lists the endpoints in service of the lowest priority.
func (p *pool) bestLocked() (best []int) {
	for i, e := range p.all {
		switch {
		case p.down[i]:
		case len(best) == 0 || e.Priority < p.all[best[0]].Priority:
			best = []int{i}
		case e.Priority == p.all[best[0]].Priority:
			best = append(best, i)
		}
	}
	return best
}

// set puts an endpoint into service, or takes it out. It tells whether that is a change.
func (p *pool) set(i int, down bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	changed := p.down[i] != down
	p.down[i] = down
	return changed
}

// failed lists the endpoints out of service.
func (p *pool) failed() (out []int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, down := range p.down {
		if down {
			out = append(out, i)
		}
	}
	return out
}
