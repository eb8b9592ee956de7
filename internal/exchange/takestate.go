package exchange

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"bowline/internal/engine"
	"bowline/internal/wal"

	"go.uber.org/zap"
)

// build writes the new engine, at what etcd's database holds, and a log that begins
// there and goes on with the entries that etcd had not applied.
func (t *TakeOver) build(ctx context.Context, dir string) error {
	db, err := t.openDatabase()
	if err != nil {
		return err
	}
	defer db.close()
	records, err := db.readRecords()
	if err != nil {
		return err
	}
	at := records.Position.Index
	log, err := wal.Inspect(t.logOptions(t.LogDir), at, nil)
	if err != nil {
		return err
	}
	if at > 0 && log.FirstIndex > at+1 && log.FirstIndex <= log.LastIndex {
		return fmt.Errorf("%s holds the state up to entry %d, but the log in %s begins at %d: they do not belong together",
			db.name, at, t.LogDir, log.FirstIndex)
	}
	if records.Position.Term == 0 && at > 0 {
		term, known := log.TermAt(at)
		if !known {
			return fmt.Errorf("the log in %s does not tell the term of entry %d, up to which %s holds the state", t.LogDir, at, db.name)
		}
		records.Position.Term = term
	}
	if records.StorageVersion == "" {
		if err := t.membersFromLog(records); err != nil {
			return err
		}
	}
	t.Logger.Info("taking over a data directory of etcd", zap.String("data-dir", t.DataDir), zap.Int64("bytes", db.size()),
		zap.String("storage-version", records.StorageVersion), zap.String("cluster-version", records.ClusterVersion),
		zap.Uint64("applied-index", at), zap.Uint64("last-index", log.LastIndex))
	o := importOptions{dir: dir, inUse: true, progress: t.progress()}
	if records.StorageVersion == "" {
		o.tree = func(ctx context.Context, e *engine.Engine) error { return t.importOld(ctx, records, e) }
	}
	stats, rev, err := writeEngine(ctx, db, records, filepath.Join(dir, engine.DirName), o,
		engine.Options{FS: t.FS, Logger: t.Logger.Named("engine")})
	if err != nil {
		return err
	}
	t.Logger.Info("imported the key space of etcd", zap.Int64("revision", rev), zap.Int64("keys", stats.Keys), zap.Int64("versions", stats.Versions))
	return t.writeLog(t.newLog(dir), records, &log)
}

// openDatabase opens etcd's database: the one that was received from a leader last, if
// etcd had not come to use it yet.
func (t *TakeOver) openDatabase() (*database, error) {
	db, err := openDatabase(t.member(engine.SignpostFile))
	if err != nil {
		return nil, err
	}
	var at uint64
	err = db.each("meta", func(key, value []byte) (err error) {
		if string(key) == "consistent_index" {
			at, err = parseU64(value)
		}
		return err
	})
	if err != nil {
		return nil, errors.Join(err, db.close())
	}
	log, err := wal.Scan(t.logOptions(t.LogDir), nil)
	if err != nil {
		return nil, errors.Join(err, db.close())
	}
	received := filepath.Join(t.member(snapName), fmt.Sprintf("%016x.snap.db", log.Snapshot.Index))
	if log.Snapshot.Index <= at || !t.exists(received) {
		return db, nil
	}
	if err := db.close(); err != nil {
		return nil, err
	}
	return openDatabase(received)
}

func (t *TakeOver) logOptions(dir string) wal.Options {
	return wal.Options{FS: t.FS, Dir: dir, Logger: t.Logger}
}

// writeLog writes the log of the new directory, under the name that etcd's had.
func (t *TakeOver) writeLog(dir string, r *records, old *wal.Recovered) (err error) {
	log, err := wal.Create(t.logOptions(dir), old.Metadata)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	at := r.Position
	if at.Index > 0 {
		mark := wal.Snapshot{Index: at.Index, Term: at.Term, ConfState: r.Members.ConfState()}
		if err := log.MarkSnapshot(mark); err != nil {
			return err
		}
	}
	state := old.HardState
	state.Term = max(state.Term, at.Term)
	// The database can be ahead of the commit index that the log has, never of its entries.
	state.Commit = max(state.Commit, at.Index)
	if err := log.Append(old.Entries, state); err != nil {
		return err
	}
	return log.Sync()
}

// progress logs how far an import has come, at times.
func (t *TakeOver) progress() func(Progress) {
	last := time.Now()
	return func(p Progress) {
		if time.Since(last) < progressInterval {
			return
		}
		last = time.Now()
		t.Logger.Info("importing the data of etcd", zap.String("step", p.Step), zap.Int64("done", p.Done), zap.Int64("total", p.Total))
	}
}

const progressInterval = 2 * time.Second
