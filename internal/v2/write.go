package v2

import (
	"fmt"

	"bowline/internal/engine"
)

// advance takes the next index for a change.
func (t *txn) advance() {
	t.s.state.index++
	t.index = t.s.state.index
}

// tell records a change, which has the index that was taken last.
func (t *txn) tell(e *Event) error {
	e.Time = t.req.Time
	t.r.Events = append(t.r.Events, e)
	t.s.told = append(t.s.told, e)
	return t.s.forget(t.b)
}

// store writes a node in the place of old, which may be nil.
func (t *txn) store(old, n *Node) error {
	if old != nil && old.Expires != 0 && old.Expires != n.Expires {
		if err := t.b.Delete(expiryKey(old.Expires, old.Path), nil); err != nil {
			return err
		}
	}
	if n.Expires != 0 && (old == nil || old.Expires != n.Expires) {
		t.s.horizon.meet(n.Expires)
		if err := t.b.Set(expiryKey(n.Expires, n.Path), nil, nil); err != nil {
			return err
		}
	}
	if old != nil {
		t.erased(old)
	}
	t.s.changed[n.Path] = n
	key, value := t.stored(n)
	return t.b.Set(key, value, nil)
}

// erase removes one node's records.
func (t *txn) erase(n *Node) error {
	if t.gone != nil {
		t.gone[n.Path] = true
	}
	if n.Expires != 0 {
		if err := t.b.Delete(expiryKey(n.Expires, n.Path), nil); err != nil {
			return err
		}
	}
	t.s.changed[n.Path] = nil
	t.erased(n)
	return t.b.Delete(nodeKey(n.Path), nil)
}

// each calls f with every node below a directory, but for those that the same request
// has removed before, until f wants no more.
func (t *txn) each(dir string, f func(*Node) (more bool, err error)) error {
	from, to := belowKeys(dir)
	it, err := t.s.engine.NewIter(&engine.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return fmt.Errorf("v2: open iterator: %w", err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		name, err := parsePath(engine.Body(it.Key())[1:])
		if err != nil {
			return err
		}
		if t.gone[name] {
			continue
		}
		n := &Node{Path: name}
		if err := n.parse(it.Value()); err != nil {
			return err
		}
		if more, err := f(n); !more || err != nil {
			return err
		}
	}
	return it.Error()
}
