package watch

import (
	"maps"
	"slices"
)

// EndIf ends the watches for whose range reason returns one, and tells it to the
// client. No event of such a watch is sent after that. It may be called by anybody;
// reason gets the range in the wire's terms and must not block.
func (s *Stream) EndIf(reason func(key, end string) string) {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	current, _ := h.history.Revisions()
	for _, id := range slices.Sorted(maps.Keys(s.watchers)) {
		w := s.watchers[id]
		why := reason(w.key, w.end)
		if why == "" {
			continue
		}
		s.removeLocked(w)
		// There is at most one such answer for each watch, so they need no room of
		// their own.
		s.control = append(s.control, Response{WatchID: id, Revision: current, Canceled: true, CancelReason: why})
		s.nudge()
	}
}
