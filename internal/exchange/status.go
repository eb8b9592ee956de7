package exchange

import (
	"bytes"
	"context"
	"errors"
	"hash/crc32"
	"maps"
	"slices"
	"time"

	"bowline/internal/mvcc"
	"bowline/internal/wire"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Status describes a snapshot file.
type Status struct {
	// Hash is a CRC-32C over all names of buckets, keys and values.
	Hash uint32
	// Revision is that of the newest record, and Keys the number of live keys.
	Revision, Keys int64
	// Size is that of the database, without the digest.
	Size int64
	// Version is the storage version, empty up to 3.5.
	Version string
}

// ReadStatus reads a whole snapshot file, and with that verifies its structure. The
// file may also be the database of a stopped member, etcd's or ours.
func ReadStatus(ctx context.Context, name string, timeout time.Duration) (s Status, err error) {
	db, err := openAny(ctx, name, timeout)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, db.close()) }()
	s.Size = db.size()
	keys := newSorter("")
	defer keys.close()
	n := 0
	for _, bucket := range slices.Sorted(maps.Keys(db.buckets)) {
		s.Hash = crc32.Update(s.Hash, castagnoli, []byte(bucket))
		err := db.each(bucket, func(key, value []byte) error {
			s.Hash = crc32.Update(crc32.Update(s.Hash, castagnoli, key), castagnoli, value)
			if n++; n%progressEvery == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			switch {
			case bucket == "meta" && string(key) == "storageVersion":
				s.Version = string(value)
			case bucket == "key":
				rev, deleted, err := parseRecordKey(key)
				if err != nil {
					return err
				}
				s.Revision = rev.Main
				return keys.add(versionSortKey(wire.KeyOf(value), key), deletion(deleted))
			}
			return nil
		})
		if err != nil {
			return s, err
		}
	}
	s.Keys, err = countLive(keys)
	return s, err
}

// versionSortKey is a key that sorts by a user's key, then by a record's.
func versionSortKey(userKey, record []byte) []byte {
	b := make([]byte, 0, len(userKey)+len(record)+2)
	for _, c := range userKey {
		if b = append(b, c); c == 0 {
			b = append(b, 0xff) // so that the end sorts below
		}
	}
	return append(append(b, 0, 0), record[:17]...)
}

// revisionSuffix is how long what follows the user's key is.
const revisionSuffix = 2 + 17

func deletion(deleted bool) []byte {
	if deleted {
		return []byte{1}
	}
	return nil
}

// countLive counts the keys whose newest record is not a deletion.
func countLive(keys *sorter) (live int64, err error) {
	err = newestOfEach(keys, func(_ []byte, deleted bool) error {
		if !deleted {
			live++
		}
		return nil
	})
	return live, err
}

// newestOfEach calls f with the newest record of each key: the record's key and
// whether it is a deletion.
func newestOfEach(s *sorter, f func(record []byte, deleted bool) error) error {
	var last []byte
	var lastDeleted bool
	end := func() error {
		if last == nil {
			return nil
		}
		return f(last[len(last)-17:], lastDeleted)
	}
	err := s.each(func(key, value []byte) error {
		if last != nil && !bytes.Equal(last[:len(last)-revisionSuffix], key[:len(key)-revisionSuffix]) {
			if err := end(); err != nil {
				return err
			}
		}
		last, lastDeleted = append(last[:0], key...), len(value) > 0
		return nil
	})
	if err != nil {
		return err
	}
	return end()
}

// ReadHash computes etcd's hash of the key space in a snapshot file at a revision, 0
// meaning the newest.
func ReadHash(ctx context.Context, name string, rev int64, timeout time.Duration) (h mvcc.Hash, err error) {
	db, err := openAny(ctx, name, timeout)
	if err != nil {
		return h, err
	}
	defer func() { err = errors.Join(err, db.close()) }()
	r, err := db.readRecords()
	if err != nil {
		return h, err
	}
	keys, kept := newSorter(""), newSorter("")
	defer keys.close()
	defer kept.close()
	h.Compacted = max(r.Scheduled, r.Finished)
	current := max(1, h.Compacted)
	n := 0
	err = db.each("key", func(key, value []byte) error {
		at, deleted, err := parseRecordKey(key)
		if err != nil {
			return err
		}
		if n++; n%progressEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		current = max(current, at.Main)
		if rev > 0 && at.Main > rev {
			return nil
		}
		return keys.add(versionSortKey(wire.KeyOf(value), key), deletion(deleted))
	})
	switch {
	case err != nil:
		return h, err
	case rev > current:
		return h, mvcc.ErrFutureRevision
	case rev > 0 && rev < h.Compacted:
		return h, mvcc.ErrCompacted
	case rev == 0:
		rev = current
	}
	h.Revision = rev
	live := false
	err = newestOfEach(keys, func(record []byte, deleted bool) error {
		if deleted {
			return nil
		}
		live = true
		return kept.add(record, nil)
	})
	if err != nil {
		return h, err
	}
	h.Sum, err = db.hash(kept, live, h)
	return h, err
}

// hash runs over all records once more, beside the list of those that are kept.
func (db *database) hash(kept *sorter, live bool, h mvcc.Hash) (uint32, error) {
	next, stop := pull(kept)
	defer stop()
	keep, err := next()
	if err != nil {
		return 0, err
	}
	sum := crc32.Checksum([]byte("key"), castagnoli)
	err = db.each("key", func(key, value []byte) error {
		at, deleted, err := parseRecordKey(key)
		if err != nil || at.Main > h.Revision {
			return err
		}
		isKept := keep != nil && bytes.Equal(keep, key[:17])
		if isKept {
			if keep, err = next(); err != nil {
				return err
			}
		}
		if at.Main <= h.Compacted && live && !isKept || at.Main == h.Compacted && deleted {
			return nil
		}
		sum = crc32.Update(crc32.Update(sum, castagnoli, key), castagnoli, value)
		return nil
	})
	return sum, err
}
