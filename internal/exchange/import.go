package exchange

import (
	"context"
	"fmt"
	"math"

	"bowline/internal/engine"
	"bowline/internal/mvcc"
	"bowline/internal/wire"
)

// importOptions tell how a key space is taken over.
type importOptions struct {
	// dir is for temporary files: there must be room for as much as the database takes.
	dir string
	// bump raises the revision by so much, and marks everything below as compacted.
	bump int64
	// tree, if not nil, writes the tree of API v2, which is not in the database then.
	tree func(context.Context, *engine.Engine) error
	// inUse is that the database is that of a member whose cluster goes on.
	inUse    bool
	progress func(Progress)
}

// Progress is how far an import has come.
type Progress struct {
	// Step names what is being done. Done and Total count bytes or records of it.
	Step        string
	Done, Total int64
}

// progressEvery is after how many records progress is told, and contexts are looked at.
const progressEvery = 4096

// importKeys writes the keys of a database into an empty engine. They come by
// revision; versions are stored by key, so they are sorted, and what follows
// from them is sorted back.
func importKeys(ctx context.Context, db *database, r *records, e *engine.Engine, o importOptions) (rev int64, stats mvcc.BuildStats, err error) {
	byKey := newSorter(o.dir)
	byKey.by = userKey
	defer byKey.close()
	last, n, err := spoolVersions(ctx, db, byKey, o)
	if err != nil {
		return 0, stats, err
	}
	scheduled := max(r.Scheduled, r.Finished)
	if o.bump > 0 {
		if last > math.MaxInt64-o.bump {
			return 0, stats, fmt.Errorf("revision %d cannot be raised by %d", last, o.bump)
		}
		last += o.bump
		scheduled = last
		if err := byKey.add(recordKey(mvcc.Revision{Main: last}, mvcc.KindCreate), nil); err != nil {
			return 0, stats, err
		}
	}
	later := newSorter(o.dir)
	defer later.close()
	exists := leaseSet(r)
	b := mvcc.NewBuilder(e, scheduled, exists, later.add)
	if err := build(ctx, b, byKey, later, n, o); err != nil {
		b.Discard()
		return 0, stats, fmt.Errorf("%s: %w", db.name, err)
	}
	rev = max(1, last, scheduled)
	return rev, b.Stats(), b.Finish(rev)
}

// spoolVersions hands all records to a sorter, and returns the newest revision.
func spoolVersions(ctx context.Context, db *database, s *sorter, o importOptions) (last, n int64, err error) {
	read := int64(0)
	err = db.each("key", func(key, value []byte) error {
		rev, _, err := parseRecordKey(key)
		if err != nil {
			return fmt.Errorf("%s: a record of bucket \"key\" cannot be read: %w; use another backup", db.name, err)
		}
		last = rev.Main
		n++
		read += int64(len(key) + len(value))
		if n%progressEvery == 0 {
			o.tell("read", read, db.size())
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		return s.add(key, value)
	})
	o.tell("read", db.size(), db.size())
	return last, n, err
}

func build(ctx context.Context, b *mvcc.Builder, byKey, later *sorter, total int64, o importOptions) error {
	n := int64(0)
	err := byKey.each(func(key, value []byte) error {
		rev, deleted, err := parseRecordKey(key)
		if err != nil {
			return err
		}
		if n++; n%progressEvery == 0 {
			o.tell("write", n, total)
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		return b.Add(rev, deleted, value)
	})
	if err != nil {
		return err
	}
	if err := b.Flush(); err != nil {
		return err
	}
	byKey.close()
	n = 0
	err = later.each(func(key, value []byte) error {
		if n++; n%progressEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		return b.Put(key, value)
	})
	o.tell("write", total, total)
	return err
}

func (o *importOptions) tell(step string, done, total int64) {
	if o.progress != nil {
		o.progress(Progress{step, done, total})
	}
}

// userKey is what etcd's records are sorted by first, so that they come by user key, then
// by revision.
func userKey(_, value []byte) []byte { return wire.KeyOf(value) }

// leaseSet tells which leases there are.
func leaseSet(r *records) func(id int64) bool {
	ids := make(map[int64]struct{}, len(r.Leases))
	for _, l := range r.Leases {
		ids[l.ID] = struct{}{}
	}
	return func(id int64) bool {
		_, ok := ids[id]
		return ok
	}
}
