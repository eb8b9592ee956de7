package v2

import (
	"errors"
	"fmt"

	"bowline/internal/engine"
)

// Reading is an open read of a node as it is at one moment. Close it.
type Reading struct {
	// Index is the store's.
	Index     uint64
	node      *Node
	it        engine.Iterator
	now       int64
	recursive bool
}

// Read begins to read a node, with what is below it: one level of a directory, or all
// of it. An *Error is a refusal. now is the clock by which ttls are shown.
func (s *Store) Read(name string, recursive bool, now int64) (*Reading, error) {
	n, err := s.Get(name)
	if n != nil && !n.Dir && err == nil {
		// A file needs no view of anything else; the index is at least its own.
		s.getsOK.Add(1)
		return &Reading{Index: max(s.Index(), n.Modified), node: n, now: now}, nil
	}
	it, err := s.engine.NewIter(&engine.IterOptions{
		LowerBound: engine.ClassStart(engine.ClassV2), UpperBound: engine.ClassEnd(engine.ClassV2),
	})
	if err != nil {
		return nil, fmt.Errorf("v2: open iterator: %w", err)
	}
	r, err := open(it, name, now)
	if err != nil {
		s.getsFailed.Add(1)
		it.Close()
		return nil, err
	}
	s.getsOK.Add(1)
	r.recursive = recursive
	return r, nil
}

func open(it engine.Iterator, name string, now int64) (*Reading, error) {
	st, err := stateIn(it)
	if err != nil {
		return nil, err
	}
	node := func(name string) (*Node, error) { return get(find(it), name) }
	n, err := node(name)
	if err != nil {
		return nil, err
	}
	if n == nil {
		refusal, err := missing(node, name, st.index)
		if err != nil {
			return nil, err
		}
		return nil, refusal
	}
	return &Reading{Index: st.index, node: n, it: it, now: now}, nil
}

// stateIn is the state as an iterator sees it.
func stateIn(it engine.Iterator) (State, error) {
	st := State{first: 1}
	v, err := find(it)(stateKey())
	switch {
	case errors.Is(err, engine.ErrNotFound):
		return st, nil
	case err != nil:
		return st, fmt.Errorf("v2: read the store's index: %w", err)
	}
	return st, st.parse(v)
}

// Node is the node itself.
func (r *Reading) Node() *Node { return r.node }

// Close ends the read.
func (r *Reading) Close() error {
	if r.it.IsZero() {
		return nil
	}
	return r.it.Close()
}

// getHead begins the answer of a get.
const getHead = `{"action":"get","node":`

// Write has write take the answer of a get, piece by piece.
func (r *Reading) Write(write func([]byte) error) error {
	const piece = 32 << 10
	if !r.node.Dir {
		b := append(make([]byte, 0, r.node.roomJSON()), getHead...)
		b = r.node.appendJSON(b, r.now, true)
		return write(append(b, '}', '\n'))
	}
	l := listing{r: r, b: []byte(getHead)}
	l.b = r.node.openJSON(l.b, r.now, true)
	l.open = []*Node{r.node}
	l.listed = []bool{false}
	err := r.Each(func(n *Node) error {
		l.add(n)
		if len(l.b) < piece {
			return nil
		}
		err := write(l.b)
		l.b = l.b[:0]
		return err
	})
	if err != nil {
		return err
	}
	l.closeTo(0)
	return write(append(l.b, '}', '\n'))
}

// Each calls f with every node below the one that is read, in order, without those
// that are hidden.
func (r *Reading) Each(f func(*Node) error) error {
	if !r.node.Dir {
		return nil
	}
	from, to := belowKeys(r.node.Path)
	bound := string(to)
	for ok := r.it.SeekGE(from); ok && string(r.it.Key()) < bound; {
		name, err := parsePath(engine.Body(r.it.Key())[1:])
		if err != nil {
			return err
		}
		n := &Node{Path: name}
		if err := n.parse(r.it.Value()); err != nil {
			return err
		}
		if visible(name) {
			if err := f(n); err != nil {
				return err
			}
		}
		if n.Dir && (!r.recursive || !visible(name)) {
			_, behind := belowKeys(name)
			ok = r.it.SeekGE(behind)
		} else {
			ok = r.it.Next()
		}
	}
	if err := r.it.Error(); err != nil {
		return fmt.Errorf("v2: read nodes: %w", err)
	}
	return nil
}

// listing writes nodes that come in order, each before what is below it.
type listing struct {
	r *Reading
	b []byte
	// open are the directories that are not closed yet, listed whether their nodes have
	// begun.
	open   []*Node
	listed []bool
}

func (l *listing) add(n *Node) {
	depth := len(l.open)
	for depth > 1 && !below(n.Path, l.open[depth-1].Path) {
		depth--
	}
	l.closeTo(depth)
	if last := depth - 1; l.listed[last] {
		l.b = append(l.b, ',')
	} else {
		l.b = append(l.b, `"nodes":[`...)
		l.listed[last] = true
	}
	l.b = n.openJSON(l.b, l.r.now, true)
	l.open, l.listed = append(l.open, n), append(l.listed, false)
}

// closeTo closes all but the outer ones.
func (l *listing) closeTo(depth int) {
	for i := len(l.open) - 1; i >= depth; i-- {
		if l.listed[i] {
			l.b = append(l.b, ']', ',')
		}
		l.b = l.open[i].closeJSON(l.b)
	}
	l.open, l.listed = l.open[:depth], l.listed[:depth]
}

// below tells whether a path leads below a directory.
func below(name, dir string) bool {
	return dir == "/" || len(name) > len(dir) && name[len(dir)] == '/' && name[:len(dir)] == dir
}
