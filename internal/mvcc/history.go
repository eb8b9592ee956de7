package mvcc

import (
	"bytes"
	"context"
	"fmt"

	"bowline/internal/engine"
)

// Changes calls f, in revision order, for each change with from <= main <= to of
// a key in [key, end) (end empty: that key alone; end "\x00": every key from key
// on), with the events' bytes filled in. f returning false ends it. It returns
// ErrCompacted if from lies below the compacted revision. Cost: one record read
// for each revision, and a random read for each event.
func (s *Store) Changes(ctx context.Context, key, end []byte, from, to int64, f func(Event) bool) error {
	stop, single, empty := rangeBounds(key, end)
	if single {
		return s.changesOfKey(ctx, key, from, to, f)
	}
	it, err := newRevisionIter(s.engine, from, to)
	if err != nil {
		return err
	}
	defer it.Close()
	if from < s.compacted.Load() {
		return ErrCompacted
	}
	if empty {
		return nil
	}
	versions, err := s.engine.NewIter(engine.PointReads())
	if err != nil {
		return fmt.Errorf("mvcc: open iterator: %w", err)
	}
	defer versions.Close()
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		if n++; n%ctxCheckEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		c, err := parseChange(it.Key(), it.Value())
		if err != nil {
			return err
		}
		if len(c.key) == 0 {
			continue // made by a restore that bumped the revision; not a change of a key
		}
		if bytes.Compare(c.key, key) < 0 || stop != nil && bytes.Compare(c.key, stop) >= 0 {
			continue
		}
		c.key = bytes.Clone(c.key)
		if err := s.showPrev(versions, &c); err != nil {
			return err
		}
		var kv []byte
		if c.kind != KindDelete {
			v, ok, err := loadExact(versions, c.key, c.rev)
			if err != nil {
				return err
			}
			if !ok {
				if from < s.compacted.Load() {
					return ErrCompacted
				}
				return fmt.Errorf("mvcc: revision record %v names a version of %q that is not stored", c.rev, c.key)
			}
			kv = v.kv()
		}
		if !f(c.event(kv)) {
			return nil
		}
	}
	if err := it.Error(); err != nil {
		return fmt.Errorf("mvcc: walk revision records: %w", err)
	}
	return nil
}

// changesOfKey is Changes for one key: it reads the versions of the key, which
// are side by side, instead of everybody's revision records.
func (s *Store) changesOfKey(ctx context.Context, key []byte, from, to int64, f func(Event) bool) error {
	lower, upper := versionBounds(key, append(bytes.Clone(key), 0))
	it, err := s.engine.NewIter(&engine.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return fmt.Errorf("mvcc: open iterator: %w", err)
	}
	defer it.Close()
	if from < s.compacted.Load() {
		return ErrCompacted
	}
	var found []version // newest first
	for ok := it.SeekGE(engine.AppendVersionKey(nil, key, to, maxSub)); ok; ok = it.Next() {
		var rev Revision
		rev.Main, rev.Sub = engine.VersionRevision(it.Key())
		v, err := parseVersion(rev, bytes.Clone(it.Value()))
		if err != nil {
			return err
		}
		found = append(found, v)
		if rev.Main < from {
			break // it is what the first one asked for has replaced
		}
		if len(found)%ctxCheckEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if err := it.Error(); err != nil {
		return fmt.Errorf("mvcc: read versions of %q: %w", key, err)
	}
	key = bytes.Clone(key)
	for i := len(found) - 1; i >= 0; i-- {
		v := found[i]
		if v.rev.Main < from {
			continue
		}
		c := change{rev: v.rev, kind: v.kind, key: key}
		if c.kind != KindCreate && i+1 < len(found) {
			c.prev = found[i+1].rev
			if err := s.showPrev(it, &c); err != nil {
				return err
			}
		}
		if !f(c.event(v.kv())) {
			return nil
		}
	}
	return nil
}

// showPrev makes c.prev what watchers are told that c replaced: the version as of
// the revision before, even if the same request changed the key twice; none if
// that revision is compacted, although the version may still be stored.
func (s *Store) showPrev(it engine.Iterator, c *change) error {
	if c.rev.Main-1 < s.compacted.Load() {
		c.prev = Revision{}
		return nil
	}
	if c.prev.Main != c.rev.Main {
		return nil
	}
	before, ok, err := loadFrom(it, c.key, c.rev.Main-1)
	if c.prev = (Revision{}); err == nil && ok && before.live() {
		c.prev = before.rev
	}
	return err
}

// Version returns the encoded KeyValue of key at exactly rev, or nil if that
// version is gone or is a deletion.
func (s *Store) Version(key []byte, rev Revision) ([]byte, error) {
	it, err := s.engine.NewIter(engine.PointReads())
	if err != nil {
		return nil, fmt.Errorf("mvcc: open iterator: %w", err)
	}
	defer it.Close()
	v, ok, err := loadExact(it, key, rev)
	if err != nil || !ok || !v.live() {
		return nil, err
	}
	return v.kv(), nil
}

func loadExact(it engine.Iterator, key []byte, rev Revision) (version, bool, error) {
	var buf [128]byte
	want := engine.AppendVersionKey(buf[:0], key, rev.Main, rev.Sub)
	if !it.SeekPrefixGE(want) {
		return version{}, false, it.Error()
	}
	if !bytes.Equal(it.Key(), want) {
		return version{}, false, nil
	}
	value, err := it.ValueAndErr()
	if err != nil {
		return version{}, false, fmt.Errorf("mvcc: read %q at %v: %w", key, rev, err)
	}
	v, err := parseVersion(rev, bytes.Clone(value))
	return v, err == nil, err
}

// Newest returns the encoded KeyValue of the newest version of key, or nil if
// the key does not exist.
func (s *Store) Newest(key []byte) ([]byte, error) {
	v, ok, err := load(s.engine, key, s.current.Load())
	if err != nil || !ok || !v.live() {
		return nil, err
	}
	return v.kv(), nil
}
