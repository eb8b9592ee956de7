package v2

import (
	"bowline/internal/engine"
	"bowline/internal/wire"
)

// Alone tells whether a request must be the only one of its batch: it walks the engine,
// which does not have what the batch's other requests have changed.
func Alone(req *wire.V2Request) bool {
	return req.Method == wire.V2Expire || req.Method == wire.V2Delete && (req.Dir || req.Recursive)
}

// Seal adds the events, the index and the counters to a batch, once all its requests are
// applied. The engine finds the places of ascending keys quickly.
func (s *Store) Seal(b *engine.Batch) error {
	if !s.unsealed {
		return nil
	}
	s.unsealed = false
	for _, e := range s.told {
		if e.Index() < keptFrom(s.state.index) {
			continue // the batch itself has pushed it out
		}
		s.scratch = appendEventKey(s.scratch[:0], e.Index())
		key := len(s.scratch)
		s.scratch = e.append(s.scratch)
		if err := b.Set(s.scratch[:key], s.scratch[key:], nil); err != nil {
			return err
		}
	}
	clear(s.told) // for their memory
	s.told = s.told[:0]
	s.scratch = s.state.append(s.scratch[:0])
	return b.Set(stateKey(), s.scratch, nil)
}

// node finds a node for the writer: as the batch has left it, or else as it is in the
// engine; nil if there is none. It must not be modified.
func (s *Store) node(name string) (*Node, error) {
	if n, changed := s.changed[name]; changed {
		return n, nil
	}
	return s.Get(name)
}

// manyChanged is for how many nodes the writer keeps room.
const manyChanged = 1024

// keepChanged remembers nodes once the batch that has changed them is in the engine.
func (s *Store) keepChanged() {
	if len(s.changed) == 0 {
		return
	}
	s.recent.take(s.changed)
	if len(s.changed) > manyChanged {
		s.changed = make(map[string]*Node)
	}
	clear(s.changed)
}
