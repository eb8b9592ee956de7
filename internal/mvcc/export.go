package mvcc

import (
	"fmt"

	"bowline/internal/engine"
)

// Version is one stored version, as an exporter sees it.
type Version struct {
	Revision Revision
	Kind     Kind
	// KV is the encoded KeyValue; of a deletion only its key field. It is valid
	// only during the call.
	KV []byte
}

// EachVersion calls f for every stored version in src, in the order of keys.
func EachVersion(src engine.Reader, f func(Version) error) error {
	lower, upper := versionBounds(nil, nil)
	it, err := engine.NewScan(src, &engine.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return fmt.Errorf("mvcc: open iterator: %w", err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return fmt.Errorf("mvcc: read a version: %w", err)
		}
		if len(value) == 0 {
			return fmt.Errorf("mvcc: empty version record %x", it.Key())
		}
		v := Version{Kind: Kind(value[0]), KV: value[1:]}
		v.Revision.Main, v.Revision.Sub = engine.VersionRevision(it.Key())
		if err := f(v); err != nil {
			return err
		}
	}
	if err := it.Error(); err != nil {
		return fmt.Errorf("mvcc: walk versions: %w", err)
	}
	return nil
}

// CompactionMarks returns the scheduled and the finished compaction revision, -1
// where there is none. Writer only.
func (s *Store) CompactionMarks() (scheduled, finished int64) {
	s.compaction.mu.Lock()
	defer s.compaction.mu.Unlock()
	return s.compaction.scheduled, s.compaction.finished
}
