package watch

// maxEnded bounds how many watches a stream remembers that compactions have ended.
const maxEnded = 4096

// A watch that a compaction has ended keeps its ID until the client cancels it as well:
// as in etcd that is answered, and until then the ID is in use.

// rememberEndedLocked keeps the ID of a watch that a compaction has ended.
func (s *Stream) rememberEndedLocked(id int64) {
	if len(s.ended) >= maxEnded {
		return
	}
	if s.ended == nil {
		s.ended = make(map[int64]struct{})
	}
	s.ended[id] = struct{}{}
}

// inUseLocked tells whether a new watch cannot have the ID.
func (s *Stream) inUseLocked(id int64) bool {
	_, ended := s.ended[id]
	return ended || s.watchers[id] != nil
}
