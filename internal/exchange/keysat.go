package exchange

import (
	"bytes"
	"context"
	"errors"
	"time"

	"bowline/internal/mvcc"
	"bowline/internal/wire"
)

// EachKeyAt calls f, in the order of keys, with the encoded KeyValue of each key that
// lives at a revision, 0 meaning the newest, in a snapshot file or the database of a
// stopped member. A record is valid during the call only.
func EachKeyAt(ctx context.Context, name string, rev int64, timeout time.Duration, f func(record []byte) error) (err error) {
	db, err := openAny(ctx, name, timeout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.close()) }()
	r, err := db.readRecords()
	if err != nil {
		return err
	}
	sorted := newSorter("")
	sorted.by = userKey
	defer sorted.close()
	current, n := max(1, r.Scheduled, r.Finished), 0
	err = db.each("key", func(key, value []byte) error {
		at, _, err := parseRecordKey(key)
		if err != nil {
			return err
		}
		if n++; n%progressEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if current = max(current, at.Main); rev > 0 && at.Main > rev {
			return nil
		}
		return sorted.add(key, value)
	})
	switch {
	case err != nil:
		return err
	case rev > current:
		return mvcc.ErrFutureRevision
	case rev > 0 && rev < max(r.Scheduled, r.Finished):
		return mvcc.ErrCompacted
	}
	return lastOfEach(sorted, f)
}

// lastOfEach calls f with the newest record of each key that is no deletion.
func lastOfEach(sorted *sorter, f func(record []byte) error) error {
	var last, lastKey []byte
	end := func() error {
		if len(lastKey) == 0 || lastKey[len(lastKey)-1] == 't' && len(lastKey) == 18 {
			return nil
		}
		return f(last)
	}
	err := sorted.each(func(key, value []byte) error {
		if !bytes.Equal(wire.KeyOf(last), wire.KeyOf(value)) {
			if err := end(); err != nil {
				return err
			}
		}
		last, lastKey = append(last[:0], value...), append(lastKey[:0], key...)
		return nil
	})
	if err != nil {
		return err
	}
	return end()
}
