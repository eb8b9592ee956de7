package fsm

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"bowline/internal/engine"
	"bowline/internal/wire"

	"go.uber.org/zap"
)

const (
	// compactRecords is how many revision records one step deals with: a
	// fraction of a millisecond during which no entry is applied.
	compactRecords = 64
	// compactRest is the pause for steps as a multiple of their time, so that removal
	// takes no more than its share while clients write. Pauses are saved up to
	// compactNap, since a timer cannot wait much less than a millisecond; but a group
	// that waits for the writer gets its turn at once.
	compactRest = 2
	compactNap  = 2 * time.Millisecond
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
	h, taken, err := f.store.TakeCompactionHash(ctx)
	if err != nil {
		return err
	}
	if taken {
		f.cfg.Logger.Info("storing new hash", zap.Uint32("hash", h.Sum), zap.Int64("revision", h.Revision),
			zap.Int64("compact-revision", h.Compacted))
	}
	removed := 0
	pace := pacer{applied: f.Applied()}
	for {
		stepBegin := time.Now()
		n, done, err := f.compactStep()
		if err != nil {
			return err
		}
		if removed += n; done {
			break
		}
		if nap := pace.after(stepBegin, time.Now(), f.Applied(), f.waiting.Load() > 0); nap > 0 {
			if err := rest(ctx, nap); err != nil {
				return err
			}
		}
	}
	// gofail: var compactAfterSetFinishedCompact struct{}
	f.cfg.Logger.Info("finished scheduled compaction", zap.Int64("compact-revision", f.store.CompactionFinished()),
		zap.Int("removed", removed), zap.Duration("took", time.Since(begin)))
	if err := f.engine.Flush(); err != nil {
		return err
	}
	f.releasePhysical()
	return nil
}

// pacer says when the compactor rests.
type pacer struct {
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
	p.owed += compactRest * end.Sub(begin)
	if !waiting && p.owed < compactNap {
		return 0
	}
	nap := p.owed
	p.owed = 0
	return nap
}

// compactStep makes one small batch of removals, between two groups of entries.
func (f *FSM) compactStep() (removed int, done bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.store.Compacting() {
		return 0, true, nil // the state was replaced by one that is done with it
	}
	begin := time.Now()
	b := f.engine.NewBatch()
	p, err := f.store.CompactStep(b, compactRecords)
	if err != nil {
		b.Close()
		return 0, false, err
	}
	// gofail: var compactBeforeCommitBatch struct{}
	if err := f.engine.Commit(b); err != nil {
		return 0, false, err
	}
	// gofail: var compactAfterCommitBatch struct{}
	f.store.CompactStepDone(p)
	f.stats.CompactionSteps.Observe(time.Since(begin))
	return p.Removed, p.Done, nil
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
