package v2

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"bowline/internal/wire"
)

// naive is the tree as simply as can be: a map, and all events there ever were.
type naive struct {
	nodes  map[string]Node
	index  uint64
	events []*Event
}

func newNaive() *naive { return &naive{nodes: map[string]Node{}} }

// at returns a node; the roots are always there.
func (m *naive) at(name string) (Node, bool) {
	if name == "/" || name == KeysPrefix {
		return Node{Path: name, Dir: true}, true
	}
	n, ok := m.nodes[name]
	return n, ok
}

// way tells what is wrong on the way to a node, and at it.
func (m *naive) way(name string) (code int, cause string) {
	at := ""
	parts := strings.Split(strings.Trim(name, "/"), "/")
	for i, part := range parts {
		at += "/" + part
		n, ok := m.at(at)
		switch {
		case !ok:
			return CodeNotFound, at
		case !n.Dir && i < len(parts)-1:
			return CodeNotDirectory, at
		}
	}
	return 0, ""
}

func (m *naive) below(dir string) []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(m.nodes)) {
		if strings.HasPrefix(name, dir+"/") {
			all = append(all, name)
		}
	}
	return all
}

func isTrue(b *bool) bool { return b != nil && *b }

// apply returns the events of a request, or the code and the cause of its refusal.
func (m *naive) apply(r *wire.V2Request) (events []*Event, code int, cause string) {
	name := path.Clean("/" + r.Path)
	switch {
	case r.Method == wire.V2Expire:
		return m.expire(r.Time), 0, ""
	case r.Method == wire.V2Post:
		return m.make(ActionCreate, name+fmt.Sprintf("/%020d", m.index+1), r)
	case r.Method == wire.V2Delete:
		return m.remove(name, r)
	case r.PrevExist != nil && !*r.PrevExist:
		return m.make(ActionCreate, name, r)
	case r.PrevIndex > 0 || r.PrevValue != "":
		return m.change(ActionCompareAndSwap, name, r)
	case isTrue(r.PrevExist):
		return m.change(ActionUpdate, name, r)
	}
	return m.make(ActionSet, name, r)
}

func (m *naive) tell(e *Event) []*Event {
	m.events = append(m.events, e)
	return []*Event{e}
}

func (m *naive) make(action, name string, r *wire.V2Request) ([]*Event, int, string) {
	code, cause := m.way(name)
	old, there := m.at(name)
	refresh := action == ActionSet && isTrue(r.Refresh)
	switch {
	case code == CodeNotDirectory, refresh && !there:
		return nil, code, cause
	case name == KeysPrefix:
		return nil, CodeRootReadOnly, "/"
	case there && action == ActionCreate:
		return nil, CodeExists, name
	case there && old.Dir:
		return nil, CodeNotFile, name
	}
	m.index++
	n := Node{Path: name, Dir: r.Dir, Created: m.index, Modified: m.index}
	if r.Expiration >= earliestExpiry {
		n.Expires = r.Expiration
	}
	switch {
	case n.Dir:
	case refresh:
		n.Value = old.Value
	default:
		n.Value = r.Value
	}
	for dir := path.Dir(name); dir != "/"; dir = path.Dir(dir) {
		if _, ok := m.at(dir); !ok {
			m.nodes[dir] = Node{Path: dir, Dir: true, Created: m.index, Modified: m.index}
		}
	}
	m.nodes[name] = n
	e := &Event{Action: action, Node: n, Refresh: refresh, Time: r.Time}
	if there {
		e.Prev = &old
	}
	return m.tell(e), 0, ""
}

func (m *naive) compared(n Node, r *wire.V2Request) (cause string) {
	if r.PrevValue != "" && r.PrevValue != n.Value {
		cause = fmt.Sprintf("[%s != %s]", r.PrevValue, n.Value)
	}
	if r.PrevIndex != 0 && r.PrevIndex != n.Modified {
		cause = strings.TrimSpace(cause + fmt.Sprintf(" [%d != %d]", r.PrevIndex, n.Modified))
	}
	return cause
}

func (m *naive) change(action, name string, r *wire.V2Request) ([]*Event, int, string) {
	if name == KeysPrefix {
		return nil, CodeRootReadOnly, "/"
	}
	if code, cause := m.way(name); code != 0 {
		return nil, code, cause
	}
	old, _ := m.at(name)
	if old.Dir && (action == ActionCompareAndSwap || r.Value != "") {
		return nil, CodeNotFile, name
	}
	if action == ActionCompareAndSwap {
		if cause := m.compared(old, r); cause != "" {
			return nil, CodeCompareFailed, cause
		}
	}
	m.index++
	n := old
	n.Expires = r.Expiration
	if !n.Dir {
		n.Modified = m.index
		if !isTrue(r.Refresh) {
			n.Value = r.Value
		}
	}
	m.nodes[name] = n
	n.Modified = m.index
	return m.tell(&Event{Action: action, Node: n, Prev: &old, Refresh: isTrue(r.Refresh), Time: r.Time}), 0, ""
}

func (m *naive) remove(name string, r *wire.V2Request) ([]*Event, int, string) {
	compares := r.PrevIndex > 0 || r.PrevValue != ""
	if name == KeysPrefix && !compares {
		return nil, CodeRootReadOnly, "/"
	}
	if code, cause := m.way(name); code != 0 {
		return nil, code, cause
	}
	old, _ := m.at(name)
	switch {
	case compares && old.Dir:
		return nil, CodeNotFile, name
	case compares:
		if cause := m.compared(old, r); cause != "" {
			return nil, CodeCompareFailed, cause
		}
		return m.tell(m.drop(ActionCompareAndDelete, old, r.Time)), 0, ""
	case old.Dir && !r.Recursive && !r.Dir:
		return nil, CodeNotFile, name
	case old.Dir && !r.Recursive && len(m.below(name)) > 0:
		return nil, CodeNotEmpty, name
	}
	return m.tell(m.drop(ActionDelete, old, r.Time)), 0, ""
}

func (m *naive) drop(action string, old Node, now int64) *Event {
	m.index++
	e := &Event{Action: action, Prev: &old, Time: now, gone: append(m.below(old.Path), old.Path)}
	e.Node = Node{Path: old.Path, Dir: old.Dir, Created: old.Created, Modified: m.index}
	for _, name := range e.gone {
		delete(m.nodes, name)
	}
	return e
}

func (m *naive) expire(now int64) (events []*Event) {
	for {
		var first *Node
		for _, name := range slices.Sorted(maps.Keys(m.nodes)) {
			n := m.nodes[name]
			if n.Expires != 0 && n.Expires <= now && (first == nil || n.Expires < first.Expires) {
				first = &n
			}
		}
		if first == nil {
			return events
		}
		events = append(events, m.tell(m.drop(ActionExpire, *first, now))...)
	}
}

// delivered is how often a live watcher gets an event.
func delivered(e *Event, name string, recursive, stream bool) int {
	at := e.Node.Path
	n := 0
	switch {
	case e.Refresh:
		return 0
	case at == name:
		n = 1
	case recursive && strings.HasPrefix(at, name+"/") && !strings.Contains(at[len(name):], "/_"):
		n = 1
	}
	if slices.Contains(e.gone, name) {
		n++
	}
	if !stream {
		n = min(n, 1)
	}
	return n
}
