package exchange

import (
	"context"
	"errors"
	"fmt"

	"bowline/internal/engine"
	"bowline/internal/fsm"
)

// Image is a database that a leader which is etcd's has sent as its state.
type Image struct {
	// File is the database, without a digest. Temporary files go to Dir.
	File, Dir string
	// Position is the entry up to which raft's message says that the state reaches.
	Position fsm.Position
	// Tree is what the message has as data: the v2 store, which names the members of
	// etcd up to 3.5.
	Tree []byte
}

// Import makes an engine of it in dir, everything being on disk.
func (i *Image) Import(ctx context.Context, dir string, with engine.Options) (err error) {
	db, err := openDatabase(i.File)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.close()) }()
	records, err := db.readRecords()
	if err != nil {
		return err
	}
	// Up to 3.4 the database says less than it holds.
	exact := records.Position.Term != 0
	if at := records.Position.Index; at > i.Position.Index || exact && at != i.Position.Index {
		return fmt.Errorf("the image holds the state up to entry %d, not %d", at, i.Position.Index)
	}
	records.Position = i.Position
	o := importOptions{dir: i.Dir, inUse: true}
	if records.StorageVersion == "" {
		tree, err := readTree(i.Tree, nil)
		if err == nil {
			records.Members, _, err = membersOf(tree)
		}
		if err != nil {
			return fmt.Errorf("the members that came with the image cannot be read: %w", err)
		}
		o.tree = func(_ context.Context, e *engine.Engine) error { return importOld(i.Tree, e) }
	}
	if len(records.Members.Members()) == 0 {
		return errors.New("the image names no members")
	}
	_, _, err = writeEngine(ctx, db, records, dir, o, with)
	return err
}
