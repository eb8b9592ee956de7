package exchange

import (
	"context"
	"fmt"

	"bowline/internal/engine"
	"bowline/internal/fsm"
	"bowline/internal/v2"
)

// treeBucket holds the records of the tree of API v2 as our engine has them. etcd leaves
// a bucket that it does not know as it is.
const treeBucket = "bowlineV2"

// writeTree writes the tree, if there ever was anything in it.
func writeTree(w *imageWriter, x *fsm.Export) error {
	used, err := v2.Used(x.Keys)
	if !used || err != nil {
		return err
	}
	b := w.bucket(treeBucket)
	if err = v2.EachRecord(x.Keys, b.put); err == nil {
		err = b.finish()
	}
	if err != nil {
		return fmt.Errorf("write the tree of API v2: %w", err)
	}
	return nil
}

// importTree writes the tree in a database, if there is one, into an engine without. inUse
// is that the database has been in use by an etcd that knows no tree.
func importTree(ctx context.Context, db *database, e *engine.Engine, inUse bool) error {
	b := v2.NewBuilder(e)
	defer b.Close()
	n := 0
	take := b.Record
	if inUse {
		take = b.Unsettled
		if err := b.Unsettled(nil, nil); err != nil {
			return err
		}
	}
	err := db.each(treeBucket, func(key, value []byte) error {
		if n++; n%progressEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if err := take(key, value); err != nil {
			return fmt.Errorf("%s: record %q of bucket %q cannot be read: %w; use another backup", db.name, cut(key), treeBucket, err)
		}
		return nil
	})
	if n == 0 && !inUse || err != nil {
		return err
	}
	if err := b.Finish(); err != nil {
		return fmt.Errorf("%s: bucket %q: %w; use another backup", db.name, treeBucket, err)
	}
	return nil
}
