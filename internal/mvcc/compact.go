package mvcc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"bowline/internal/engine"
)

// compaction is the progress of removing old versions. Its record is written in
// the same batches as the removals, so a crash resumes where it stopped.
type compaction struct {
	mu sync.Mutex // guards the fields below for readers; the writer changes them
	// scheduled is the last accepted compaction revision, finished the last one
	// carried out; -1 if there was none.
	scheduled, finished int64
	// position is the last revision record that was dealt with on the way to
	// scheduled; zero at the start.
	position Revision
	// hashFrom is what was compacted when scheduled was accepted, if its hash is
	// wanted: etcd takes one only if the compaction before had finished.
	hashFrom int64
	hashWant bool
	// epoch counts how often the store was replaced: a hash that was begun before is
	// of a compaction that is not this store's.
	epoch int
}

func (c *compaction) load(e *engine.Engine) error {
	c.scheduled, c.finished = -1, -1
	v, err := e.Get(engine.Key(engine.ClassMeta, []byte(metaCompaction)))
	if errors.Is(err, engine.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("mvcc: read the compaction record: %w", err)
	}
	var n [4]int64
	for i := range n {
		x, used := binary.Varint(v)
		if used <= 0 {
			return fmt.Errorf("mvcc: damaged compaction record")
		}
		n[i], v = x, v[used:]
	}
	c.scheduled, c.finished, c.position = n[0], n[1], Revision{Main: n[2], Sub: n[3]}
	return nil
}

func (c *compaction) write(b *engine.Batch) error {
	v := binary.AppendVarint(nil, c.scheduled)
	v = binary.AppendVarint(v, c.finished)
	v = binary.AppendVarint(v, c.position.Main)
	v = binary.AppendVarint(v, c.position.Sub)
	return b.Set(engine.Key(engine.ClassMeta, []byte(metaCompaction)), v, nil)
}

func (c *compaction) finishedRevision() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.finished
}

// ScheduleCompaction accepts a compaction to rev: b gets its record, and once b
// is committed and PublishCompaction is called, reads below rev fail. The
// removal itself is done by CompactStep. Writer only.
func (s *Store) ScheduleCompaction(b *engine.Batch, rev int64) error {
	c := &s.compaction
	if rev <= s.compacted.Load() {
		return ErrCompacted
	}
	if rev > s.current.Load() {
		return ErrFutureRevision
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hashWant = c.finished == c.scheduled
	c.hashFrom = c.scheduled
	switch {
	case c.hashWant:
		c.position = Revision{}
	case c.position.Main == c.scheduled:
		// Deletions at the revision compacted to are kept; those already passed
		// must be met again, now that they lie below it.
		c.position.Sub = -1
	}
	c.scheduled = rev
	return c.write(b)
}

// PublishCompaction makes the scheduled compaction visible to readers. Writer
// only, after the commit of ScheduleCompaction's batch.
func (s *Store) PublishCompaction() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.compacted.Store(s.compaction.scheduled)
}

// Compacting tells whether removal work is left.
func (s *Store) Compacting() bool {
	s.compaction.mu.Lock()
	defer s.compaction.mu.Unlock()
	return s.compaction.finished < s.compaction.scheduled
}

// CompactionFinished returns the last compaction revision that was carried out.
func (s *Store) CompactionFinished() int64 { return s.compaction.finishedRevision() }

// TakeCompactionHash computes and remembers the hash of what the scheduled
// compaction starts from. It must be called before the first CompactStep of a
// compaction, from the goroutine that makes the steps; it only reads. It calls pause
// every millisecond or so, whose error ends it.
func (s *Store) TakeCompactionHash(ctx context.Context, pause func() error) (Hash, bool, error) {
	s.compaction.mu.Lock()
	want, rev, from := s.compaction.hashWant, s.compaction.scheduled, s.compaction.hashFrom
	epoch := s.compaction.epoch
	s.compaction.hashWant = false
	s.compaction.mu.Unlock()
	if !want {
		return Hash{}, false, nil
	}
	scan, err := s.openHashScan()
	if err != nil {
		return Hash{}, false, err
	}
	defer scan.close()
	live, err := s.liveAt(ctx, rev)
	if err != nil {
		return Hash{}, false, err
	}
	keeps := live
	if !live {
		if keeps, err = s.keepsDeletion(rev); err != nil {
			return Hash{}, false, err
		}
	}
	h := Hash{Revision: rev, Compacted: from}
	h.Sum, err = scan.run(hashScanArgs{rev: rev, compacted: from, pause: pause, finished: from, keepNothing: !keeps})
	if err != nil {
		return Hash{}, false, err
	}
	s.compaction.mu.Lock()
	defer s.compaction.mu.Unlock()
	if s.compaction.epoch != epoch {
		return Hash{}, false, nil
	}
	s.hashes.add(h, !live)
	return h, true, nil
}

// keepsDeletion tells whether a compaction to rev retains a deletion: one at exactly
// rev.
func (s *Store) keepsDeletion(rev int64) (bool, error) {
	it, err := newRevisionIter(s.engine, rev, rev)
	if err != nil {
		return false, err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		c, err := parseChange(it.Key(), it.Value())
		if err != nil {
			return false, err
		}
		if c.kind == KindDelete {
			return true, nil
		}
	}
	return false, it.Error()
}

const (
	// removalsAtOnce and removalBytes bound what a walk collects before it is removed.
	removalsAtOnce = 64 << 10
	removalBytes   = 8 << 20
	// removalsPerPause is after how many of them a pause is offered, and removalsPerBatch
	// how many go at a time if they go into a memtable: entries wait for them.
	removalsPerPause = 1 << 10
	removalsPerBatch = 64
)

// CompactionWalk reads what a compaction is to remove, and removes it, beside the
// writer: the records that it reads do not change, apart from those that the same
// compaction removes once it has passed them, and nobody reads those that it removes.
// What is left at any moment is sound: a version goes together with its revision record,
// and not before an older one of its key.
// One goroutine uses it.
type CompactionWalk struct {
	scheduled int64
	epoch     int
	// position is the last record that was read, removed the last one whose removals are
	// carried out.
	position, removed Revision
	it                *engine.Scan
	more              bool
	obsolete          *removals
}

// WalkCompaction starts a walk from where the scheduled compaction stands. It must be
// closed.
func (s *Store) WalkCompaction() (*CompactionWalk, error) {
	s.compaction.mu.Lock()
	c := compaction{scheduled: s.compaction.scheduled, finished: s.compaction.finished, position: s.compaction.position, epoch: s.compaction.epoch}
	s.compaction.mu.Unlock()
	from := revisionSeek(c.finished)
	if !c.position.IsZero() {
		from = engine.AppendRevisionKey(nil, c.position.Main, c.position.Sub+1)
	}
	it, err := engine.NewScan(s.engine, &engine.IterOptions{LowerBound: from, UpperBound: revisionSeek(c.scheduled + 1)})
	if err != nil {
		return nil, fmt.Errorf("mvcc: open iterator: %w", err)
	}
	return &CompactionWalk{scheduled: c.scheduled, epoch: c.epoch, position: c.position, removed: c.position, it: it, more: it.First(), obsolete: newRemovals()}, nil
}

// Close ends the walk.
func (w *CompactionWalk) Close() error { return w.it.Close() }

// Read reads so many revision records, or fewer of long keys. Each names the version that it replaced, which is
// obsolete; a deletion below the compaction revision is so with what it deleted. It
// reports true if it is time to remove what was found.
func (w *CompactionWalk) Read(records int, pause func() error) (full bool, err error) {
	for n := 0; w.more && n < records && len(w.obsolete.keys) < removalBytes; n++ {
		c, err := parseChange(w.it.Key(), w.it.Value())
		if err != nil {
			return false, err
		}
		if !c.prev.IsZero() {
			w.obsolete.add(c.key, c.prev)
		}
		if c.kind == KindDelete && c.rev.Main < w.scheduled {
			w.obsolete.add(c.key, c.rev)
		}
		w.position = c.rev
		w.more = w.it.Next()
	}
	if err := w.it.Error(); err != nil {
		return false, fmt.Errorf("mvcc: compact: %w", err)
	}
	if err := w.obsolete.versions.settle(pause); err != nil {
		return false, err
	}
	return !w.more || w.obsolete.count() >= removalsAtOnce || len(w.obsolete.keys) >= removalBytes, nil
}

// CompactStep is what a walk has removed, which is to be put on record.
type CompactStep struct {
	Removed int
	Done    bool

	walk       *CompactionWalk
	from, next Revision
}

// Remove removes what was found. A crash before Store.CompactStep is on record has it
// removed again.
func (w *CompactionWalk) Remove(pause func() error) (CompactStep, error) {
	r := w.obsolete
	step := CompactStep{walk: w, from: w.removed, next: w.position, Removed: r.count(), Done: !w.more}
	versions, err := r.versions.all(pause)
	if err != nil {
		return step, err
	}
	if w.it.KeepsWhole(2*r.count(), r.size()) {
		err = w.removeWhole(versions, pause)
	} else {
		err = w.removeByAndBy(versions, pause)
	}
	if err != nil {
		return step, err
	}
	w.removed = step.next
	r.reset()
	return step, nil
}

// removeWhole removes everything in one batch, in the order that its table will have.
func (w *CompactionWalk) removeWhole(versions []keySpan, pause func() error) error {
	r := w.obsolete
	sortRevisions(r.revisions)
	key := make([]byte, 0, revisionKeyBytes)
	b := w.it.NewRemoval(r.size())
	for i := range 2 * len(versions) {
		var stored []byte
		if n := i - len(versions); n >= 0 {
			stored = r.key(versions[n])
		} else {
			stored = engine.AppendRevisionKey(key, r.revisions[i].Main, r.revisions[i].Sub)
		}
		err := b.Delete(stored, nil)
		if err == nil && i%removalsPerPause == 0 {
			err = pause()
		}
		if err != nil {
			b.Close()
			return err
		}
	}
	return w.it.Remove(b)
}

// removeByAndBy removes a few versions at a time, each with its record, backwards: of the
// versions of a key the oldest goes first, and the deletion that hides the others last.
func (w *CompactionWalk) removeByAndBy(versions []keySpan, pause func() error) error {
	r := w.obsolete
	key := make([]byte, 0, revisionKeyBytes)
	for end := len(versions); end > 0; {
		b := w.it.NewRemoval(0)
		for begin := max(0, end-removalsPerBatch); end > begin; end-- {
			version := r.key(versions[end-1])
			main, sub := engine.VersionRevision(version)
			if err := errors.Join(b.Delete(version, nil), b.Delete(engine.AppendRevisionKey(key, main, sub), nil)); err != nil {
				b.Close()
				return err
			}
		}
		if err := w.it.Remove(b); err != nil {
			return err
		}
		if err := pause(); err != nil {
			return err
		}
	}
	return nil
}

// CompactStep adds to b how far the compaction has come with step. It reports false if
// the walk is not of the compaction that is scheduled now, or of another state: then b
// is to be thrown away. Writer only; call CompactStepDone when b is committed.
func (s *Store) CompactStep(b *engine.Batch, step *CompactStep) (ok bool, err error) {
	c := &s.compaction
	if step.walk.scheduled != c.scheduled || step.walk.epoch != c.epoch || step.from != c.position || c.finished >= c.scheduled {
		return false, nil
	}
	next := compaction{scheduled: c.scheduled, finished: c.finished, position: step.next}
	if step.Done {
		// gofail: var compactBeforeSetFinishedCompact struct{}
		next.finished, next.position = c.scheduled, Revision{}
	}
	return true, next.write(b)
}

// CompactStepDone takes note of a committed step. Writer only.
func (s *Store) CompactStepDone(step CompactStep) {
	s.stats.CompactedKeys.Add(int64(step.Removed))
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &s.compaction
	c.mu.Lock()
	defer c.mu.Unlock()
	c.position = step.next
	if step.Done {
		c.finished, c.position = c.scheduled, Revision{}
	}
}

// revisionSeek is the stored key before the first revision record of main.
func revisionSeek(main int64) []byte { return engine.AppendRevisionKey(nil, max(main, 0), 0) }
