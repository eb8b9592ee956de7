package fsm

import (
	"fmt"

	"bowline/internal/cluster"
	"bowline/internal/engine"
)

// At is the position of the last applied entry, and the store's revision then.
func (f *FSM) At() (Position, int64) {
	f.waiting.Add(1)
	f.mu.Lock()
	f.waiting.Add(-1)
	defer f.mu.Unlock()
	return f.position, f.store.Revision()
}

// Refound makes what e holds the first state of a new cluster with these members, and
// flushes it. Nothing else may use e.
func Refound(e *engine.Engine, members []cluster.Member, at Position) error {
	b := e.NewBatch()
	err := each(e, engine.ClassMember, func(body, _ []byte) error {
		return b.Delete(engine.Key(engine.ClassMember, body), nil)
	})
	if err != nil {
		return err
	}
	for i := range members {
		if err := putMember(b, &members[i]); err != nil {
			return err
		}
	}
	if err := set(b, metaKey(metaApplied), at.encode()); err != nil {
		return fmt.Errorf("fsm: build a batch: %w", err)
	}
	if err := e.Commit(b); err != nil {
		return err
	}
	return e.Flush()
}
