package v2

import (
	"errors"
	"fmt"
	"path"

	"bowline/internal/engine"
)

// Check walks the tree and compares what is derived from it with it: every node's
// parent is a directory, each expiry is that of a node and each node with one has it,
// the history is what it should be, and so is what is remembered. Nothing may be applied meanwhile.
func (s *Store) Check() error {
	it, err := s.engine.NewIter(&engine.IterOptions{
		LowerBound: engine.ClassStart(engine.ClassV2), UpperBound: engine.ClassEnd(engine.ClassV2),
	})
	if err != nil {
		return fmt.Errorf("v2: open iterator: %w", err)
	}
	defer it.Close()
	expiries, expiring := 0, 0
	for ok := it.First(); ok; ok = it.Next() {
		body := engine.Body(it.Key())
		if len(body) == 0 {
			return fmt.Errorf("v2: a record without a kind")
		}
		switch body[0] {
		case kindExpiry:
			expiries++
			err = s.checkExpiry(body)
		case kindNode:
			expiring, err = s.checkNode(body, it.Value(), expiring)
		case kindEvent:
			err = s.checkEvent(it.Key(), it.Value())
		case kindState:
			err = s.checkState(it.Value())
		default:
			err = fmt.Errorf("v2: a record of unknown kind %q", body[0])
		}
		if err != nil {
			return err
		}
	}
	if expiries != expiring {
		return fmt.Errorf("v2: %d nodes expire, but %d expiries are stored", expiring, expiries)
	}
	if fresh, err := Load(s.engine); err != nil || fresh != s.state {
		return fmt.Errorf("v2: what was kept in memory is not what is stored: %w", errors.Join(err, errDamaged))
	}
	if err := it.Error(); err != nil {
		return err
	}
	return s.recent.check(func(name string) (*Node, error) { return get(s.engine.Get, name) })
}

func (s *Store) checkExpiry(body []byte) error {
	at, name, err := parseExpiry(body)
	if err != nil {
		return err
	}
	n, err := get(s.engine.Get, name)
	if err != nil {
		return err
	}
	if n == nil || n.Expires != at {
		return fmt.Errorf("v2: an expiry at %d is stored for %q, which does not expire then", at, name)
	}
	return nil
}

func (s *Store) checkNode(body, value []byte, expiring int) (int, error) {
	name, err := parsePath(body[1:])
	if err != nil {
		return expiring, err
	}
	n := &Node{Path: name}
	if err := n.parse(value); err != nil {
		return expiring, err
	}
	if n.Expires != 0 {
		expiring++
	}
	if n.Modified > s.state.index || n.Created > n.Modified {
		return expiring, fmt.Errorf("v2: %q was created at %d and modified at %d, the store is at %d", name, n.Created, n.Modified, s.state.index)
	}
	if path.Dir(name) == "/" {
		return expiring, nil
	}
	parent, err := get(s.engine.Get, path.Dir(name))
	if err != nil {
		return expiring, err
	}
	if parent == nil || !parent.Dir {
		return expiring, fmt.Errorf("v2: %q is in no directory", name)
	}
	return expiring, nil
}

func (s *Store) checkEvent(key, value []byte) error {
	e, err := parseEvent(value)
	if err != nil {
		return err
	}
	from := max(s.state.first, keptFrom(s.state.index))
	if string(key) != string(eventKey(e.Index())) || e.Index() > s.state.index || e.Index() < from {
		return fmt.Errorf("v2: the event at %d does not belong into the history of %d to %d", e.Index(), from, s.state.index)
	}
	return nil
}

func (s *Store) checkState(value []byte) error {
	stored := State{guarded: s.state.guarded}
	if err := stored.parse(value); err != nil {
		return err
	}
	if stored != s.state {
		return fmt.Errorf("v2: the index in use is %d, the one stored is %d, or their counters differ", s.state.index, stored.index)
	}
	return nil
}
