package exchange

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"bowline/internal/cluster"
	"bowline/internal/engine"
	"bowline/internal/fsm"
	"bowline/internal/mvcc"
	"bowline/internal/wal"

	"go.uber.org/zap"
)

// RestoreOptions say what becomes of a snapshot.
type RestoreOptions struct {
	// Source is the snapshot file. With SkipDigest it need not have one, or not the
	// right one.
	Source     string
	SkipDigest bool
	// DataDir must be empty, or not exist. LogDir, if it is not to be below it, must
	// not exist.
	DataDir, LogDir string
	// Name is which of Members, the new cluster, the directory is for.
	Name    string
	Members []cluster.Member
	// Bump raises the revision, and marks what is below as compacted.
	Bump int64
	// Replay, if there is one, is given the snapshot's state, as its own cluster had it,
	// and may apply entries to it. It does not go with Bump.
	Replay   func(context.Context, *engine.Engine) error
	Progress func(Progress)
	// Timeout is how long a member's directory that is in use is waited for; 0 is for ever.
	Timeout time.Duration
	Logger  *zap.Logger
}

// Restored tells what a restore has made.
type Restored struct {
	MemberID, ClusterID uint64
	Revision            int64
	Versions, Keys      int64
}

// CheckTarget refuses directories that hold anything already, in etcd's words.
func (o *RestoreOptions) CheckTarget() error {
	names, err := os.ReadDir(o.DataDir)
	names = slices.DeleteFunc(names, func(d os.DirEntry) bool { return d.Name() == engine.RestoringDir })
	if err != nil && !errors.Is(err, os.ErrNotExist) || len(names) > 0 {
		return fmt.Errorf("data-dir %q not empty or could not be read", o.DataDir)
	}
	if o.LogDir == "" {
		return nil
	}
	if _, err := os.Stat(o.LogDir); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("wal-dir %q exists", o.LogDir)
	}
	return nil
}

// Restore makes a data directory of a snapshot. The directory member appears in it at
// the end, when everything in it is on disk; until then there is only
// member.restoring, which no server starts on. After an error nothing is left.
func Restore(ctx context.Context, o RestoreOptions) (r Restored, err error) {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if err := o.CheckTarget(); err != nil {
		return r, err
	}
	if r.MemberID, r.ClusterID, err = identify(o.Members, o.Name); err != nil {
		return r, err
	}
	source, err := openSource(ctx, &o)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, source.close()) }()
	_, statErr := os.Stat(o.DataDir)
	temporary := filepath.Join(o.DataDir, engine.RestoringDir)
	defer func() {
		if err == nil {
			return
		}
		err = errors.Join(err, os.RemoveAll(temporary))
		if errors.Is(statErr, os.ErrNotExist) {
			// Only if nothing else has come into it.
			_ = os.Remove(o.DataDir)
		}
	}()
	if err := errors.Join(os.RemoveAll(temporary), os.MkdirAll(temporary, 0o700)); err != nil {
		return r, err
	}
	if err := o.build(ctx, source, temporary, &r); err != nil {
		return r, err
	}
	return r, o.publish(temporary, r)
}

// identify computes the IDs of the new cluster.
func identify(members []cluster.Member, name string) (memberID, clusterID uint64, err error) {
	slices.SortFunc(members, func(a, b cluster.Member) int { return cmp.Compare(a.ID, b.ID) })
	ids := make([]uint64, len(members))
	for i := range members {
		if ids[i] = members[i].ID; i > 0 && ids[i] == ids[i-1] {
			return 0, 0, fmt.Errorf("member exists with identical ID %x", ids[i])
		}
		if members[i].Name == name {
			memberID = ids[i]
		}
	}
	if memberID == 0 {
		return 0, 0, fmt.Errorf("couldn't find local name %q in the initial cluster configuration", name)
	}
	return memberID, cluster.ID(ids), nil
}

// openSource opens the snapshot, verified as far as it can be.
func openSource(ctx context.Context, o *RestoreOptions) (*database, error) {
	if member, ok := memberOf(o.Source); ok {
		if !o.SkipDigest {
			return nil, ErrNoDigest
		}
		return exportMember(ctx, member, o.Timeout, o.Logger)
	}
	if !o.SkipDigest {
		if err := checkDigest(ctx, o.Source, o.Progress); err != nil {
			return nil, err
		}
	}
	return openDatabase(o.Source)
}

// build makes the member's directory, but for the log, in dir.
func (o *RestoreOptions) build(ctx context.Context, db *database, dir string, r *Restored) error {
	records, err := db.readRecords()
	if err != nil {
		return err
	}
	first := fsm.Position{Index: uint64(len(o.Members)), Term: 1}
	if o.Replay == nil {
		records.Members, records.Position = cluster.NewView(o.Members, nil), first
	}
	stats, rev, err := writeEngine(ctx, db, records, filepath.Join(dir, engine.DirName), importOptions{
		dir: dir, bump: o.Bump, progress: o.Progress,
	}, engine.Options{Logger: o.Logger.Named("engine")})
	if err != nil {
		return err
	}
	r.Revision, r.Versions, r.Keys = rev, stats.Versions, stats.Keys
	if o.Replay != nil {
		if err := o.replay(ctx, filepath.Join(dir, engine.DirName), first, r); err != nil {
			return err
		}
	}
	return writeLayout(dir)
}

// replay has the snapshot's state brought further, and makes it that of the new cluster.
func (o *RestoreOptions) replay(ctx context.Context, dir string, first fsm.Position, r *Restored) (err error) {
	e, err := engine.Open(dir, engine.Options{Logger: o.Logger.Named("engine"), OnFatal: func(error) {}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	if err := o.Replay(ctx, e); err != nil {
		return err
	}
	if err := fsm.Refound(e, o.Members, first); err != nil {
		return err
	}
	f, err := fsm.Open(fsm.Config{Engine: e})
	if err != nil {
		return err
	}
	r.Revision, r.Keys = f.Store().Revision(), int64(f.Store().Keys())
	return f.Check(ctx)
}

// writeEngine makes an engine of a database and closes it, everything being on disk.
func writeEngine(ctx context.Context, db *database, records *records, dir string, o importOptions, with engine.Options) (stats mvcc.BuildStats, rev int64, err error) {
	with.OnFatal = func(error) {} // whoever writes is told, too
	e, err := engine.Open(dir, with)
	if err != nil {
		return stats, 0, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	if rev, stats, err = importKeys(ctx, db, records, e, o); err != nil {
		return stats, 0, err
	}
	if o.tree == nil {
		err = importTree(ctx, db, e, o.inUse)
	} else {
		err = o.tree(ctx, e)
	}
	if err != nil {
		return stats, 0, err
	}
	return stats, rev, fsm.Import(e, &records.Records)
}

// writeLayout writes the small files of a member's directory.
func writeLayout(dir string) error {
	signpost := filepath.Join(dir, engine.SignpostFile)
	if err := os.MkdirAll(filepath.Dir(signpost), 0o700); err != nil {
		return err
	}
	return errors.Join(
		writeSynced(signpost, engine.Signpost),
		writeSynced(filepath.Join(dir, engine.FormatFile), fmt.Sprintf("%s%d\n", engine.FormatPrefix, engine.FormatVersion)),
		syncDir(filepath.Dir(signpost)), syncDir(dir))
}

// publish writes the log and gives the directory its name. The log comes first if it
// is elsewhere: a member's directory without its log would be taken for a start
// that has not come to its end.
func (o *RestoreOptions) publish(temporary string, r Restored) error {
	logDir := o.LogDir
	if logDir == "" {
		logDir = filepath.Join(temporary, engine.LogDirName)
	}
	entries, err := cluster.FirstEntries(o.Members)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(logDir), 0o700); err != nil {
		return err
	}
	state := wal.HardState{Term: 1, Vote: o.Members[0].ID, Commit: uint64(len(entries))}
	log, err := wal.CreateWith(wal.Options{Dir: logDir, Logger: o.Logger}, wal.Metadata{NodeID: r.MemberID, ClusterID: r.ClusterID}, entries, state)
	if err != nil {
		return err
	}
	err = log.Close()
	if err == nil {
		err = syncDir(temporary)
	}
	if err == nil {
		err = os.Rename(temporary, filepath.Join(o.DataDir, engine.MemberDir))
	}
	if err == nil {
		err = errors.Join(syncDir(o.DataDir), syncDir(filepath.Dir(filepath.Clean(o.DataDir))))
	}
	if err != nil && o.LogDir != "" {
		err = errors.Join(err, os.RemoveAll(o.LogDir))
	}
	return err
}

func writeSynced(name, content string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
