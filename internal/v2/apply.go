package v2

import (
	"fmt"
	"path"
	"strings"

	"bowline/internal/engine"
	"bowline/internal/wire"
)

// earliestExpiry is what an expiration before it, which comes from numbers that wrap,
// is taken for none at: the year 2000.
const earliestExpiry = 946684800e9

// Result is what one request came to.
type Result struct {
	// Events are the changes, in order; none if the request was refused.
	Events []*Event
	// Refusal is the same on every member.
	Refusal *Error
}

// txn is one request being applied.
type txn struct {
	s     *Store
	b     *engine.Batch
	req   *wire.V2Request
	index uint64 // of the change, if it is one
	r     Result
	// gone are the nodes that an expiry has removed: they are still in the engine.
	gone map[string]bool
}

// Apply applies a request of clients' (or an expiry) to a batch, which is to be sealed.
// One that is to be Alone gets a batch that holds nothing of the store yet. An error is a
// fault of this member.
func (s *Store) Apply(b *engine.Batch, req *wire.V2Request) (Result, error) {
	t := &txn{s: s, b: b, req: req}
	name := req.Path
	if !strings.HasPrefix(name, "/") {
		name = "/" + name
	}
	name = path.Clean(name)
	var err error
	switch req.Method {
	case wire.V2Put:
		err = t.put(name)
	case wire.V2Post:
		err = t.create(name, true)
	case wire.V2Delete:
		err = t.remove(name)
	case wire.V2Expire:
		err = t.expire()
	case wire.V2Read:
		// A read changes nothing; whoever asked reads when it is applied.
		return t.r, nil
	}
	s.unsealed = true
	return t.r, err
}

// Settle gives a tree that came from members which know none an index that is the same
// on all members: each of them may have begun to count at another entry of the log, but
// all see their clients' first request at the same one, at. It is to be called before
// each request that changes something.
func (s *Store) Settle(at uint64) {
	if s.state.first != 0 {
		return
	}
	s.state.index += at
	s.state.first = s.state.index + 1
	s.deltas.restart(s.state.index)
}

// Count lets changes of members pass through the index, which counts those, too. They
// have no nodes here and nobody can watch them.
func (s *Store) Count(b *engine.Batch, changes ...Counter) error {
	if s.state.first == 0 {
		return nil
	}
	for _, c := range changes {
		s.state.index++
		s.state.counts[c]++
		if err := s.forget(b); err != nil {
			return err
		}
	}
	s.unsealed = true
	return nil
}

// forget removes the events that the present index has pushed out of the history: many at
// once, since a batch and the engine take as long for them as for one.
func (s *Store) forget(b *engine.Batch) error {
	from, to := keptFrom(s.state.index-1), keptFrom(s.state.index)
	if from == to {
		return nil
	}
	return b.DeleteRange(eventKey(from), eventKey(to), nil)
}

// Publish makes what was applied known, once it is in the engine: all events of the
// batch, in order.
func (s *Store) Publish(events []*Event) {
	s.keepChanged()
	s.horizon.stored()
	for _, e := range events {
		if e.Node.Path == EnabledPath {
			s.state.guarded = !removes(e.Action) && e.Node.Value == enabledValue
			s.guarded.Store(s.state.guarded)
		}
	}
	s.hub.publish(s.state, events)
}

func (t *txn) count(c Counter) { t.s.state.counts[c]++ }

// refuse ends the request.
func (t *txn) refuse(counted Counter, code int, cause string) error {
	t.count(counted)
	t.r.Refusal = NewError(code, strings.TrimPrefix(cause, KeysPrefix), t.s.state.index)
	return nil
}

// maxDirs bounds the directories that are remembered.
const maxDirs = 4096

// isDir tells whether there is such a directory. Those that were asked for are
// remembered until a directory is removed; nothing else ends one.
func (t *txn) isDir(name string) (bool, error) {
	s := t.s
	if s.dirs[name] {
		return true, nil
	}
	n, err := s.node(name)
	if n == nil || !n.Dir || err != nil {
		return false, err
	}
	if len(s.dirs) >= maxDirs {
		clear(s.dirs)
	}
	s.dirs[name] = true
	return true, nil
}

// missing is missing for a node that is not there.
func (t *txn) missing(name string) (*Error, error) {
	if there, err := t.isDir(path.Dir(name)); there || err != nil {
		return NewError(CodeNotFound, name, t.s.state.index), err
	}
	return missing(t.s.node, name, t.s.state.index)
}

// lookup returns the node, or nil and the request refused.
func (t *txn) lookup(name string, counted Counter) (*Node, error) {
	n, err := t.s.node(name)
	if n != nil || err != nil {
		return n, err
	}
	why, err := t.missing(name)
	if err != nil {
		return nil, err
	}
	return nil, t.refuse(counted, why.Code, why.Cause)
}

func protected(name string) bool { return name == "/" || name == "/0" || name == KeysPrefix }

func (t *txn) refresh() bool { return t.req.Refresh != nil && *t.req.Refresh }

func (t *txn) put(name string) error {
	compares := t.req.PrevIndex > 0 || t.req.PrevValue != ""
	switch {
	case t.req.PrevExist != nil && !*t.req.PrevExist:
		return t.create(name, false)
	case compares:
		return t.swap(name)
	case t.req.PrevExist != nil:
		return t.update(name)
	}
	return t.set(name)
}

// set creates a node, or replaces a file.
func (t *txn) set(name string) error {
	old, err := t.s.node(name)
	if err != nil {
		return err
	}
	if old == nil {
		why, err := t.missing(name)
		if err != nil {
			return err
		}
		if why.Code != CodeNotFound || t.refresh() {
			return t.refuse(SetsFailed, why.Code, why.Cause)
		}
	}
	value := t.req.Value
	switch {
	case protected(name):
		return t.refuse(SetsFailed, CodeRootReadOnly, "/")
	case old != nil && old.Dir:
		return t.refuse(SetsFailed, CodeNotFile, name)
	case t.refresh():
		value = old.Value
	}
	t.count(SetsOK)
	return t.make(ActionSet, name, value, old)
}

// create makes a node that is not there yet; with inOrder one below name, named after
// the index.
func (t *txn) create(name string, inOrder bool) error {
	if inOrder {
		name = path.Join(name, fmt.Sprintf("%020d", t.s.state.index+1))
	}
	if protected(name) {
		return t.refuse(CreatesFailed, CodeRootReadOnly, "/")
	}
	old, err := t.s.node(name)
	if err != nil {
		return err
	}
	if old != nil {
		return t.refuse(CreatesFailed, CodeExists, name)
	}
	why, err := t.missing(name)
	if err != nil {
		return err
	}
	if why.Code != CodeNotFound {
		t.count(SetsFailed)
		return t.refuse(CreatesFailed, why.Code, why.Cause)
	}
	t.count(CreatesOK)
	return t.make(ActionCreate, name, t.req.Value, nil)
}

// make writes a new node in the place of old, which may be nil, and the directories
// on the way to it.
func (t *txn) make(action, name, value string, old *Node) error {
	t.advance()
	n := &Node{Path: name, Dir: t.req.Dir, Created: t.index, Modified: t.index}
	if t.req.Expiration >= earliestExpiry {
		n.Expires = t.req.Expiration
	}
	if !n.Dir {
		n.Value = value
	}
	if old == nil {
		if err := t.makeParents(name); err != nil {
			return err
		}
	}
	if err := t.store(old, n); err != nil {
		return err
	}
	return t.tell(&Event{Action: action, Node: *n, Prev: old, Refresh: action == ActionSet && t.refresh()})
}

func (t *txn) makeParents(name string) error {
	for dir := path.Dir(name); dir != "/"; dir = path.Dir(dir) {
		there, err := t.isDir(dir)
		if there || err != nil {
			return err
		}
		if err := t.store(nil, &Node{Path: dir, Dir: true, Created: t.index, Modified: t.index}); err != nil {
			return err
		}
	}
	return nil
}

// update changes a node that is there.
func (t *txn) update(name string) error {
	if protected(name) {
		return t.refuse(UpdatesOK, CodeRootReadOnly, "/")
	}
	old, err := t.lookup(name, UpdatesFailed)
	if old == nil {
		return err
	}
	if old.Dir && t.req.Value != "" {
		return t.refuse(UpdatesOK, CodeNotFile, name)
	}
	t.count(UpdatesOK)
	return t.change(ActionUpdate, old)
}

// swap is update under conditions, for files.
func (t *txn) swap(name string) error {
	if protected(name) {
		return t.refuse(SwapsOK, CodeRootReadOnly, "/")
	}
	old, err := t.lookup(name, SwapsFailed)
	if old == nil {
		return err
	}
	if old.Dir {
		return t.refuse(SwapsFailed, CodeNotFile, name)
	}
	if cause := t.differs(old); cause != "" {
		return t.refuse(SwapsFailed, CodeCompareFailed, cause)
	}
	t.count(SwapsOK)
	return t.change(ActionCompareAndSwap, old)
}

// differs tells what of a file is not as the request wants it.
func (t *txn) differs(n *Node) string {
	var causes []string
	if t.req.PrevValue != "" && t.req.PrevValue != n.Value {
		causes = append(causes, fmt.Sprintf("[%s != %s]", t.req.PrevValue, n.Value))
	}
	if t.req.PrevIndex != 0 && t.req.PrevIndex != n.Modified {
		causes = append(causes, fmt.Sprintf("[%d != %d]", t.req.PrevIndex, n.Modified))
	}
	return strings.Join(causes, " ")
}

// change gives a node the request's value and expiration. Of a directory the index
// stays as it was, though the answer shows the new one.
func (t *txn) change(action string, old *Node) error {
	t.advance()
	n := *old
	n.Expires = t.req.Expiration
	if !n.Dir {
		n.Modified = t.index
		if !t.refresh() {
			n.Value = t.req.Value
		}
	}
	if err := t.store(old, &n); err != nil {
		return err
	}
	e := &Event{Action: action, Node: n, Prev: old, Refresh: t.refresh()}
	e.Node.Modified = t.index
	return t.tell(e)
}

// remove deletes a node, under conditions if the request has any.
func (t *txn) remove(name string) error {
	if t.req.PrevIndex > 0 || t.req.PrevValue != "" {
		return t.removeCompared(name)
	}
	if protected(name) {
		return t.refuse(DeletesOK, CodeRootReadOnly, "/")
	}
	old, err := t.lookup(name, DeletesFailed)
	if old == nil {
		return err
	}
	if old.Dir && !t.req.Recursive {
		if !t.req.Dir {
			return t.refuse(DeletesFailed, CodeNotFile, name)
		}
		empty := true
		err := t.each(name, func(*Node) (more bool, err error) {
			empty = false
			return false, nil
		})
		if err != nil {
			return err
		}
		if !empty {
			return t.refuse(DeletesFailed, CodeNotEmpty, name)
		}
	}
	t.count(DeletesOK)
	return t.drop(ActionDelete, old)
}

func (t *txn) removeCompared(name string) error {
	old, err := t.lookup(name, ComparedDeletesFailed)
	if old == nil {
		return err
	}
	if old.Dir {
		return t.refuse(ComparedDeletesOK, CodeNotFile, name)
	}
	if cause := t.differs(old); cause != "" {
		return t.refuse(ComparedDeletesOK, CodeCompareFailed, cause)
	}
	t.count(ComparedDeletesOK)
	return t.drop(ActionCompareAndDelete, old)
}

// drop removes a node with all that is below it.
func (t *txn) drop(action string, old *Node) error {
	t.advance()
	gone := []string{old.Path}
	if old.Dir {
		clear(t.s.dirs)
		err := t.each(old.Path, func(n *Node) (more bool, err error) {
			gone = append(gone, n.Path)
			return true, t.erase(n)
		})
		if err != nil {
			return err
		}
	}
	if err := t.erase(old); err != nil {
		return err
	}
	n := Node{Path: old.Path, Dir: old.Dir, Created: old.Created, Modified: t.index}
	return t.tell(&Event{Action: action, Node: n, Prev: old, gone: gone})
}
