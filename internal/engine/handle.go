package engine

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"
)

// handle is one of Pebble's stores, counted by those who use it: the engine that
// works on it, iterators, snapshots, and calls under way. It is closed when the
// last of them is gone, and not before: Pebble does not allow it.
//
//	Open ──► current ── Adopt ──► retired, read by those who began before ──► closed, its directory removed
//	            └── Close ──► closed
type handle struct {
	db  *pebble.DB
	dir string
	fs  vfs.FS
	log *zap.Logger
	// owner is the engine that works on it, or has last done so.
	owner atomic.Pointer[Engine]
	refs  atomic.Int64
	// retired is set before the engine gives up its reference, to what is to be done
	// when the last one is gone.
	retired atomic.Pointer[func()]

	// pending is about how many bytes are committed and not flushed, flushing how
	// many of them the flush under way writes.
	pending, flushing atomic.Int64
	unflushed         *unflushed
	// flushes counts the flushes that have ended, when what they wrote is being read.
	flushes atomic.Int64
	// pace lets rewriting rest while clients write.
	pace pace
	// flushFailed is how the last flush ended that has written no table. Only if
	// Pebble reports it as an error of its work, too, was there anything to write.
	flushFailed atomic.Pointer[error]
}

// acquire returns the current handle with a reference, which release gives back.
func (e *Engine) acquire() *handle {
	for {
		h := e.current.Load()
		for n := h.refs.Load(); n > 0; n = h.refs.Load() {
			if h.refs.CompareAndSwap(n, n+1) {
				return h
			}
		}
		// It was replaced, and let go of, between the two loads.
	}
}

func (h *handle) release() {
	if h.refs.Add(-1) == 0 {
		if end := h.retired.Load(); end != nil {
			(*end)()
		}
	}
}

// fail ends the engine that works on h. A retired store that fails is nobody's loss.
func (h *handle) fail(err error, tell func(error)) {
	if h.retired.Load() != nil {
		h.log.Warn("a replaced engine has failed", zap.String("dir", h.dir), zap.Error(err))
		return
	}
	h.owner.Load().fail(err, tell)
}

// Iterator walks stored keys in order. A key or value that it returns is valid
// until its next move or Close. It reads the store that was current when it was
// opened, also after that was replaced.
type Iterator struct {
	*pebble.Iterator
	from *handle // nil if somebody else holds the store
}

// IsZero tells whether this is no iterator at all.
func (i Iterator) IsZero() bool { return i.Iterator == nil }

// Close ends the iterator, which must not be used any more.
func (i Iterator) Close() error {
	err := i.Iterator.Close()
	if i.from != nil {
		i.from.release()
	}
	return err
}

// NewIter opens an iterator over the engine as it is now.
func (e *Engine) NewIter(o *IterOptions) (Iterator, error) {
	h := e.acquire()
	it, err := h.db.NewIter(o)
	if err != nil {
		h.release()
		return Iterator{}, err
	}
	return Iterator{it, h}, nil
}

// Overlay is an indexed batch as a Reader. The writer alone uses it, before it
// commits the batch, so that the store cannot be replaced meanwhile.
type Overlay struct{ *Batch }

// NewIter implements Reader.
func (o Overlay) NewIter(options *IterOptions) (Iterator, error) {
	it, err := o.Batch.NewIter(options)
	return Iterator{Iterator: it}, err
}

// Snapshot is the engine as it was at one moment, however it changes. It keeps
// what it shows from being reclaimed, so it must be closed.
type Snapshot struct {
	s    *pebble.Snapshot
	from *handle
}

// NewSnapshot returns the engine as it is now.
func (e *Engine) NewSnapshot() *Snapshot {
	h := e.acquire()
	return &Snapshot{h.db.NewSnapshot(), h}
}

// NewIter implements Reader. The iterator must be closed before the snapshot.
func (s *Snapshot) NewIter(o *IterOptions) (Iterator, error) {
	it, err := s.s.NewIter(o)
	if err != nil {
		return Iterator{}, err
	}
	s.from.refs.Add(1) // the snapshot has one
	return Iterator{it, s.from}, nil
}

// Close lets the snapshot go.
func (s *Snapshot) Close() error {
	err := s.s.Close()
	s.from.release()
	return err
}

// Get returns a copy of a record's value, or ErrNotFound.
func (e *Engine) Get(key []byte) ([]byte, error) {
	h := e.acquire()
	defer h.release()
	v, closer, err := h.db.Get(key)
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	return append([]byte(nil), v...), nil
}

// GetDurable is Get on what has been flushed: what a crash would leave.
func (e *Engine) GetDurable(key []byte) ([]byte, error) {
	it, err := e.NewIter(&IterOptions{
		LowerBound: key, UpperBound: append(append([]byte(nil), key...), terminator),
		OnlyReadGuaranteedDurable: true,
	})
	if err != nil {
		return nil, fmt.Errorf("engine: read durable state: %w", err)
	}
	defer it.Close()
	if !it.First() {
		if err := it.Error(); err != nil {
			return nil, fmt.Errorf("engine: read durable state: %w", err)
		}
		return nil, ErrNotFound
	}
	return append([]byte(nil), it.Value()...), nil
}

// OpenNext opens the store in dir, another than the engine's own, with the same
// options and the same cache of blocks. Adopt makes it the engine's; otherwise it
// is closed like any other.
func (e *Engine) OpenNext(dir string) (*Engine, error) {
	e.cache.Ref()
	return open(dir, e.options, e.cache, e.stats)
}

// OpenCheckpoint opens a copy that Checkpoint has made, only to read it, with the same
// cache of blocks.
func (e *Engine) OpenCheckpoint(dir string) (*Engine, error) {
	o := e.options
	o.ReadOnly, o.OnFlush, o.OnFatal = true, nil, nil
	e.cache.Ref()
	return open(dir, o, e.cache, newStats())
}

// Adopt makes next's store that of e, at once for whoever opens an iterator from
// then on. Who reads the old one reads it to the end; then it is closed and its
// directory removed. next must not be used any more, nor closed. Writer only, with
// no batch open; whoever has the old store's directory on record must have changed
// that before.
func (e *Engine) Adopt(next *Engine) {
	h := next.current.Load()
	h.owner.Store(e)
	e.cache.Unref() // next's reference
	old := e.current.Swap(h)
	e.retire(old)
}

// retire gives up a store that was replaced.
func (e *Engine) retire(old *handle) {
	e.retiring.Add(1)
	end := func() {
		// Whoever was last does not wait for Pebble's work to end.
		go func() {
			defer e.retiring.Done()
			err := old.close()
			if err == nil {
				err = old.fs.RemoveAll(old.dir)
			}
			if err != nil {
				old.log.Warn("a replaced engine is left behind until the next start", zap.String("dir", old.dir), zap.Error(err))
			}
		}()
	}
	old.retired.Store(&end)
	old.release()
}

// closePatience is how long a store that has failed, or was replaced, may take to
// close: Pebble may wait for work that has ended without telling.
const closePatience = 10 * time.Second

// close closes a store that nobody uses any more.
func (h *handle) close() error {
	closed := make(chan error, 1)
	go func() {
		defer func() {
			// It panics over iterators that its own lost work has left open.
			if r := recover(); r != nil {
				closed <- fmt.Errorf("engine: close: %v", r)
			}
		}()
		closed <- h.db.Close()
	}()
	t := time.NewTimer(closePatience)
	defer t.Stop()
	select {
	case err := <-closed:
		return err
	case <-t.C:
		return fmt.Errorf("engine: close %s: gave up waiting", h.dir)
	}
}
