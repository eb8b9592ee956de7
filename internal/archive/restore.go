package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"bowline/internal/engine"
	"bowline/internal/exchange"
	"bowline/internal/fsm"
	"bowline/internal/mvcc"

	"go.etcd.io/raft/v3/raftpb"
)

// Restored tells what a restore has made.
type Restored struct {
	exchange.Restored
	// Moment is the last one that is known of what was restored.
	Moment     Moment
	Checkpoint string
	Pieces     int
}

// Restore builds a data directory of a moment. Source of the options is set here, and
// SkipDigest and Bump must not be. After an error nothing is left.
func Restore(ctx context.Context, s Store, t Target, o exchange.RestoreOptions) (r Restored, err error) {
	id, p, err := makePlan(ctx, s, t)
	if err != nil {
		return r, err
	}
	if err := o.CheckTarget(); err != nil {
		return r, err
	}
	dir, err := os.MkdirTemp("", temporaryPrefix)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if o.Source, err = fetchCheckpoint(ctx, s, id, p.checkpoint, dir); err != nil {
		return r, err
	}
	y := replay{store: s, id: id, plan: p, at: p.checkpoint.moment, progress: o.Progress}
	o.Replay = y.run
	r.Restored, err = exchange.Restore(ctx, o)
	r.Moment, r.Checkpoint, r.Pieces = y.at, p.checkpoint.name, y.pieces
	return r, err
}

// fetchCheckpoint makes a snapshot file of a checkpoint.
func fetchCheckpoint(ctx context.Context, s Store, id Identity, c piece, dir string) (name string, err error) {
	p, done, err := openPiece(ctx, s, id, c)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, done()) }()
	name = filepath.Join(dir, "snapshot.db")
	f, err := os.Create(name)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for {
		chunk, err := p.next()
		if errors.Is(err, io.EOF) {
			return name, nil
		}
		if err == nil {
			_, err = f.Write(chunk)
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return "", err
		}
	}
}

func openPiece(ctx context.Context, s Store, id Identity, want piece) (*pieceReader, func() error, error) {
	f, err := s.Open(ctx, want.name)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", s, err)
	}
	p, err := readPiece(want.name, exchange.ReaderUntil(ctx, f))
	if err == nil && p.header.ClusterID != id.ClusterID {
		err = &DamageError{want.name, int64(len(magic)), fmt.Sprintf("it is of cluster %x, the archive of %x", p.header.ClusterID, id.ClusterID)}
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return p, f.Close, nil
}

// replay applies the log behind a checkpoint.
type replay struct {
	store    Store
	id       Identity
	plan     plan
	at       Moment
	pieces   int
	progress func(exchange.Progress)

	fsm *fsm.FSM
}

// agreed stands for raft: the members will be others anyway.
type agreed struct{}

func (agreed) ApplyConfChange(uint64, raftpb.ConfChangeI) *raftpb.ConfState { return nil }
func (agreed) RefuseConfChange(uint64) *raftpb.ConfState                    { return nil }

// run brings the engine of the checkpoint to the target.
func (y *replay) run(ctx context.Context, e *engine.Engine) (err error) {
	y.fsm, err = fsm.Open(fsm.Config{
		Engine: e, MinLeaseTTL: y.id.MinLeaseTTL,
		Deliver: func(uint64, fsm.Result) {}, Publish: func(int64, []mvcc.Event, bool) {},
		LeaseGranted: func(int64, int64) {}, LeaseRevoked: func(int64) {}, EmptyEntry: func(uint64) {}, Fatal: func(error) {},
	})
	if err != nil {
		return err
	}
	if at, rev := y.fsm.At(); at.Index != y.plan.checkpoint.last || rev != y.at.Revision {
		return fmt.Errorf("%s holds the state of entry %d at revision %d", y.plan.checkpoint.name, at.Index, rev)
	}
	for _, l := range y.plan.logs {
		if err := y.piece(ctx, l); err != nil {
			return err
		}
		y.pieces++
		if y.progress != nil {
			y.progress(exchange.Progress{Step: "replay", Done: int64(y.pieces), Total: int64(len(y.plan.logs))})
		}
	}
	_, rev := y.fsm.At()
	if want := y.plan.target.Revision; want != 0 && rev != want {
		return fmt.Errorf("%w: the pieces up to %s end with revision %d", ErrNotArchived, y.last(), rev)
	}
	return nil
}

func (y *replay) last() string {
	if len(y.plan.logs) == 0 {
		return y.plan.checkpoint.name
	}
	return y.plan.logs[len(y.plan.logs)-1].name
}

func (y *replay) piece(ctx context.Context, l piece) (err error) {
	p, done, err := openPiece(ctx, y.store, y.id, l)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	limit := y.limit(p.header.Moments)
	err = readLog(p, func(entries []*raftpb.Entry) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return y.apply(entries, limit)
	})
	if err != nil {
		return err
	}
	return y.compare(p)
}

// limit is the last entry that is wanted, as far as the time tells.
func (y *replay) limit(moments []Moment) uint64 {
	t := y.plan.target.Time
	if t.IsZero() {
		return ^uint64(0)
	}
	for _, m := range moments {
		if m.Time.After(t) {
			break
		}
		y.at = m
	}
	if len(moments) > 0 && !moments[len(moments)-1].Time.After(t) {
		return ^uint64(0)
	}
	return y.at.Index
}

// apply applies entries up to an index, or to the revision that is wanted: an entry makes
// one at most, so that as many may be applied at once as revisions are wanting.
func (y *replay) apply(entries []*raftpb.Entry, limit uint64) error {
	for len(entries) > 0 {
		at, rev := y.fsm.At()
		n := len(entries)
		if want := y.plan.target.Revision; want != 0 {
			n = int(min(int64(n), want-rev))
		}
		for n > 0 && entries[n-1].GetIndex() > limit {
			n--
		}
		if n <= 0 {
			return nil
		}
		if entries[0].GetIndex() > at.Index+1 {
			return fmt.Errorf("entry %d follows entry %d", entries[0].GetIndex(), at.Index)
		}
		if err := y.fsm.Apply(entries[:n], agreed{}); err != nil {
			return err
		}
		entries = entries[n:]
	}
	return nil
}

// compare holds a piece to what its header says of revisions.
func (y *replay) compare(p *pieceReader) error {
	at, rev := y.fsm.At()
	for _, m := range p.header.Moments {
		if m.Index == at.Index && m.Revision != rev {
			return &DamageError{p.name, int64(len(magic)), fmt.Sprintf("after entry %d the revision should be %d and is %d", m.Index, m.Revision, rev)}
		}
	}
	if y.plan.target.Time.IsZero() {
		y.at.Index, y.at.Revision = at.Index, rev
		for _, m := range p.header.Moments {
			if y.at.Time = m.Time; m.Index >= at.Index {
				break
			}
		}
	}
	return nil
}

// Verified is what an archive can restore.
type Verified struct {
	Identity Identity
	Spans    []Span
	Pieces   int
}

// Span is a stretch without a gap.
type Span struct{ From, To Moment }

// Verify restores what every checkpoint and the log behind it lead to, into a directory
// that is removed, and so proves that each moment in the spans can be restored.
func Verify(ctx context.Context, s Store, o exchange.RestoreOptions) (v Verified, err error) {
	if v.Identity, err = readIdentity(ctx, s); err != nil {
		return v, fmt.Errorf("%s: %s: %w", s, identityName, err)
	}
	names, err := s.List(ctx)
	if err != nil {
		return v, err
	}
	c := parseNames(names)
	if len(c.checkpoints) == 0 {
		return v, fmt.Errorf("%s: there is no checkpoint", s)
	}
	for i, p := range c.checkpoints {
		until := Target{}
		y := plan{checkpoint: p, target: until}
		y.logs, y.missing = c.following(p.last)
		if i+1 < len(c.checkpoints) {
			y.logs = upTo(y.logs, c.checkpoints[i+1].last)
		}
		moment, err := verifySpan(ctx, s, v.Identity, y, o)
		if err != nil {
			return v, err
		}
		v.Pieces += 1 + len(y.logs)
		if n := len(v.Spans); n > 0 && v.Spans[n-1].To.Index >= p.last {
			v.Spans[n-1].To = moment
		} else {
			v.Spans = append(v.Spans, Span{p.moment, moment})
		}
	}
	return v, nil
}

// upTo are the pieces that are needed to come to an entry.
func upTo(logs []piece, index uint64) []piece {
	for i, l := range logs {
		if l.last >= index {
			return logs[:i+1]
		}
	}
	return logs
}

func verifySpan(ctx context.Context, s Store, id Identity, p plan, o exchange.RestoreOptions) (_ Moment, err error) {
	dir, err := os.MkdirTemp("", temporaryPrefix)
	if err != nil {
		return Moment{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if o.Source, err = fetchCheckpoint(ctx, s, id, p.checkpoint, dir); err != nil {
		return Moment{}, err
	}
	y := replay{store: s, id: id, plan: p, at: p.checkpoint.moment, progress: o.Progress}
	o.DataDir, o.Replay = filepath.Join(dir, "data"), y.run
	_, err = exchange.Restore(ctx, o)
	return y.at, err
}
