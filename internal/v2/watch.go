package v2

import (
	"fmt"
	"path"
	"strings"
	"sync"

	"bowline/internal/engine"
)

// queueLen is how many events may wait for a slow stream; at the next one it is
// dropped.
const queueLen = 100

// hub is who watches, and how far the store has come for readers.
type hub struct {
	mu     sync.Mutex // guards all
	state  State
	byPath map[string]map[*Watcher]struct{}
	n      int
}

// Watcher waits for events of one path.
type Watcher struct {
	// Events delivers them. It is never closed; a watcher that was too slow gets no more.
	Events <-chan *Event
	// Index is the store's when the watcher was registered.
	Index uint64

	hub       *hub
	path      string
	recursive bool
	stream    bool
	since     uint64
	events    chan *Event
}

func (h *hub) init() { h.byPath = make(map[string]map[*Watcher]struct{}) }

func (h *hub) restart(s State) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state = s
}

func (h *hub) published() State {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.state
}

func (h *hub) watchers() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.n
}

// publish hands events to who watches for them.
func (h *hub) publish(s State, events []*Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state = s
	if h.n == 0 {
		return
	}
	for _, e := range events {
		if e.Refresh {
			continue
		}
		// As in etcd, who watches the very node that is removed hears of it twice.
		for _, name := range e.gone {
			h.notify(name, e, true)
		}
		for dir := e.Node.Path; ; dir = path.Dir(dir) {
			h.notify(dir, e, false)
			if dir == "/" {
				break
			}
		}
	}
}

// notify tells those who watch name of an event; gone is that the node was removed.
func (h *hub) notify(name string, e *Event, gone bool) {
	if len(h.byPath) == 0 {
		return
	}
	for w := range h.byPath[name] {
		if !gone && name != e.Node.Path && (!w.recursive || hidden(name, e.Node.Path)) || e.Index() < w.since {
			continue
		}
		select {
		case w.events <- e:
			if !w.stream {
				h.drop(w)
			}
		default:
			h.drop(w)
		}
	}
}

// hidden tells whether a node below dir is not for those who watch dir.
func hidden(dir, name string) bool {
	return strings.Contains(name[len(strings.TrimSuffix(dir, "/")):], "/_")
}

// drop forgets a watcher. The lock is held.
func (h *hub) drop(w *Watcher) {
	set := h.byPath[w.path]
	if _, there := set[w]; !there {
		return
	}
	delete(set, w)
	h.n--
	if len(set) == 0 {
		delete(h.byPath, w.path)
	}
}

func (h *hub) add(w *Watcher) State {
	h.mu.Lock()
	defer h.mu.Unlock()
	set := h.byPath[w.path]
	if set == nil {
		set = make(map[*Watcher]struct{})
		h.byPath[w.path] = set
	}
	set[w] = struct{}{}
	h.n++
	w.Index = h.state.index
	if w.since == 0 {
		w.since = h.state.index + 1
	}
	return h.state
}

// Close ends the watch. It may be called more than once.
func (w *Watcher) Close() {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	w.hub.drop(w)
}

// Watch begins to watch a path: for events from index since on, or from now on if it
// is 0. An event that has happened already is delivered alone, also to a stream. An
// *Error is a refusal.
func (s *Store) Watch(name string, recursive, stream bool, since uint64) (*Watcher, error) {
	room := 1
	if stream {
		room = queueLen
	}
	w := &Watcher{hub: &s.hub, path: name, recursive: recursive, stream: stream, since: since, events: make(chan *Event, room)}
	w.Events = w.events
	s.watches.Add(1)
	now := s.hub.add(w)
	if since == 0 || since > now.index {
		return w, nil
	}
	// From here on the watcher hears of what comes; whatever is older is looked for in
	// the history, and what is found there is the first.
	e, err := s.searched(w, since, now)
	if err != nil {
		w.Close()
		return nil, err
	}
	if e == nil {
		return w, nil
	}
	w.Close()
	first := make(chan *Event, 1)
	first <- e
	w.Events = first
	return w, nil
}

// searched looks for the first event for w in the history up to now.
func (s *Store) searched(w *Watcher, since uint64, now State) (*Event, error) {
	if oldest := now.oldest(); since < oldest {
		return nil, cleared(oldest, since, now.index)
	}
	it, err := s.engine.NewIter(&engine.IterOptions{LowerBound: eventKey(since), UpperBound: engine.ClassEnd(engine.ClassV2)})
	if err != nil {
		return nil, fmt.Errorf("v2: open iterator: %w", err)
	}
	defer it.Close()
	// What is searched may have been pushed out meanwhile, by changes of which the hub
	// does not know yet.
	seen, err := stateIn(it)
	if err != nil {
		return nil, err
	}
	if oldest := seen.oldest(); since < oldest {
		return nil, cleared(oldest, since, seen.index)
	}
	var found *Event
	end := string(eventKey(now.index + 1))
	for ok := it.First(); ok && found == nil && string(it.Key()) < end; ok = it.Next() {
		e, err := parseEvent(it.Value())
		if err != nil {
			return nil, err
		}
		if e.matches(w.path, w.recursive) {
			found = e
		}
	}
	return found, it.Error()
}

func cleared(oldest, since, index uint64) *Error {
	return NewError(CodeCleared, fmt.Sprintf("the requested history has been cleared [%d/%d]", oldest, since), index)
}

// matches tells whether an event is what a search for a path finds. It is wider than
// what is delivered as it happens: it finds hidden nodes, and a removed directory by
// the bare beginning of the path.
func (e *Event) matches(name string, recursive bool) bool {
	at := e.Node.Path
	switch {
	case e.Refresh:
		return false
	case at == name, recursive && below(at, name):
		return true
	}
	return (e.Action == ActionDelete || e.Action == ActionExpire) && e.Node.Dir && strings.HasPrefix(name, at)
}
