package watch

import (
	"context"
	"errors"

	"bowline/internal/mvcc"
)

const (
	// catchUpWatchers is how many watchers are caught up from the feed in one go.
	catchUpWatchers = 1024
	// lastLap is how many revisions are walked while the hub is held, so that a
	// watcher can become live.
	lastLap = 64
)

// catchUp is the scratch space of Stream.catchUp, lent by the hub.
type catchUp struct {
	late   []*watcher
	groups []group
	found  []match
}

// match is an event for a watcher.
type match struct {
	watcher *watcher
	event   *event
}

// catchUp brings the first of those who are behind forward: together with others
// if the feed holds what they miss, else alone from history. What it finds in the
// feed goes into the queue, what it finds in history into taken. If a watcher
// turns out to be compacted, response is what to tell it.
func (s *Stream) catchUp(ctx context.Context) error {
	h := s.hub
	c, _ := h.scratch.Get().(*catchUp)
	if c == nil {
		c = &catchUp{groups: make([]group, 0, groupRevisions)}
	}
	defer func() {
		clear(c.late)
		clear(c.found)
		clear(c.groups[:cap(c.groups)])
		c.late, c.found = c.late[:0], c.found[:0]
		h.scratch.Put(c)
	}()
	first, _ := h.feed.bounds()
	c.late = s.takeLate(c.late, first)
	switch {
	case len(c.late) == 0:
		return nil
	case c.late[0].next < first:
		return s.readHistory(ctx, c.late[0], first-1)
	}
	s.replay(c)
	return nil
}

// takeLate appends to late those who catch up next: one whom the feed no longer
// serves, or several whom it does.
func (s *Stream) takeLate(late []*watcher, first int64) []*watcher {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := s.behind.head; w != nil && len(late) < catchUpWatchers; w = s.behind.head {
		old := w.next < first
		if w.state != closed && old && len(late) > 0 {
			break
		}
		s.behind.pop()
		if w.state == closed {
			continue
		}
		w.state = catching
		late = append(late, w)
		if old {
			break
		}
	}
	return late
}

// readHistory takes for w the events from its next on, of a stretch of the revisions
// that end at through.
func (s *Stream) readHistory(ctx context.Context, w *watcher, through int64) error {
	st, err := s.hub.stretches.get(ctx, w.key, w.end, w.next, through)
	if errors.Is(err, mvcc.ErrCompacted) {
		s.compacted(w)
		return nil
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.state == closed {
		return nil
	}
	s.owner, s.storeRevision = w, st.store
	for _, e := range st.events {
		if e.revision() >= w.next && !w.filters(e) {
			s.taken = append(s.taken, e)
			w.busy = true
		}
	}
	s.sent += int64(len(s.taken))
	w.next = st.through + 1
	w.state = behind
	s.behind.push(w)
	return nil
}

// compacted ends w, whose next revision is no longer stored.
func (s *Stream) compacted(w *watcher) {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.state == closed {
		return
	}
	s.removeLocked(w)
	s.rememberEndedLocked(w.id)
	_, revision := h.history.Revisions()
	s.response = Response{events: s.response.events, WatchID: w.id, Canceled: true, CompactRevision: revision}
}

// replay walks the feed for watchers that it still holds everything for, puts what
// they miss into the queue, and makes them live if it reaches the hub's position.
func (s *Stream) replay(c *catchUp) {
	var ix index
	entries := make([]entry, len(c.late))
	from := c.late[0].next
	for i, w := range c.late {
		entries[i] = entry{owner: w, key: w.key, end: w.end}
		ix.add(&entries[i])
		from = min(from, w.next)
	}
	s.mu.Lock()
	room := s.hub.config.QueueBytes - s.bytes
	s.mu.Unlock()
	h := s.hub
	for {
		through, more := s.walk(c, &ix, from, &room)
		from = through + 1
		if !more {
			s.settle(c, through, false)
			return
		}
		if h.pos.Load()-through > lastLap {
			continue
		}
		h.mu.Lock()
		if h.pos.Load()-through > lastLap {
			h.mu.Unlock()
			continue
		}
		if through < h.pos.Load() {
			through, more = s.walk(c, &ix, from, &room)
		}
		s.settle(c, through, more && through >= h.pos.Load())
		h.mu.Unlock()
		return
	}
}

// walk adds to found the events from revision from on that somebody in ix has not
// had, of one read of the feed. It returns the last revision that it has seen
// to, and false if it is no use to go on: the room is used up, or the feed has let
// the next revision go.
//
// It stops at the hub's position. What lies above is the hub's to hand out, who
// wakes the streams that it has given something, and no others.
func (s *Stream) walk(c *catchUp, ix *index, from int64, room *int) (through int64, more bool) {
	pos := s.hub.pos.Load()
	groups, through, ok := s.hub.feed.read(from, c.groups)
	if !ok {
		return from - 1, false
	}
	through = max(min(through, pos), from-1)
	for i := range groups {
		if groups[i].revision > pos {
			break
		}
		if *room <= 0 {
			return groups[i].revision - 1, false
		}
		for j := range groups[i].events {
			e := &groups[i].events[j]
			ix.visit(e.change.Key, func(in *entry) {
				w := in.owner
				if e.revision() >= w.next && !w.filters(e) {
					c.found = append(c.found, match{w, e})
					*room -= e.size()
				}
			})
		}
	}
	return through, true
}

// settle queues what was found, ahead of what waits, and puts the watchers where
// they belong.
func (s *Stream) settle(c *catchUp, through int64, caughtUp bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var front line
	for _, m := range c.found {
		if m.watcher.state == catching {
			m.event.encoded(&s.hub.feed.encoded)
			s.enqueueLocked(m.watcher, m.event, &front)
		}
	}
	s.ready.prepend(front)
	for _, w := range c.late {
		if w.state == closed {
			continue
		}
		w.next = max(w.next, through+1)
		w.caught = max(w.caught, through)
		if caughtUp {
			w.state = live
			s.noLongerLateLocked()
			continue
		}
		w.state = behind
		if !w.queued {
			s.behind.push(w)
		}
	}
}
