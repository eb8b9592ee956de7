package exchange

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"bowline/internal/engine"
	"bowline/internal/fsm"
	"bowline/internal/wal"

	"go.uber.org/zap"
)

// Report is what Check has found in a stopped member's directory.
type Report struct {
	// Etcd says that the directory is etcd's.
	Etcd bool
	// Log is what its log holds, and State what its engine, or database, does.
	Log   wal.Recovered
	State struct {
		Applied             fsm.Position
		Revision, Compacted int64
		Keys                int64
		Leases, Members     int
		ClusterVersion      string
	}
	// Problems are what is wrong; a member would not start, or not have all its data.
	Problems []error
}

// Check walks a stopped member's log and state, and compares what is derived with what
// it is derived from. The error says that it could not look; what is wrong is in
// the report.
func Check(ctx context.Context, dataDir, logDir string, timeout time.Duration) (r Report, err error) {
	member := filepath.Join(dataDir, engine.MemberDir)
	if logDir == "" {
		logDir = filepath.Join(member, engine.LogDirName)
	}
	if _, err := os.Stat(member); err != nil {
		return r, err
	}
	_, ours := memberOf(filepath.Join(member, engine.SignpostFile))
	r.Etcd = !ours
	found := func(err error) {
		if err != nil {
			r.Problems = append(r.Problems, err)
		}
	}
	if ours {
		err = withMember(ctx, member, timeout, zap.NewNop(), func(e *engine.Engine) error {
			found(r.checkState(ctx, e))
			return nil
		})
		found(err)
	} else {
		found(r.checkDatabase(ctx, filepath.Join(member, engine.SignpostFile)))
	}
	if err := ctx.Err(); err != nil {
		return r, err
	}
	stateRead := len(r.Problems) == 0
	r.Log, err = wal.Scan(wal.Options{Dir: logDir}, nil)
	found(err)
	if err == nil && stateRead {
		found(r.fit(logDir))
	}
	return r, nil
}

// fit tells whether the log goes on where the state ends.
func (r *Report) fit(logDir string) error {
	at := r.State.Applied
	term, known := r.Log.TermAt(at.Index)
	switch {
	case r.Log.LastIndex < at.Index:
		return &wal.BehindError{Dir: logDir, Last: r.Log.LastIndex, From: at.Index}
	case r.Log.FirstIndex > at.Index+1:
		return fmt.Errorf("the log begins at entry %d, but the state ends at %d: entries between them are lost", r.Log.FirstIndex, at.Index)
	case known && at.Term != 0 && term != at.Term:
		return fmt.Errorf("the log has entry %d of term %d, the state says that it was of term %d: they do not belong together", at.Index, term, at.Term)
	}
	return nil
}

// checkState walks our engine.
func (r *Report) checkState(ctx context.Context, e *engine.Engine) error {
	f, err := fsm.Open(fsm.Config{Engine: e})
	if err != nil {
		return err
	}
	if r.State.Applied, err = fsm.ReadApplied(e, false); err != nil {
		return err
	}
	r.State.Revision, r.State.Compacted = f.Store().Revisions()
	r.State.Keys, r.State.Leases, r.State.Members = f.Store().Keys(), f.Leases().Len(), len(f.Members().Members())
	r.State.ClusterVersion = f.ClusterVersion()
	return f.Check(ctx)
}

// checkDatabase walks etcd's database.
func (r *Report) checkDatabase(ctx context.Context, name string) error {
	status, err := ReadStatus(ctx, name, 0)
	if err != nil {
		return err
	}
	db, err := openDatabase(name)
	if err != nil {
		return err
	}
	defer db.close()
	records, err := db.readRecords()
	if err != nil {
		return err
	}
	r.State.Applied, r.State.ClusterVersion = records.Position, records.ClusterVersion
	r.State.Compacted = max(records.Scheduled, records.Finished)
	r.State.Revision, r.State.Keys = max(status.Revision, r.State.Compacted, 1), status.Keys
	r.State.Leases, r.State.Members = len(records.Leases), len(records.Members.Members())
	return nil
}
