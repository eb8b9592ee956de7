package mvcc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"bowline/internal/engine"
	"bowline/internal/wire"
)

// Check walks the whole key space and compares every derived record with its
// source: versions with revision records, counts with keys, attachments with
// the leases that newest versions name. It returns the first damage found. The
// store must not be written meanwhile.
func (s *Store) Check(ctx context.Context) error {
	if err := s.checkVersions(ctx); err != nil {
		return err
	}
	if err := s.checkRevisions(ctx); err != nil {
		return err
	}
	return s.checkCounts(ctx)
}

// checkVersions compares each stored version with its revision record and, of
// the newest ones, the attachment to a lease.
func (s *Store) checkVersions(ctx context.Context) error {
	it, err := newVersionIter(s.engine, nil, nil)
	if err != nil {
		return err
	}
	defer it.Close()
	var lastKey []byte
	first := true
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		if n++; n%ctxCheckEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		key := engine.VersionUserKey(it.Key())
		main, sub := engine.VersionRevision(it.Key())
		newest := first || !bytes.Equal(key, lastKey)
		first, lastKey = false, append(lastKey[:0], key...)
		if main > s.current.Load() {
			return fmt.Errorf("mvcc: %q has a version at revision %d.%d above the current %d", key, main, sub, s.current.Load())
		}
		value := it.Value()
		if err := s.checkVersion(key, Revision{Main: main, Sub: sub}, value, newest); err != nil {
			return err
		}
	}
	return it.Error()
}

func (s *Store) checkVersion(key []byte, rev Revision, value []byte, newest bool) error {
	if len(value) == 0 {
		return fmt.Errorf("mvcc: %q at %v is empty", key, rev)
	}
	stored, err := s.engine.Get(engine.AppendRevisionKey(nil, rev.Main, rev.Sub))
	if err != nil {
		return fmt.Errorf("mvcc: %q at %v has no revision record: %w", key, rev, err)
	}
	c, err := parseChange(engine.AppendRevisionKey(nil, rev.Main, rev.Sub), stored)
	if err != nil {
		return err
	}
	kv := value[1:]
	if !bytes.Equal(c.key, key) || c.kind != Kind(value[0]) || c.size != len(kv) || c.crc != crc32.Checksum(kv, castagnoli) {
		return fmt.Errorf("mvcc: %q at %v does not match its revision record", key, rev)
	}
	parsed, err := wire.ParseKeyValue(kv)
	if err != nil {
		return err
	}
	if len(key) > 0 && !bytes.Equal(parsed.Key, key) {
		return fmt.Errorf("mvcc: the record of %q at %v names key %q", key, rev, parsed.Key)
	}
	if !newest || c.kind == KindDelete || parsed.Lease == 0 {
		return nil
	}
	if _, err := s.engine.Get(engine.Key(engine.ClassLease, binary.BigEndian.AppendUint64(nil, uint64(parsed.Lease)))); errors.Is(err, engine.ErrNotFound) {
		return nil // an import may bring keys whose lease was gone before
	}
	if _, err := s.engine.Get(appendAttachmentKey(nil, parsed.Lease, key)); err != nil {
		return fmt.Errorf("mvcc: %q names lease %x but is not attached to it: %w", key, parsed.Lease, err)
	}
	return nil
}

// checkRevisions compares each revision record with the version it names.
func (s *Store) checkRevisions(ctx context.Context) error {
	it, err := newRevisionIter(s.engine, 0, s.current.Load())
	if err != nil {
		return err
	}
	defer it.Close()
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		if n++; n%ctxCheckEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		c, err := parseChange(it.Key(), it.Value())
		if err != nil {
			return err
		}
		if _, err := s.engine.Get(engine.AppendVersionKey(nil, c.key, c.rev.Main, c.rev.Sub)); err != nil {
			return fmt.Errorf("mvcc: revision record %v names a version of %q that is not stored: %w", c.rev, c.key, err)
		}
		if !c.prev.IsZero() && !c.prev.Less(c.rev) {
			return fmt.Errorf("mvcc: revision record %v says it replaced %v", c.rev, c.prev)
		}
	}
	return it.Error()
}

func (s *Store) checkCounts(ctx context.Context) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for i, start := range s.leaves.borders {
		var end []byte
		if i+1 < len(s.leaves.borders) {
			end = s.leaves.borders[i+1]
		}
		it, err := newVersionIter(s.engine, start, end)
		if err != nil {
			return err
		}
		n := int64(0)
		err = walk(it, s.current.Load(), func(stored, _ []byte) bool {
			if len(engine.VersionUserKey(stored)) > 0 {
				n++
			}
			return true
		})
		it.Close()
		if err != nil {
			return err
		}
		if n != s.leaves.counts[i] {
			return fmt.Errorf("mvcc: the count leaf at %q holds %d keys, its record says %d", start, n, s.leaves.counts[i])
		}
	}
	stored, err := loadLeaves(s.engine)
	if err != nil {
		return err
	}
	for i := range stored.borders {
		if len(stored.borders) != len(s.leaves.borders) && s.leaves.total() > 0 ||
			!bytes.Equal(stored.borders[i], s.leaves.borders[i]) || stored.counts[i] != s.leaves.counts[i] {
			return fmt.Errorf("mvcc: the stored count record at %q differs from the one in use", stored.borders[i])
		}
	}
	return ctx.Err()
}
