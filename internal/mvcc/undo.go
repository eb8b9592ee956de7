package mvcc

import (
	"bytes"
	"fmt"
	"math"

	"bowline/internal/engine"
)

// undoRecords is how many revision records one batch of undoSpilled takes back.
const undoRecords = 4096

// undoSpilled takes back what a request has spilled that a crash has cut short:
// versions above the current revision, their revision records, and the
// attachments that they moved. The request is applied again from the log, and
// must find the state that it found the first time.
func (s *Store) undoSpilled() error {
	for more := true; more; {
		b := s.engine.NewBatch()
		var err error
		if more, err = s.undoPart(b); err != nil {
			b.Close()
			return err
		}
		if err := s.engine.Commit(b); err != nil {
			return err
		}
	}
	return nil
}

// undoPart adds to b what takes back some of the revision records above the
// current revision, and reports whether there may be more.
func (s *Store) undoPart(b *engine.Batch) (more bool, err error) {
	current := s.current.Load()
	it, err := newRevisionIter(s.engine, current+1, math.MaxInt64-1)
	if err != nil {
		return false, err
	}
	defer it.Close()
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		if n++; n > undoRecords {
			return true, nil
		}
		c, err := parseChange(it.Key(), it.Value())
		if err != nil {
			return false, err
		}
		c.key = bytes.Clone(c.key)
		if err := s.undo(b, &c, current); err != nil {
			return false, err
		}
	}
	if err := it.Error(); err != nil {
		return false, fmt.Errorf("mvcc: undo an unfinished request: %w", err)
	}
	return false, nil
}

func (s *Store) undo(b *engine.Batch, c *change, current int64) error {
	stored := engine.AppendVersionKey(nil, c.key, c.rev.Main, c.rev.Sub)
	if c.kind != KindDelete {
		value, err := s.engine.Get(stored)
		if err != nil {
			return fmt.Errorf("mvcc: read %q at %v: %w", c.key, c.rev, err)
		}
		v, err := parseVersion(c.rev, value)
		if err != nil {
			return err
		}
		if v.lease != 0 {
			if err := b.Delete(appendAttachmentKey(nil, v.lease, c.key), nil); err != nil {
				return err
			}
		}
	}
	was, found, err := load(s.engine, c.key, current)
	if err != nil {
		return err
	}
	if found && was.live() && was.lease != 0 {
		if err := b.Set(appendAttachmentKey(nil, was.lease, c.key), nil, nil); err != nil {
			return err
		}
	}
	if err := b.Delete(stored, nil); err != nil {
		return err
	}
	return b.Delete(engine.AppendRevisionKey(nil, c.rev.Main, c.rev.Sub), nil)
}
