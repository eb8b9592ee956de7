package mvcc

import (
	"bytes"
	"fmt"
	"math"

	"bowline/internal/engine"
)

// maxSub is above every sub-revision of one request.
const maxSub = math.MaxUint32

// rangeBounds translates a request's key and range end. An end of nil means that
// there is none; single tells that only key itself is meant; empty that no key
// can match.
func rangeBounds(key, rangeEnd []byte) (end []byte, single, empty bool) {
	switch {
	case len(rangeEnd) == 0:
		return nil, true, false
	case len(rangeEnd) == 1 && rangeEnd[0] == 0:
		return nil, false, false
	default:
		return rangeEnd, false, bytes.Compare(rangeEnd, key) <= 0
	}
}

// versionBounds are the stored bounds of the versions of keys in [start, end);
// an end of nil means no end.
func versionBounds(start, end []byte) (lower, upper []byte) {
	upper = engine.ClassEnd(engine.ClassVersion)
	if end != nil {
		upper = engine.Key(engine.ClassVersion, end)
	}
	return engine.Key(engine.ClassVersion, start), upper
}

func newVersionIter(src engine.Reader, start, end []byte) (engine.Iterator, error) {
	lower, upper := versionBounds(start, end)
	it, err := src.NewIter(&engine.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return engine.Iterator{}, fmt.Errorf("mvcc: open iterator: %w", err)
	}
	return it, nil
}

// walk calls f, in key order, for the version of each live key within the
// iterator's bounds that is visible at rev. The bytes it passes are valid only
// during the call. f returning false ends the walk.
func walk(it engine.Iterator, rev int64, f func(stored, value []byte) bool) error {
	if rev < 0 {
		return nil // before the first revision there was nothing
	}
	var seek []byte
	for ok := it.First(); ok; {
		stored := it.Key()
		if main, _ := engine.VersionRevision(stored); main > rev {
			// Newer versions come first: jump to the wanted one, or to the next
			// key if this one did not exist yet.
			seek = engine.AppendVersionKey(seek[:0], engine.VersionUserKey(stored), rev, maxSub)
			ok = it.SeekGE(seek)
			continue
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return fmt.Errorf("mvcc: read a version: %w", err)
		}
		if len(value) == 0 {
			return fmt.Errorf("mvcc: empty version record %x", stored)
		}
		if Kind(value[0]) != KindDelete && !f(stored, value) {
			return nil
		}
		ok = it.NextPrefix()
	}
	if err := it.Error(); err != nil {
		return fmt.Errorf("mvcc: walk versions: %w", err)
	}
	return nil
}

// load reads the version of key that is visible at rev from src, deletions
// included. ok tells whether there is one.
func load(src engine.Reader, key []byte, rev int64) (v version, ok bool, err error) {
	it, err := src.NewIter(engine.PointReads())
	if err != nil {
		return version{}, false, fmt.Errorf("mvcc: open iterator: %w", err)
	}
	defer it.Close()
	return loadFrom(it, key, rev)
}

func loadFrom(it engine.Iterator, key []byte, rev int64) (version, bool, error) {
	var buf [128]byte
	seek := engine.AppendVersionKey(buf[:0], key, rev, maxSub)
	if !it.SeekPrefixGE(seek) {
		if err := it.Error(); err != nil {
			return version{}, false, fmt.Errorf("mvcc: look up %q: %w", key, err)
		}
		return version{}, false, nil
	}
	value, err := it.ValueAndErr()
	if err != nil {
		return version{}, false, fmt.Errorf("mvcc: look up %q: %w", key, err)
	}
	var at Revision
	at.Main, at.Sub = engine.VersionRevision(it.Key())
	v, err := parseVersion(at, bytes.Clone(value))
	return v, err == nil, err
}
