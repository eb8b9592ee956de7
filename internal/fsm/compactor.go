package fsm

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"time"

	"bowline/internal/engine"
	"bowline/internal/mvcc"
	"bowline/internal/wire"

	"go.uber.org/zap"
)

const (
	// compactRecords is how many revision records one step reads unless the settings say
	// it, and compactVersions how many versions it removes at most: it is the removal
	// that entries wait for.
	compactRecords  = 256
	compactVersions = 64
	// compactRest is the pause for pieces of work as a multiple of their time, so that a
	// removal takes no more than its share while clients write, and exportRest that of an
	// export, which is in less of a hurry. Pauses are saved up to compactNap and exportNap, since a
	// timer cannot wait much less than a millisecond: the shorter the work between them,
	// the less others wait for a processor, and the longer it takes. A group that waits for
	// the writer gets its turn at once.
	compactRest = 2
	compactNap  = 2 * time.Millisecond
	exportRest  = 6
	exportNap   = time.Millisecond
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
	f.cfg.Logger.Info("compact tree index", zap.Int64("revision", f.store.Compacted()))
	h, taken, err := f.store.TakeCompactionHash(ctx, func() error { runtime.Gosched(); return ctx.Err() })
	if err != nil {
		return err
	}
	if taken {
		f.cfg.Logger.Info("storing new hash", zap.Uint32("hash", h.Sum), zap.Int64("revision", h.Revision),
			zap.Int64("compact-revision", h.Compacted))
	}
	removed, err := f.removeObsolete(ctx, f.newBreath(compactRest, compactNap))
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

// breath has a long piece of work rest between its parts.
type breath struct {
	fsm   *FSM
	pacer pacer
	since time.Time // of the work that was not rested from yet
}

// newBreath has rests of so many times the work before them, and of at least nap.
func (f *FSM) newBreath(times, nap time.Duration) *breath {
	return &breath{fsm: f, pacer: pacer{times: times, nap: nap, applied: f.Applied()}, since: time.Now()}
}

// take ends a piece of work, and rests if it is time to. It fails when ctx ends.
func (b *breath) take(ctx context.Context) error {
	now := time.Now()
	nap := b.pacer.after(b.since, now, b.fsm.Applied(), b.fsm.waiting.Load() > 0)
	b.since = now
	if nap <= 0 {
		runtime.Gosched()
		return ctx.Err()
	}
	err := rest(ctx, nap)
	b.since = time.Now()
	b.pacer.rested(b.since.Sub(now) - nap)
	return err
}

// leaveOut has time that was spent since the last rest not count as work.
func (b *breath) leaveOut(waited time.Duration) { b.since = b.since.Add(waited) }

// pacer says when to rest.
type pacer struct {
	times     time.Duration // the work is how long a rest is
	nap       time.Duration // is saved up before a rest
	applied   uint64
	lastWrite time.Time
	owed      time.Duration
}

// after takes note of a step that took from begin to end and returns for how long
// to rest now. While nobody writes there is no need to.
func (p *pacer) after(begin, end time.Time, applied uint64, waiting bool) time.Duration {
	if waiting || applied != p.applied {
		p.applied, p.lastWrite = applied, end
	}
	if end.Sub(p.lastWrite) > writersQuiet {
		p.owed = 0
		return 0
	}
	p.owed += p.times * end.Sub(begin)
	if p.owed <= 0 || !waiting && p.owed < p.nap {
		return 0
	}
	nap := p.owed
	p.owed = 0
	return nap
}

// rested takes note of how much longer a rest has been than after wanted: on a busy machine
// timers are late, and the work would get less than its share.
func (p *pacer) rested(longer time.Duration) { p.owed -= min(longer, p.nap) }

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
		n, more, err := f.compactStep(walk, breath)
		if removed += n; err != nil || !more {
			return removed, err
		}
		if err := breath.take(ctx); err != nil {
			return removed, err
		}
		if f.cfg.CompactRest > 0 {
			if err := rest(ctx, f.cfg.CompactRest); err != nil {
				return removed, err
			}
		}
	}
}

// compactStep makes one small batch of removals, and commits it between two groups of
// entries. It reports false if the walk is at its end.
func (f *FSM) compactStep(walk *mvcc.CompactionWalk, breath *breath) (removed int, more bool, err error) {
	b := f.engine.NewBatch()
	records := f.cfg.CompactRecords
	if records <= 0 {
		records = compactRecords
	}
	step, err := walk.Step(b, records, compactVersions)
	if err != nil {
		b.Close()
		return 0, false, err
	}
	asked := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	begin := time.Now()
	breath.leaveOut(begin.Sub(asked)) // to wait for the writer is no work
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

func rest(ctx context.Context, d time.Duration) error {
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
