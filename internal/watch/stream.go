package watch

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"bowline/internal/mvcc"
)

// Reasons that a refused watch is given; the first two are etcd's texts.
const (
	reasonDuplicateID    = "mvcc: duplicate watch ID provided on the WatchStream"
	reasonEmptyRange     = "mvcc: watcher range is empty"
	reasonManyOnStream   = "etcdserver: too many watches on the stream"
	reasonManyOnMember   = "etcdserver: too many watches"
	refusedID            = -1
	progressID           = -1
	maxUnsentAnswers     = 128
	closeWatchersAtATime = 1024
)

// CreateRequest asks for a watch of [Key, End), in the wire's terms: an empty key
// is "\x00", an empty End means Key alone, "\x00" every key from Key on.
type CreateRequest struct {
	// ID is 0 for a watch whose ID the stream chooses.
	ID            int64
	Key, End      []byte
	StartRevision int64

	PrevKV         bool
	Fragment       bool
	ProgressNotify bool
	NoPut          bool
	NoDelete       bool
}

// Stream is one client's watches. Create, Cancel, Progress and Refuse are for its
// receiving goroutine, Next for its sending one; Close may be called by anybody.
type Stream struct {
	hub  *Hub
	wake chan struct{} // holds one token when there may be something for Next
	done chan struct{} // closed by Close
	// answers holds a token for each answer to a request that is not yet sent. When
	// it is full the receiver waits, and with it the client.
	answers chan struct{}
	// interval is the time between two notifications of progress.
	interval time.Duration

	mu         sync.Mutex // protects the following fields
	closed     bool
	watchers   map[int64]*watcher
	ended      map[int64]struct{} // IDs of those that compactions have ended
	nextID     int64              // the next ID to try for a watch that has none
	control    []Response
	ready      line // those for whom events wait, those who wait longest first
	behind     line // those who wait to be caught up
	references references
	bytes      int   // size of the events that wait
	pending    int   // number of the events that wait
	late       int   // number of watchers that are not live
	sent       int64 // number of events that Next has taken
	// markers counts the progress responses in line; startsSince is the highest
	// revision that a watch was to start at which came after the oldest of them.
	markers     int
	startsSince int64
	ahead       map[*watcher]struct{}
	notify      []*watcher // those who want to be told of progress

	sender // belongs to Next

	touched bool // belongs to Hub.dispatch
}

// NewStream returns a stream without watches.
func (h *Hub) NewStream() *Stream {
	s := &Stream{
		hub:      h,
		wake:     make(chan struct{}, 1),
		done:     make(chan struct{}),
		answers:  make(chan struct{}, maxUnsentAnswers),
		interval: h.config.ProgressInterval + rand.N(h.config.ProgressInterval/10+1),
		watchers: make(map[int64]*watcher),
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.streams[s] = struct{}{}
	return s
}

func (s *Stream) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// admit waits until there is room for an answer.
func (s *Stream) admit(ctx context.Context) error {
	select {
	case s.answers <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.done:
		return ErrClosed
	case <-s.hub.done:
		return ErrClosed
	}
}

// release gives back the room that admit took.
func (s *Stream) release() { <-s.answers }

// answerLocked puts r in line; it takes over the room that admit took.
func (s *Stream) answerLocked(r Response) {
	r.ticket = true
	s.control = append(s.control, r)
	s.nudge()
}

// Refuse answers a request to create a watch with reason. The stream goes on.
func (s *Stream) Refuse(ctx context.Context, reason string) error {
	if err := s.admit(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuseLocked(reason)
	return nil
}

func (s *Stream) refuseLocked(reason string) {
	current, _ := s.hub.history.Revisions()
	s.answerLocked(Response{WatchID: refusedID, Revision: current, Created: true, Canceled: true, CancelReason: reason})
}

// Create adds a watch, or refuses it; the answer comes through Next. It waits while
// many answers are unsent, and fails only when ctx ends or the stream is closed.
func (s *Stream) Create(ctx context.Context, req CreateRequest) error {
	if err := s.admit(ctx); err != nil {
		return err
	}
	w := &watcher{
		stream: s,
		id:     req.ID,
		next:   req.StartRevision,
		wishes: wishes{
			prevKV: req.PrevKV, fragment: req.Fragment, progressNotify: req.ProgressNotify,
			noPut: req.NoPut, noDelete: req.NoDelete,
		},
	}
	w.entry = entry{owner: w, key: string(req.Key), end: string(req.End)}
	if w.key == "" {
		w.key = "\x00"
	}
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		s.release()
		return ErrClosed
	}
	switch {
	case req.StartRevision < 0:
		s.refuseLocked(mvcc.ErrCompacted.Error())
	case w.end != "" && w.end != endless && w.end <= w.key:
		s.refuseLocked(reasonEmptyRange)
	case w.id != 0 && s.inUseLocked(w.id):
		s.refuseLocked(reasonDuplicateID)
	case len(s.watchers) >= h.config.MaxWatchersPerStream:
		s.refuseLocked(reasonManyOnStream)
	case h.watchers.Load() >= int64(h.config.MaxWatchers):
		s.refuseLocked(reasonManyOnMember)
	default:
		s.addLocked(w)
	}
	return nil
}

// addLocked starts w, or cancels it at once if its start is compacted. The locks
// of the hub and of the stream are held.
func (s *Stream) addLocked(w *watcher) {
	h := s.hub
	if w.id == 0 {
		for s.inUseLocked(s.nextID) {
			s.nextID++
		}
		w.id = s.nextID
		s.nextID++
	}
	if h.watchers.Add(1) == 1 {
		_, last := h.feed.bounds()
		h.pos.Store(max(last, h.pos.Load()))
	}
	current, compacted := h.history.Revisions()
	s.answerLocked(Response{WatchID: w.id, Revision: current, Created: true})
	if w.next > 0 && w.next < compacted {
		h.watchers.Add(-1)
		s.rememberEndedLocked(w.id)
		s.control = append(s.control, Response{WatchID: w.id, Canceled: true, CompactRevision: compacted})
		return
	}
	s.watchers[w.id] = w
	h.index.add(&w.entry)
	if s.markers > 0 {
		s.startsSince = max(s.startsSince, w.next)
	}
	switch {
	case w.next == 0:
		w.next = current + 1
	case w.next > h.pos.Load():
		w.ahead = true
		if s.ahead == nil {
			s.ahead = make(map[*watcher]struct{})
		}
		s.ahead[w] = struct{}{}
	}
	if w.next <= h.pos.Load() {
		s.fallBehindLocked(w, w.next)
	}
	if w.progressNotify {
		s.notify = append(s.notify, w)
	}
}

// Cancel ends the watch id; an unknown one is ignored. No event of the watch is
// sent after the answer. It waits like Create.
func (s *Stream) Cancel(ctx context.Context, id int64) error {
	if err := s.admit(ctx); err != nil {
		return err
	}
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.watchers[id]; w != nil {
		s.removeLocked(w)
	} else if s.inUseLocked(id) {
		delete(s.ended, id)
	} else {
		s.release()
		return nil
	}
	current, _ := h.history.Revisions()
	s.answerLocked(Response{WatchID: id, Revision: current, Canceled: true})
	return nil
}

// removeLocked forgets w. The locks of the hub and of the stream are held. If w
// stands in a line it is passed over there.
func (s *Stream) removeLocked(w *watcher) {
	s.dropLocked(w)
	if w.state != live {
		s.noLongerLateLocked()
	}
	w.state = closed
	delete(s.watchers, w.id)
	delete(s.ahead, w)
	s.hub.index.remove(&w.entry)
	if s.hub.watchers.Add(-1) == 0 {
		s.hub.nudge() // Publish no longer does, and somebody may wait for progress
	}
}

// Progress asks for one response that covers all watches, with the ID -1. It comes
// when what was current is on its way, and not at all if a watch is behind or is to
// start later, or if there is none. It waits like Create.
func (s *Stream) Progress(ctx context.Context) error {
	if err := s.admit(ctx); err != nil {
		return err
	}
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	current, _ := h.history.Revisions()
	pos := h.pos.Load()
	if h.watchers.Load() == 0 || pos >= current {
		s.grantProgress(pos)
	} else {
		h.awaiting = append(h.awaiting, awaited{s, current})
	}
	return nil
}

// grantProgress puts a progress response for revision pos in line behind all that
// waits at or below it, if every watch has been given that.
func (s *Stream) grantProgress(pos int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.watchers) == 0 || s.late > 0 || !s.startedLocked(pos) {
		s.release()
		return
	}
	s.markers++
	s.ready.push(&watcher{state: marker, id: progressID, next: pos})
	s.nudge()
}

// startedLocked reports whether no watch is to start above pos.
func (s *Stream) startedLocked(pos int64) bool {
	for w := range s.ahead {
		if w.ahead && w.next > pos {
			return false
		}
		w.ahead = false
		delete(s.ahead, w)
	}
	return true
}

// Close ends the stream and all its watches. It may be called more than once.
func (s *Stream) Close() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	all := make([]*watcher, 0, len(s.watchers))
	for _, w := range s.watchers {
		all = append(all, w)
	}
	s.mu.Unlock()
	close(s.done)
	for len(all) > 0 {
		n := min(len(all), closeWatchersAtATime)
		s.closeSome(all[:n])
		all = all[n:]
	}
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.streams, s)
	s.mu.Lock()
	defer s.mu.Unlock()
	h.sent += s.sent
	s.sent = 0
}

// closeSome removes watchers that nobody has removed meanwhile.
func (s *Stream) closeSome(some []*watcher) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range some {
		if w.state != closed {
			s.removeLocked(w)
		}
	}
}
