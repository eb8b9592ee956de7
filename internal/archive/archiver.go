package archive

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"bowline/internal/fsm"

	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
)

// Source is the member whose archive is kept.
type Source interface {
	// At is the position of the last applied entry, and the revision then.
	At() (fsm.Position, int64)
	// Entries reads from lo on, below hi, at least one, maxBytes if there are more.
	Entries(lo, hi, maxBytes uint64) ([]*raftpb.Entry, error)
	// HoldLog keeps the entries above index readable until release is called.
	HoldLog(index uint64) (release func())
	// LogBytes is how much of the disk the log takes.
	LogBytes() int64
	Export() *fsm.Export
}

// Config of an Archiver.
type Config struct {
	Store    Store
	Identity Identity
	Source   Source
	// TempDir is where a checkpoint is made before it is put away; three times the live
	// data must have room there.
	TempDir string
	// Interval is how long an entry waits at most for being archived, and
	// CheckpointEvery how long the log behind a checkpoint grows; 0 means the default.
	Interval, CheckpointEvery time.Duration
	// Retention is how far back it must be possible to go; 0 is for ever.
	Retention time.Duration
	// BytesPerSecond bounds what is sent; 0 is no bound.
	BytesPerSecond int64
	Logger         *zap.Logger
}

const (
	// DefaultInterval and DefaultCheckpointEvery are of a Config that says nothing.
	DefaultInterval        = 10 * time.Second
	DefaultCheckpointEvery = 24 * time.Hour
	// sampleEvery is how exactly the time of a revision is known.
	sampleEvery = 100 * time.Millisecond
	// retryAfter is the pause after a failure.
	retryAfter = 5 * time.Second
	// maxPieceBytes bounds a piece of the log, if that takes no longer than a second to
	// send, and pieceEntries is from when one is put away before its time.
	maxPieceBytes = 4 << 20
	minPieceBytes = 64 << 10
	pieceEntries  = 10_000
	// maxMoments bounds those of a piece.
	maxMoments = 4096
	// heldBytes is how long the log may become because the archive is behind. Beyond it
	// the archive has a gap, and goes on with a new checkpoint.
	heldBytes = 4 << 30
	// farewell is how long a member that stops takes for its last entries.
	farewell = 3 * time.Second
)

// Archiver keeps an archive up with a member.
type Archiver struct {
	cfg        Config
	pace       pace
	pieceBytes int
	retry      time.Duration // the pause before a checkpoint is sent again

	ready   bool
	last    fsm.Position // of what is archived
	newest  Moment       // the last one that is archived
	moments []Moment     // behind last, that are not archived
	since   time.Time    // when the first of them was seen
	seen    uint64
	now     time.Time // of the latest step
	release func()

	checkpointed time.Time        // when the latest checkpoint was begun
	checkpoints  chan *checkpoint // delivers the one that is being written, nil if none is

	stats Stats
}

// Stats of an archiver, for metrics.
type Stats struct {
	// Archived is the last entry, and Until the time, in Unix seconds, up to which
	// everything is archived.
	Archived, Until         atomic.Int64
	Pieces, Bytes, Failures atomic.Int64
}

// Stats are always valid.
func (a *Archiver) Stats() *Stats { return &a.stats }

// New makes an archiver that does nothing yet.
func New(cfg Config) *Archiver {
	if cfg.Interval <= 0 {
		cfg.Interval = DefaultInterval
	}
	if cfg.CheckpointEvery <= 0 {
		cfg.CheckpointEvery = DefaultCheckpointEvery
	}
	if cfg.Retention > 0 {
		cfg.CheckpointEvery = min(cfg.CheckpointEvery, cfg.Retention)
	}
	size := int64(maxPieceBytes)
	if cfg.BytesPerSecond > 0 {
		size = min(size, max(minPieceBytes, cfg.BytesPerSecond))
	}
	return &Archiver{cfg: cfg, pieceBytes: int(size), pace: pace{perSecond: cfg.BytesPerSecond}, retry: retryAfter, release: func() {}}
}

// Run archives until ctx ends, and then what is left if that is soon done. Failures
// are logged and tried again.
func (a *Archiver) Run(ctx context.Context) {
	defer func() { a.release() }()
	a.hold(0) // until it is known what is archived, everything may be wanted
	t := time.NewTicker(sampleEvery)
	defer t.Stop()
	var paused time.Time
	for {
		select {
		case <-ctx.Done():
			a.leave(ctx)
			return
		case c := <-a.checkpoints:
			a.checkpoints = nil
			a.took(ctx, c)
		case now := <-t.C:
			if now.Before(paused) {
				continue
			}
			if err := a.step(ctx, now); err != nil && ctx.Err() == nil {
				if !a.ready && a.cfg.Source.LogBytes() > heldBytes {
					a.letGo()
				}
				a.stats.Failures.Add(1)
				a.cfg.Logger.Warn("cannot archive; trying again", zap.Stringer("archive", a.cfg.Store), zap.Error(err))
				paused = now.Add(retryAfter)
			}
		}
	}
}

// leave waits for the checkpoint under way and archives what is left.
func (a *Archiver) leave(ctx context.Context) {
	if a.checkpoints != nil {
		<-a.checkpoints // its context has ended
	}
	if !a.ready {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	a.sample(time.Now())
	if err := a.putLog(ctx); err != nil {
		a.cfg.Logger.Warn("the last entries are not archived; they will be at the next start", zap.Error(err))
	}
}

// letGo gives up what the archive lacks.
func (a *Archiver) letGo() {
	a.release()
	a.release = func() {}
}

// hold keeps the log from the entry behind index on.
func (a *Archiver) hold(index uint64) {
	release := a.release
	a.release = a.cfg.Source.HoldLog(index)
	release()
}

// step does what is due at a time.
func (a *Archiver) step(ctx context.Context, now time.Time) error {
	a.now = now
	if !a.ready {
		if err := a.resume(ctx); err != nil {
			return err
		}
		a.ready = true
	}
	a.sample(now)
	if a.checkpoints == nil && now.Sub(a.checkpointed) >= a.cfg.CheckpointEvery {
		a.beginCheckpoint(ctx, now)
	}
	if len(a.moments) == 0 || now.Sub(a.since) < a.cfg.Interval && a.seen-a.last.Index < pieceEntries {
		return nil
	}
	if err := a.putLog(ctx); err != nil {
		return a.behind(err)
	}
	return nil
}

// resume finds out where the archive ends, and goes on there if the log still does.
func (a *Archiver) resume(ctx context.Context) error {
	s := a.cfg.Store
	if err := claim(ctx, s, a.cfg.Identity); err != nil {
		return err
	}
	a.tidy(ctx)
	names, err := s.List(ctx)
	if err != nil {
		return err
	}
	c := parseNames(names)
	at, _ := a.cfg.Source.At()
	if len(c.checkpoints) == 0 {
		a.restart(at.Index, "the archive is empty")
		return nil
	}
	newest := c.checkpoints[len(c.checkpoints)-1]
	tail := newest
	if chain, _ := c.following(newest.last); len(chain) > 0 {
		tail = chain[len(chain)-1]
	}
	end := tail.last
	if at.Index < end {
		return fmt.Errorf("the archive holds entry %d, this member has come to %d: waiting", end, at.Index)
	}
	term, err := a.termOf(ctx, tail.name)
	if err != nil {
		return err
	}
	have, err := a.cfg.Source.Entries(end, end+1, 1)
	if err == nil && have[0].GetTerm() != term {
		return fmt.Errorf("entry %d in the archive is of term %d, but of term %d in the log: the member has lost what it had agreed to, or this is another cluster's archive; give it a new place",
			end, term, have[0].GetTerm())
	}
	a.last, a.seen, a.newest, a.checkpointed = fsm.Position{Index: end, Term: term}, end, tail.moment, newest.moment.Time
	if err != nil && at.Index > end {
		if _, err := a.cfg.Source.Entries(end+1, end+2, 1); err != nil {
			a.restart(at.Index, "the log does not go back to where the archive ends")
			return nil
		}
	}
	a.hold(end)
	a.cfg.Logger.Info("the archive goes on", zap.Stringer("archive", s), zap.Uint64("index", end))
	return nil
}

// tidy removes what is left of interrupted uploads. An archive can be kept without.
func (a *Archiver) tidy(ctx context.Context) {
	t, ok := a.cfg.Store.(tidier)
	if !ok {
		return
	}
	if err := t.tidy(ctx); err != nil {
		a.cfg.Logger.Warn("cannot remove what is left of interrupted uploads", zap.Stringer("archive", a.cfg.Store), zap.Error(err))
	}
}

// restart has a new checkpoint begin the archive anew.
func (a *Archiver) restart(index uint64, why string) {
	a.cfg.Logger.Info("the archive begins with a checkpoint", zap.Stringer("archive", a.cfg.Store), zap.String("because", why), zap.Uint64("index", index))
	a.hold(index)
	a.last, a.seen, a.newest, a.moments, a.checkpointed = fsm.Position{Index: index}, index, Moment{}, nil, time.Time{}
}

// behind decides what becomes of the archive after a failure.
func (a *Archiver) behind(err error) error {
	_, gone := a.cfg.Source.Entries(a.last.Index+1, a.last.Index+2, 1)
	if errors.Is(gone, errReleased) || a.cfg.Source.LogBytes() > heldBytes {
		at, _ := a.cfg.Source.At()
		a.restart(at.Index, "entries that the archive lacks are no longer in the log")
	}
	return err
}

// sample notes where the member is.
func (a *Archiver) sample(now time.Time) {
	at, rev := a.cfg.Source.At()
	if at.Index <= a.seen {
		if len(a.moments) == 0 {
			a.stats.Until.Store(now.Unix())
		}
		return
	}
	if len(a.moments) == 0 {
		a.since = now
	}
	if len(a.moments) == maxMoments {
		a.moments = a.moments[:maxMoments-1]
	}
	a.moments = append(a.moments, Moment{Index: at.Index, Revision: rev, Time: now.UTC().Round(0)})
	a.seen = at.Index
}

func (a *Archiver) termOf(ctx context.Context, name string) (uint64, error) {
	f, err := a.cfg.Store.Open(ctx, name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	p, err := readPiece(name, f)
	if err != nil {
		return 0, err
	}
	return p.header.Term, nil
}
