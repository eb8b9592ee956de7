package v2

import (
	"errors"
	"fmt"

	"bowline/internal/engine"
)

// EachRecord calls f with the body and value of every record of the tree in src, in
// order. The bytes are valid only during the call.
func EachRecord(src engine.Reader, f func(body, value []byte) error) error {
	it, err := engine.NewScan(src, &engine.IterOptions{LowerBound: engine.ClassStart(engine.ClassV2), UpperBound: engine.ClassEnd(engine.ClassV2)})
	if err != nil {
		return fmt.Errorf("v2: open iterator: %w", err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return fmt.Errorf("v2: read a record: %w", err)
		}
		if err := f(engine.Body(it.Key()), value); err != nil {
			return err
		}
	}
	if err := it.Error(); err != nil {
		return fmt.Errorf("v2: walk the tree: %w", err)
	}
	return nil
}

// errEnough ends a walk.
var errEnough = errors.New("v2: enough")

// Used tells whether clients have put anything into the tree in src, as far as its
// records still tell: in a tree that was not used there is its index at most.
func Used(src engine.Reader) (bool, error) {
	err := EachRecord(src, func(body, _ []byte) error {
		if len(body) > 0 && body[0] != kindState {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return true, nil
	}
	return false, err
}

// buildBatch is how much a Builder commits at a time.
const buildBatch = 4 << 20

// Builder fills an engine that holds no tree with one that was written elsewhere:
// either with its records, or with nodes, events and a state. Close it in any case.
type Builder struct {
	engine *engine.Engine
	batch  *engine.Batch
}

// NewBuilder returns a Builder for e.
func NewBuilder(e *engine.Engine) *Builder { return &Builder{engine: e, batch: e.NewBatch()} }

// Close gives up what was not finished.
func (b *Builder) Close() {
	if b.batch != nil {
		_ = b.batch.Close()
		b.batch = nil
	}
}

// Record takes a record as EachRecord gives it.
func (b *Builder) Record(body, value []byte) error {
	if err := checkRecord(body, value); err != nil {
		return err
	}
	return b.set(engine.Key(engine.ClassV2, body), value)
}

// Unsettled is Record for a tree that goes on in members which know no tree: what its
// index, and its history, have missed is not known. With nothing at all it is an empty
// tree. See Settle.
func (b *Builder) Unsettled(body, value []byte) error {
	if len(body) == 0 {
		return b.State(0, 0, [counters]uint64{})
	}
	switch body[0] {
	case kindEvent:
		return checkRecord(body, value)
	case kindState:
		var s State
		if err := s.parse(value); err != nil {
			return err
		}
		return b.State(s.index, 0, s.counts)
	}
	return b.Record(body, value)
}

// checkRecord tells whether a record can be read at all.
func checkRecord(body, value []byte) (err error) {
	if len(body) == 0 {
		return fmt.Errorf("%w without a kind", errDamaged)
	}
	switch body[0] {
	case kindExpiry:
		_, _, err = parseExpiry(body)
	case kindEvent:
		_, err = parseEvent(value)
	case kindNode:
		if _, err = parsePath(body[1:]); err == nil {
			err = new(Node).parse(value)
		}
	case kindState:
		err = new(State).parse(value)
	default:
		err = fmt.Errorf("%w of unknown kind %q", errDamaged, body[0])
	}
	return err
}

// Node takes a node with a clean path.
func (b *Builder) Node(n *Node) error {
	if n.Expires != 0 {
		if err := b.set(expiryKey(n.Expires, n.Path), nil); err != nil {
			return err
		}
	}
	return b.set(nodeKey(n.Path), n.append(nil))
}

// Event takes an event of the history.
func (b *Builder) Event(e *Event) error { return b.set(eventKey(e.Index()), e.append(nil)) }

// State takes the index of the last change, the oldest one that may be asked for, and
// the counters.
func (b *Builder) State(index, first uint64, counts [counters]uint64) error {
	s := State{index: index, first: first, counts: counts}
	return b.set(stateKey(), s.encode())
}

func (b *Builder) set(key, value []byte) error {
	if err := b.batch.Set(key, value, nil); err != nil {
		return err
	}
	if b.batch.Len() < buildBatch {
		return nil
	}
	return b.commit()
}

func (b *Builder) commit() error {
	full := b.batch
	b.batch = nil
	if err := b.engine.Commit(full); err != nil {
		return err
	}
	b.batch = b.engine.NewBatch()
	return nil
}

// Finish writes what is left, and checks that all of it makes a tree.
func (b *Builder) Finish() error {
	if err := b.commit(); err != nil {
		return err
	}
	st, err := Load(b.engine)
	if err != nil {
		return err
	}
	return New(b.engine, st).Check()
}
