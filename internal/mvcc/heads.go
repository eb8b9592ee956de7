package mvcc

import "bytes"

// heads remembers how many live keys first parts of count leaves hold. The ranges of a
// client end at the same few places again and again (behind a prefix), and rarely at
// a border: every page of a list would walk the last leaf anew. Guarded by Store.mu.
type heads struct {
	kept []head
	next int // the one to be replaced when keptHeads are there
}

// keptHeads bounds the heads, and the time that a look for one takes.
const keptHeads = 32

// head is the part of a leaf that begins at its border, up to end.
type head struct {
	border, end []byte
	count       int64
}

// find returns the count of an edge that is known.
func (h *heads) find(e edge) (int64, bool) {
	if !e.first {
		return 0, false
	}
	for i := range h.kept {
		if k := &h.kept[i]; bytes.Equal(k.end, e.end) && bytes.Equal(k.border, e.start) {
			return k.count, true
		}
	}
	return 0, false
}

func (h *heads) keep(n head) {
	if len(h.kept) < keptHeads {
		h.kept = append(h.kept, n)
		return
	}
	h.kept[h.next] = n
	h.next = (h.next + 1) % keptHeads
}

// forget drops what is known of the leaf at border.
func (h *heads) forget(border []byte) {
	for i := len(h.kept) - 1; i >= 0; i-- {
		if bytes.Equal(h.kept[i].border, border) {
			last := len(h.kept) - 1
			h.kept[i] = h.kept[last]
			h.kept[last] = head{}
			h.kept = h.kept[:last]
		}
	}
	h.next = 0
}

// keepHead remembers what a walk has counted, unless leaves have changed since there were
// so many changes: the count would be of the past.
func (s *Store) keepHead(n head, changes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leafChanges == changes {
		s.heads.keep(head{border: bytes.Clone(n.border), end: bytes.Clone(n.end), count: n.count})
	}
}

// leavesMoved forgets everything: borders have changed. mu is held.
func (s *Store) leavesMoved() {
	s.leafChanges++
	s.heads = heads{}
}
