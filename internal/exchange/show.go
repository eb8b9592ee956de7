package exchange

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"bowline/internal/engine"
	"bowline/internal/mvcc"
	"bowline/internal/wire"
)

// Selection says which records are shown. A filter leaves out all records that have
// nothing which it asks for: one by revision all but versions, say.
type Selection struct {
	// Kinds that are wanted; all if there are none.
	Kinds []Kind
	// Key, if it is not nil, is the key of the versions, entries and nodes of API v2 (in
	// which it is a path) that are wanted, or, with Prefix, what their keys begin with.
	Key    []byte
	Prefix bool
	// The first and the last main revision, and entry, that are wanted; 0 is no bound.
	FromRevision, ToRevision int64
	FromIndex, ToIndex       uint64
	// Limit is how many records are shown; 0 is no bound.
	Limit int64
	// Values asks for values.
	Values bool
}

// Wants tells whether records of a kind can be in the selection.
func (s *Selection) Wants(k Kind) bool {
	byRevision, byIndex := s.FromRevision > 0 || s.ToRevision > 0, s.FromIndex > 0 || s.ToIndex > 0
	switch {
	case len(s.Kinds) > 0 && !slices.Contains(s.Kinds, k):
		return false
	case s.Key != nil && k != KindVersion && k != KindEntry && k != KindV2:
		return false
	case byRevision && k != KindVersion, byIndex && k != KindEntry:
		return false
	}
	return true
}

// WantsState tells whether there is anything to look for outside of the log.
func (s *Selection) WantsState() bool {
	return slices.ContainsFunc(Kinds(), func(k Kind) bool { return k != KindEntry && k != KindPiece && s.Wants(k) })
}

// ErrEnough ends a walk that has shown as many records as were asked for.
var ErrEnough = errors.New("exchange: enough")

// Shower shows records, one after the other, as they are read: it holds one at a time.
type Shower struct {
	Selection
	ctx           context.Context
	out           func(Shown) error
	walked, shown int64
}

// NewShower returns one that calls out with each record. An error of out ends it.
func NewShower(ctx context.Context, s Selection, out func(Shown) error) *Shower {
	return &Shower{Selection: s, ctx: ctx, out: out}
}

// Emit shows a record.
func (s *Shower) Emit(r Shown) error {
	if s.Limit > 0 && s.shown >= s.Limit {
		return ErrEnough
	}
	s.shown++
	return s.out(r)
}

// step is called for each record that is looked at.
func (s *Shower) step() error {
	if s.walked++; s.walked%progressEvery == 0 {
		return s.ctx.Err()
	}
	return nil
}

// Member shows a stopped member's log, then its state: ours, or etcd's. logDir is where
// the log is, if not in it; the directory is waited for, if it is in use, and not changed.
func (s *Shower) Member(dataDir, logDir string, timeout time.Duration) (err error) {
	member := filepath.Join(dataDir, engine.MemberDir)
	if logDir == "" {
		logDir = filepath.Join(member, engine.LogDirName)
	}
	signpost := filepath.Join(member, engine.SignpostFile)
	_, ours := memberOf(signpost)
	lock, err := s.lock(dataDir, logDir, ours, timeout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if s.Wants(KindEntry) {
		if err := s.log(logDir); err != nil {
			return err
		}
	}
	switch {
	case !s.WantsState():
		return nil
	case ours:
		return s.engine(member)
	}
	return s.database(openDatabase(signpost))
}

// lock keeps others from a member's directory, if it is one that can be shown.
func (s *Shower) lock(dataDir, logDir string, ours bool, timeout time.Duration) (io.Closer, error) {
	member := filepath.Join(dataDir, engine.MemberDir)
	if ours {
		if err := checkFormat(member); err != nil {
			return nil, err
		}
		return lockMember(s.ctx, member, timeout)
	}
	if _, err := os.Stat(logDir); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s is neither a data directory nor an archive: there is no %s, and no ARCHIVE", dataDir, logDir)
	}
	return lockDatabase(s.ctx, filepath.Join(member, engine.SignpostFile), timeout)
}

// checkFormat refuses the directory of a version that is not known.
func checkFormat(member string) error {
	name := filepath.Join(member, engine.FormatFile)
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	text := make([]byte, 64)
	n, err := io.ReadFull(f, text)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return err
	}
	version := 0
	if _, err := fmt.Sscanf(string(text[:n]), engine.FormatPrefix+"%d\n", &version); err != nil || version < 1 {
		return fmt.Errorf("%s is damaged at offset 0: it holds %q; restore the file, or the member from a snapshot", name, text[:n])
	}
	if version > engine.FormatVersion {
		return fmt.Errorf("%s was written by a newer version (format %d, this one knows up to %d); use that version's etcdutl", member, version, engine.FormatVersion)
	}
	return nil
}

// lockDatabase keeps an etcd from starting on a database, and waits until none uses it.
// Without a database there is nothing to lock.
func lockDatabase(ctx context.Context, name string, timeout time.Duration) (io.Closer, error) {
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return io.NopCloser(nil), nil
	}
	if err != nil {
		return nil, err
	}
	_, err = waitForLock(ctx, name, timeout, func() (io.Closer, error) {
		return f, syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	})
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Snapshot shows a snapshot file, or the database of a stopped member.
func (s *Shower) Snapshot(name string, timeout time.Duration) (err error) {
	if dir, ours := memberOf(name); ours {
		state := *s
		state.Kinds = slices.DeleteFunc(Kinds(), func(k Kind) bool { return k == KindEntry || !s.Wants(k) })
		if len(state.Kinds) == 0 {
			return nil
		}
		return state.Member(filepath.Dir(dir), "", timeout)
	}
	lock, err := lockDatabase(s.ctx, name, timeout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	return s.database(openDatabase(name))
}

// SnapshotFile shows an open snapshot file, which it closes.
func (s *Shower) SnapshotFile(name string, f *os.File) error {
	return s.database(loadDatabase(name, f))
}

// version shows a version, if it is wanted.
func (s *Shower) version(at mvcc.Revision, change string, record []byte) error {
	if s.FromRevision > 0 && at.Main < s.FromRevision || s.ToRevision > 0 && at.Main > s.ToRevision {
		return nil
	}
	kv, err := wire.ParseKeyValue(record)
	if err != nil {
		return err
	}
	if !s.wantsKey(kv.Key) {
		return nil
	}
	v := ShownVersion{Kind: KindVersion, Key: kv.Key, Revision: at.Main, Sub: at.Sub, Change: change}
	if change != changeDeleted {
		if change == "" && kv.Version <= 1 {
			v.Change = changeCreated
		} else if change == "" {
			v.Change = changeUpdated
		}
		v.Create, v.Version, v.Lease, v.Size = kv.Create, kv.Version, kv.Lease, len(kv.Value)
		if s.Values {
			v.Value, v.values = kv.Value, true
		}
	}
	return s.Emit(v)
}
