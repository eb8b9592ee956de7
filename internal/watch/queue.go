package watch

import "bowline/internal/mvcc"

type state uint8

const (
	live state = iota
	behind
	catching
	closed
	// marker is not a watcher but a manual progress response that waits in line:
	// what lies at or below its next has been taken when its turn comes.
	marker
)

// watcher is one watch. Its fields are protected by its stream's lock, except
// entry, which is protected by the hub's, and those that never change: stream,
// id and the wishes.
type watcher struct {
	entry
	stream *Stream
	id     int64
	// next is the lowest revision that the watcher may still be given.
	next int64
	// caught is how far the watcher was last caught up, which its responses tell from then
	// on, as etcd's do. It belongs to Next.
	caught int64
	// after is the next in the line that the watcher stands in.
	after *watcher
	// first and last are the nodes of what waits for the watcher; 0 is nothing.
	first, last int32
	state       state
	// queued tells that the watcher stands in a line: in ready while something waits
	// for it, in behind when it has to catch up.
	queued bool
	// busy tells that events were sent since the last tick of progress.
	busy bool
	// ahead tells that next is a start revision which the hub had not reached.
	ahead bool

	wishes
}

// wishes are what the client asked of a watch.
type wishes struct {
	prevKV, fragment, progressNotify, noPut, noDelete bool
}

func (w *watcher) filters(e *event) bool {
	if e.change.Kind == mvcc.KindDelete {
		return w.noDelete
	}
	return w.noPut
}

// line is a queue of watchers.
type line struct{ head, tail *watcher }

func (l *line) push(w *watcher) {
	w.queued = true
	if l.tail == nil {
		l.head = w
	} else {
		l.tail.after = w
	}
	l.tail = w
}

func (l *line) pushFront(w *watcher) {
	w.queued = true
	w.after = l.head
	l.head = w
	if l.tail == nil {
		l.tail = w
	}
}

func (l *line) pop() *watcher {
	w := l.head
	if w == nil {
		return nil
	}
	l.head = w.after
	if l.head == nil {
		l.tail = nil
	}
	w.after = nil
	w.queued = false
	return w
}

// prepend puts front before l.
func (l *line) prepend(front line) {
	if front.head == nil {
		return
	}
	front.tail.after = l.head
	l.head = front.head
	if l.tail == nil {
		l.tail = front.tail
	}
}

// references are the events that wait on a stream, as chains of nodes, one for
// each watcher, all in one slice. Node 0 is not used.
type references struct {
	nodes []reference
	free  int32
	// peak is the most that waited at once since last nothing did.
	peak int
}

type reference struct {
	event *event
	next  int32
}

// An empty slice of nodes is kept if it is small, or if a good part of it was just
// needed and it is not huge.
const (
	smallNodes = 256
	hugeNodes  = 16 << 10
)

// emptied is called when nothing waits.
func (r *references) emptied() {
	n := len(r.nodes)
	if n > hugeNodes || n > smallNodes && r.peak < n/4 {
		*r = references{}
	}
	r.peak = 0
}

func (r *references) get(e *event) int32 {
	if n := r.free; n != 0 {
		r.free = r.nodes[n].next
		r.nodes[n] = reference{event: e}
		return n
	}
	if len(r.nodes) == 0 {
		r.nodes = append(r.nodes, reference{})
	}
	r.nodes = append(r.nodes, reference{event: e})
	return int32(len(r.nodes) - 1)
}

func (r *references) put(n int32) (next int32) {
	next = r.nodes[n].next
	r.nodes[n] = reference{next: r.free}
	r.free = n
	return next
}

// enqueueLocked lets e wait for w, which takes its place at the end of l unless it
// stands in line already.
func (s *Stream) enqueueLocked(w *watcher, e *event, l *line) {
	n := s.references.get(e)
	if w.last == 0 {
		w.first = n
	} else {
		s.references.nodes[w.last].next = n
	}
	w.last = n
	s.bytes += e.size()
	s.pending++
	s.references.peak = max(s.references.peak, s.pending)
	if !w.queued {
		l.push(w)
	}
}

// dequeueLocked takes the first event that waits for w.
func (s *Stream) dequeueLocked(w *watcher) *event {
	e := s.references.nodes[w.first].event
	w.first = s.references.put(w.first)
	if w.first == 0 {
		w.last = 0
	}
	s.bytes -= e.size()
	s.pending--
	if s.pending == 0 {
		s.references.emptied()
	}
	return e
}

// dropLocked takes back all that waits for w.
func (s *Stream) dropLocked(w *watcher) {
	for w.first != 0 {
		s.dequeueLocked(w)
	}
}

// dropRevisionLocked takes back the events of revision rev, the last ones.
func (s *Stream) dropRevisionLocked(w *watcher, rev int64) {
	last, n := int32(0), w.first
	for n != 0 && s.references.nodes[n].event.revision() < rev {
		last, n = n, s.references.nodes[n].next
	}
	if n == 0 {
		return
	}
	tail := watcher{first: n, last: w.last}
	w.last = last
	if last == 0 {
		w.first = 0
	} else {
		s.references.nodes[last].next = 0
	}
	s.dropLocked(&tail)
}

// dropBelowLocked takes back what waits for those who are owed something older than
// first: they fall behind to where that was.
func (s *Stream) dropBelowLocked(first int64) {
	for w := s.ready.head; w != nil; w = w.after {
		if w.state == marker || w.first == 0 {
			continue
		}
		oldest := s.references.nodes[w.first].event.revision()
		if oldest >= first {
			continue
		}
		s.dropLocked(w)
		if w.state == live {
			s.fallBehindLocked(w, oldest)
		} else {
			w.next = oldest
		}
	}
}

// fallBehindLocked makes a live watcher one that has to catch up from next. What
// waits for it is sent first.
func (s *Stream) fallBehindLocked(w *watcher, next int64) {
	w.state = behind
	w.next = next
	w.ahead = false
	s.late++
	s.hub.late.Add(1)
	if !w.queued {
		s.behind.push(w)
	}
}

// noLongerLateLocked is called when a watcher is live again or closed.
func (s *Stream) noLongerLateLocked() {
	s.late--
	if s.hub.late.Add(-1) == 0 {
		s.hub.stretches.forget()
	}
}
