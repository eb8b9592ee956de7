package watch

import (
	"context"
	"time"
)

const (
	// maxMergedBytes bounds a response that is made of several revisions.
	maxMergedBytes = 1 << 20
	// readyTurns is how many responses of live watchers go before a step of
	// catching up, when there is always something of both.
	readyTurns = 8
	// keptEvents is for how many events an idle stream keeps room.
	keptEvents = 256
)

// sender is what belongs to Next alone, between its calls too.
type sender struct {
	response Response
	// parts are the encoded events of a response whose first fragments are sent.
	parts [][]byte
	// owner is whom taken is for: events, in order, that have left the queue.
	owner *watcher
	taken []*event
	// storeRevision is the header's revision for taken, 0 if it is that of the last
	// event sent.
	storeRevision int64
	// timer ticks for notifications of progress; told counts who had their turn.
	timer  *time.Timer
	told   int
	ticked bool
	turns  int
}

// Next waits for the next thing to be sent and returns it. It fails when ctx ends,
// when the stream is closed, and when stored history cannot be read.
func (s *Stream) Next(ctx context.Context) (*Response, error) {
	for {
		r, err := s.poll(ctx)
		if r != nil || err != nil {
			return r, err
		}
		s.shrink()
		if err := s.wait(ctx); err != nil {
			return nil, err
		}
	}
}

// poll returns what is to be sent now, nil if that is nothing.
func (s *Stream) poll(ctx context.Context) (*Response, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if len(s.parts) > 0 {
			return s.nextFragment(), nil
		}
		what, err := s.take()
		switch {
		case err != nil:
			return nil, err
		case what == takenNothing:
			return nil, nil
		case what == takenResponse:
			return &s.response, nil
		case what == takenLate:
			if err := s.catchUp(ctx); err != nil {
				return nil, err
			}
			if s.response.Canceled {
				return &s.response, nil
			}
		}
		if len(s.taken) > 0 {
			return s.assemble()
		}
	}
}

type taken uint8

const (
	takenNothing  taken = iota // there is nothing to do
	takenResponse              // response is to be sent
	takenEvents                // taken holds events, unless their watch was canceled
	takenLate                  // somebody has to be caught up
)

// take decides what comes next: answers, what was taken before, notifications of
// progress, then live events and catching up by turns.
func (s *Stream) take() (taken, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.response.reset()
	if s.closed {
		return takenNothing, ErrClosed
	}
	if len(s.control) > 0 {
		s.response, s.control = s.control[0], s.control[1:]
		if len(s.control) == 0 {
			s.control = nil
		}
		if s.response.ticket {
			s.release()
		}
		return takenResponse, nil
	}
	if len(s.taken) > 0 {
		if s.owner.state != closed {
			return takenEvents, nil
		}
		s.clearTaken()
	}
	if s.tellProgressLocked() {
		return takenResponse, nil
	}
	late := s.behind.head != nil && s.bytes < s.hub.config.QueueBytes
	if late && s.turns >= readyTurns {
		s.turns = 0
		return takenLate, nil
	}
	if got := s.takeReadyLocked(); got != takenNothing {
		s.turns++
		return got, nil
	}
	// Taking may have sent the first of ready to behind. If the queue is full of what
	// a dispatch is about to release, that will wake us.
	if s.behind.head != nil && s.bytes < s.hub.config.QueueBytes {
		s.turns = 0
		return takenLate, nil
	}
	return takenNothing, nil
}

func (s *Stream) clearTaken() {
	clear(s.taken)
	s.taken, s.owner = s.taken[:0], nil
}

// takeReadyLocked takes what waits for the first in line, whole revisions up to
// the size of a response.
func (s *Stream) takeReadyLocked() taken {
	pos := s.hub.pos.Load()
	for w := s.ready.pop(); w != nil; w = s.ready.pop() {
		if w.state == marker {
			s.release()
			revision := max(w.next, s.startsSince)
			if s.markers--; s.markers == 0 {
				s.startsSince = 0
			}
			if s.late == 0 && revision == w.next {
				s.response = Response{events: s.response.events, WatchID: w.id, Revision: w.next}
				return takenResponse
			}
			continue
		}
		if w.first == 0 {
			if w.state == behind {
				s.behind.push(w)
			}
			continue
		}
		if s.references.nodes[w.first].event.revision() > pos {
			s.ready.pushFront(w) // a dispatch is under way and will wake us
			return takenNothing
		}
		s.owner, s.storeRevision = w, 0
		size, limit := 0, s.mergeLimit()
		for w.first != 0 {
			e := s.references.nodes[w.first].event
			if n := len(s.taken); n > 0 && e.revision() != s.taken[n-1].revision() &&
				(size+e.size() > limit || e.revision() > pos) {
				break
			}
			size += e.size()
			s.taken = append(s.taken, s.dequeueLocked(w))
		}
		w.busy = true
		s.sent += int64(len(s.taken))
		if w.first != 0 {
			s.ready.pushFront(w)
		} else if w.state == behind {
			s.behind.push(w)
		}
		return takenEvents
	}
	return takenNothing
}

func (s *Stream) mergeLimit() int { return min(maxMergedBytes, s.hub.config.FragmentBytes) - headBytes }

// assemble makes a response of whole revisions from taken, as many as fit in one.
func (s *Stream) assemble() (*Response, error) {
	w, r, limit := s.owner, &s.response, s.mergeLimit()
	r.WatchID = w.id
	sent := 0
	for sent < len(s.taken) {
		end := sent + 1
		for end < len(s.taken) && s.taken[end].revision() == s.taken[sent].revision() {
			end++
		}
		events, size := len(r.events), r.size
		for _, e := range s.taken[sent:end] {
			wire, err := s.encode(w, e)
			if err != nil {
				return nil, err
			}
			r.add(wire)
		}
		if sent > 0 && r.size > limit {
			clear(r.events[events:])
			r.events, r.size = r.events[:events], size
			break
		}
		sent = end
	}
	r.Revision = max(s.taken[sent-1].revision(), w.caught)
	if s.storeRevision != 0 {
		r.Revision = s.storeRevision
		s.hub.stretches.trim()
	}
	rest := copy(s.taken, s.taken[sent:])
	clear(s.taken[rest:])
	s.taken = s.taken[:rest]
	if w.fragment && r.Size() >= s.hub.config.FragmentBytes && len(r.events) > 1 {
		s.parts = append(s.parts[:0], r.events...)
		r.events = r.events[:0]
		return s.nextFragment(), nil
	}
	return r, nil
}

func (s *Stream) encode(w *watcher, e *event) ([]byte, error) {
	held := &s.hub.feed.encoded
	if s.storeRevision != 0 {
		held = &s.hub.stretches.encoded
	}
	// What an event replaced is not shown once the revision before is compacted, even
	// if we still have it: etcd reads it at that revision.
	if _, compacted := s.hub.history.Revisions(); w.prevKV && e.revision()-1 >= compacted {
		return e.encodedWithPrev(held, s.hub.history)
	}
	return e.encoded(held), nil
}

// shrink lets go what a burst has left, before a wait that may be long.
func (s *Stream) shrink() {
	if cap(s.taken) > keptEvents {
		s.taken = nil
	}
	if cap(s.response.events) > keptEvents {
		s.response.events = nil
	}
	if cap(s.parts) > keptEvents {
		s.parts = nil
	}
}

// nextFragment makes response the next fragment of parts: as many events as stay
// below the limit, one at least.
func (s *Stream) nextFragment() *Response {
	r := &s.response
	clear(r.events)
	r.events, r.size = r.events[:0], 0
	n := 0
	for n < len(s.parts) && (n == 0 || r.Size()+len(s.parts[n]) < s.hub.config.FragmentBytes) {
		r.add(s.parts[n])
		n++
	}
	rest := copy(s.parts, s.parts[n:])
	clear(s.parts[rest:])
	s.parts = s.parts[:rest]
	r.Fragment = rest > 0
	return r
}

// tellProgressLocked makes response the next due notification of progress, if there
// is one.
func (s *Stream) tellProgressLocked() bool {
	if len(s.notify) == 0 {
		return false
	}
	if s.timer == nil {
		s.timer = time.NewTimer(s.interval)
	}
	if !s.ticked {
		select {
		case <-s.timer.C:
			s.startTick()
		default:
			return false
		}
	}
	pos := s.hub.pos.Load()
	for s.told < len(s.notify) {
		w := s.notify[s.told]
		if w.state == closed {
			last := len(s.notify) - 1
			s.notify[s.told], s.notify[last] = s.notify[last], nil
			s.notify = s.notify[:last]
			continue
		}
		s.told++
		if w.ahead && w.next <= pos {
			w.ahead = false
			delete(s.ahead, w)
		}
		tell := !w.busy && w.state == live && w.first == 0 && !w.ahead && w.next <= pos+1
		w.busy = false
		if tell {
			s.response = Response{events: s.response.events, WatchID: w.id, Revision: pos}
			return true
		}
	}
	s.ticked = false
	return false
}

func (s *Stream) startTick() {
	s.ticked, s.told = true, 0
	s.timer.Reset(s.interval)
}

// wait returns when there may be something to take.
func (s *Stream) wait(ctx context.Context) error {
	var tick <-chan time.Time
	if s.timer != nil {
		tick = s.timer.C
	}
	select {
	case <-s.wake:
		return nil
	case <-tick:
		s.startTick()
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.done:
		return ErrClosed
	case <-s.hub.done:
		return ErrClosed
	}
}
