package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"bowline/internal/exchange"

	"go.uber.org/zap"
)

// checkpoint is what came of writing one.
type checkpoint struct {
	header header
	bytes  int64
	began  time.Time
	err    error
}

// temporaryPrefix begins the names of directories below TempDir.
const temporaryPrefix = "snapshot-archive-"

// beginCheckpoint captures the state, and writes it while the log goes on to be archived.
func (a *Archiver) beginCheckpoint(ctx context.Context, now time.Time) {
	x := a.cfg.Source.Export()
	c := &checkpoint{began: now, header: header{ClusterID: a.cfg.Identity.ClusterID, Last: x.Position.Index, Term: x.Position.Term,
		Moments: []Moment{{Index: x.Position.Index, Revision: x.Revision, Time: now.UTC().Round(0)}}}}
	a.checkpointed = now
	done := make(chan *checkpoint, 1)
	a.checkpoints = done
	write := func(dir string) error {
		f, err := exchange.WriteImage(ctx, dir, x)
		if err = errors.Join(err, x.Close()); err != nil {
			return err
		}
		piece, err := makeCheckpoint(ctx, dir, c, exchange.WithDigest(f))
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
		return errors.Join(a.putCheckpoint(ctx, c, piece), piece.Close())
	}
	go func() {
		dir, err := os.MkdirTemp(a.cfg.TempDir, temporaryPrefix)
		if err == nil {
			err = errors.Join(write(dir), os.RemoveAll(dir))
		} else {
			err = errors.Join(err, x.Close())
		}
		c.err = err
		done <- c
	}()
}

// makeCheckpoint makes a piece of a snapshot file.
func makeCheckpoint(ctx context.Context, dir string, c *checkpoint, snapshot io.Reader) (_ *os.File, err error) {
	f, err := os.Create(filepath.Join(dir, "piece"))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	p, err := newPieceWriter(f, &c.header)
	if err != nil {
		return nil, err
	}
	if _, err := io.CopyBuffer(p, struct{ io.Reader }{exchange.ReaderUntil(ctx, snapshot)}, make([]byte, chunkBytes)); err != nil {
		return nil, err
	}
	if err := p.end(); err != nil {
		return nil, err
	}
	c.bytes, err = f.Seek(0, io.SeekCurrent)
	return f, err
}

// leastPatience is how long a checkpoint is tried to be put away, even if newer ones are due.
const leastPatience = time.Hour

// putCheckpoint puts a piece away. While that fails it is tried again with the same piece,
// for it goes on where it was interrupted; until a newer one is due, and for an hour at least.
func (a *Archiver) putCheckpoint(ctx context.Context, c *checkpoint, piece io.ReaderAt) error {
	giveUp := time.Now().Add(max(a.cfg.CheckpointEvery, leastPatience))
	name := c.header.name()
	for {
		err := a.cfg.Store.Put(ctx, name, Content{piece, c.bytes, &a.pace})
		if err == nil {
			return nil
		}
		err = fmt.Errorf("put %s: %w", name, err)
		if ctx.Err() != nil || time.Now().After(giveUp) {
			return err
		}
		a.stats.Failures.Add(1)
		a.cfg.Logger.Warn("cannot archive a checkpoint; going on with it soon", zap.Stringer("archive", a.cfg.Store), zap.Error(err))
		t := time.NewTimer(a.retry)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return err
		}
	}
}

// took notes that a checkpoint has been written, or has not.
func (a *Archiver) took(ctx context.Context, c *checkpoint) {
	log := a.cfg.Logger.With(zap.Stringer("archive", a.cfg.Store), zap.Uint64("index", c.header.Last))
	if c.err != nil {
		a.stats.Failures.Add(1)
		a.checkpointed = a.now.Add(retryAfter - a.cfg.CheckpointEvery)
		a.tidy(ctx)
		log.Warn("cannot archive a checkpoint; trying again", zap.Error(c.err))
		return
	}
	a.stats.Pieces.Add(1)
	a.stats.Bytes.Add(c.bytes)
	log.Info("archived a checkpoint", zap.Int64("revision", c.header.Moments[0].Revision), zap.Int64("bytes", c.bytes), zap.Duration("took", time.Since(c.began)))
	if err := a.forget(ctx, a.now); err != nil {
		log.Warn("cannot remove what the archive need not keep", zap.Error(err))
	}
}

// forget removes what only moments before the retention need. What would begin the way
// to such a moment goes first, so that nothing that is left misses a piece.
func (a *Archiver) forget(ctx context.Context, now time.Time) error {
	if a.cfg.Retention <= 0 {
		return nil
	}
	names, err := a.cfg.Store.List(ctx)
	if err != nil {
		return err
	}
	c := parseNames(names)
	oldest := -1 // checkpoint that is needed
	for i, p := range c.checkpoints {
		if now.Sub(p.moment.Time) >= a.cfg.Retention {
			oldest = i
		}
	}
	if oldest <= 0 {
		return nil
	}
	for _, p := range c.checkpoints[:oldest] {
		if err := a.cfg.Store.Remove(ctx, p.name); err != nil {
			return err
		}
	}
	for _, p := range c.logs {
		if p.last > c.checkpoints[oldest].last {
			continue
		}
		if err := a.cfg.Store.Remove(ctx, p.name); err != nil {
			return err
		}
	}
	return nil
}
