package lease

import "time"

// dueHeap is a binary heap of leases by the time at which Expired has to look at
// them. Each lease knows its place in it.
type dueHeap []dueItem

type dueItem struct {
	due   time.Duration
	lease *kept
}

func (h *dueHeap) push(e *kept, due time.Duration) {
	e.at = len(*h)
	*h = append(*h, dueItem{due, e})
	h.up(e.at)
}

// postpone gives the first item a later time.
func (h dueHeap) postpone(due time.Duration) {
	h[0].due = due
	h.down(0)
}

// advance gives item i the time due if that is earlier than its own.
func (h dueHeap) advance(i int, due time.Duration) {
	if due < h[i].due {
		h[i].due = due
		h.up(i)
	}
}

func (h *dueHeap) remove(i int) {
	last := len(*h) - 1
	h.swap(i, last)
	(*h)[last] = dueItem{}
	*h = (*h)[:last]
	if i < last {
		h.down(i)
		h.up(i)
	}
}

func (h dueHeap) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].lease.at, h[j].lease.at = i, j
}

func (h dueHeap) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if h[parent].due <= h[i].due {
			return
		}
		h.swap(i, parent)
		i = parent
	}
}

func (h dueHeap) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(h); child++ {
			if h[child].due < h[least].due {
				least = child
			}
		}
		if least == i {
			return
		}
		h.swap(i, least)
		i = least
	}
}
