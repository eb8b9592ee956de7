package fsm

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"time"

	"bowline/internal/engine"
	"bowline/internal/mvcc"
	"bowline/internal/rest"
	"bowline/internal/wire"

	"go.uber.org/zap"
)

const (
	// compactRecords is how many revision records are read before a rest unless the
	// settings say it.
	compactRecords = 256
	// While clients write, a compaction's hash rests hashRest times as long as it works, its
	// removals compactRest times, for entries wait behind what they write, and an export, which
	// nobody else waits for, exportRest times.
	hashRest    = 1
	compactRest = 6
	exportRest  = 6
	// writersQuiet is how long nobody must have written for the compactor to go on
	// without a rest.
	writersQuiet = 100 * time.Millisecond
)

func (f *FSM) kickCompactor() {
	select {
	case f.compact <- struct{}{}:
	default:
	}
}

// runCompactor removes what scheduled compactions have made obsolete.
func (f *FSM) runCompactor(ctx context.Context) {
	defer close(f.done)
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.compact:
		}
		if !f.store.Compacting() {
			continue
		}
		err := f.runCompaction(ctx)
		switch {
		case err == nil || ctx.Err() != nil:
		case engine.Damaged(err):
			// What is intact can be served, and saved, without removing anything. To
			// stop would be to stop again at each start.
			f.cfg.Logger.Error("a compaction has met a damaged file and is given up until the next one", zap.Error(err))
		default:
			f.cfg.Fatal(fmt.Errorf("fsm: compaction: %w", err))
			return
		}
	}
}

func (f *FSM) runCompaction(ctx context.Context) error {
	begin := time.Now()
	defer f.engine.DeferRewriting()()
	f.cfg.Logger.Info("compact tree index", zap.Int64("revision", f.store.Compacted()))
	h, taken, err := f.store.TakeCompactionHash(ctx, f.newBreath(hashRest).taker(ctx))
	if err != nil {
		return err
	}
	if taken {
		f.cfg.Logger.Info("storing new hash", zap.Uint32("hash", h.Sum), zap.Int64("revision", h.Revision),
			zap.Int64("compact-revision", h.Compacted))
	}
	removed, err := f.removeObsolete(ctx, f.newBreath(compactRest))
	if err != nil {
		return err
	}
	// gofail: var compactAfterSetFinishedCompact struct{}
	f.tellCompaction(removed, time.Since(begin), h, taken)
	if err := f.engine.Flush(); err != nil {
		return err
	}
	f.releasePhysical()
	return nil
}

// breath has a long piece of work rest between its parts, while clients write.
type breath struct {
	rest.Breath
	fsm       *FSM
	times     time.Duration
	applied   uint64
	lastWrite time.Time
}

// newBreath has rests of so many times the work before them.
func (f *FSM) newBreath(times time.Duration) *breath {
	return &breath{Breath: rest.Begin(), fsm: f, times: times, applied: f.Applied()}
}

// take ends a piece of work, and rests if clients write. It fails when ctx has ended.
func (b *breath) take(ctx context.Context) error {
	if applied := b.fsm.Applied(); applied != b.applied || b.fsm.waiting.Load() > 0 {
		b.applied, b.lastWrite = applied, time.Now()
	}
	b.Take(time.Since(b.lastWrite) <= writersQuiet, b.times)
	return ctx.Err()
}

func (b *breath) taker(ctx context.Context) func() error { return func() error { return b.take(ctx) } }

// removeObsolete carries out what is scheduled, in small steps, and returns how many
// versions went.
func (f *FSM) removeObsolete(ctx context.Context, breath *breath) (removed int, err error) {
	for f.store.Compacting() {
		n, err := f.walkObsolete(ctx, breath)
		if removed += n; err != nil {
			return removed, err
		}
	}
	return removed, nil
}

// walkObsolete removes until the compaction is done, or until another one was
// scheduled or the state was replaced meanwhile.
func (f *FSM) walkObsolete(ctx context.Context, breath *breath) (removed int, err error) {
	walk, err := f.store.WalkCompaction()
	if err != nil {
		return 0, err
	}
	defer walk.Close()
	for {
		n, more, err := f.compactStep(ctx, walk, breath)
		if removed += n; err != nil || !more {
			return removed, err
		}
		if f.cfg.CompactRest > 0 {
			if err := sleep(ctx, f.cfg.CompactRest); err != nil {
				return removed, err
			}
		}
	}
}

// compactStep removes what it finds until that is enough for one batch, and puts it on
// record between two groups of entries. It reports false if the walk is at its end.
func (f *FSM) compactStep(ctx context.Context, walk *mvcc.CompactionWalk, breath *breath) (removed int, more bool, err error) {
	pause := breath.taker(ctx)
	for full := false; !full; {
		if full, err = walk.Read(cmp.Or(f.cfg.CompactRecords, compactRecords), pause); err != nil {
			return 0, false, err
		}
		if err := pause(); err != nil {
			return 0, false, err
		}
		full = full || f.cfg.CompactRecords > 0 // whoever sets that says how much goes at a time
	}
	step, err := walk.Remove(pause)
	if err != nil {
		return 0, false, err
	}
	asked := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	begin := time.Now()
	breath.LeaveOut(begin.Sub(asked)) // to wait for the writer is no work
	b := f.engine.NewBatch()
	current, err := f.store.CompactStep(b, &step)
	if err != nil || !current {
		b.Close()
		return 0, false, err
	}
	// gofail: var compactBeforeCommitBatch struct{}
	if err := f.engine.Commit(b); err != nil {
		return 0, false, err
	}
	// gofail: var compactAfterCommitBatch struct{}
	f.store.CompactStepDone(step)
	f.stats.CompactionSteps.Observe(time.Since(begin))
	return step.Removed, !step.Done, nil
}

func (f *FSM) releasePhysical() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.releasePhysicalLocked()
}

func (f *FSM) releasePhysicalLocked() {
	finished := f.store.CompactionFinished()
	waiting := f.physical[:0]
	for _, w := range f.physical {
		if w.rev <= finished {
			close(w.done)
			continue
		}
		waiting = append(waiting, w)
	}
	f.physical = waiting
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// checkAttachments compares each attachment with the newest version of its key.
func (f *FSM) checkAttachments() error {
	return each(f.engine, engine.ClassAttachment, func(body, _ []byte) error {
		if len(body) < 8 {
			return fmt.Errorf("fsm: damaged attachment record %x", body)
		}
		key := bytes.Clone(body[8:])
		stored, err := f.store.Newest(key)
		if err != nil {
			return err
		}
		kv, err := wire.ParseKeyValue(stored)
		if err != nil {
			return err
		}
		if want := leaseOf(body); kv.Lease != want {
			return fmt.Errorf("fsm: %q is attached to lease %x but names %x", key, want, kv.Lease)
		}
		return nil
	})
}
