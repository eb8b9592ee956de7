package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/dustin/go-humanize"
	"go.uber.org/zap"
)

// The engine's types, named here so that no other package imports Pebble.
type (
	// Batch collects changes that become visible and durable together.
	Batch = pebble.Batch
	// IterOptions bounds an Iterator.
	IterOptions = pebble.IterOptions
)

// ErrNotFound is returned by Get for a key that is not stored.
var ErrNotFound = pebble.ErrNotFound

// Reader is a source of consistent iterators: the engine, a Snapshot of it, or an
// Overlay that shows a batch's own changes on top of it.
type Reader interface {
	NewIter(o *IterOptions) (Iterator, error)
}

// PointReads are the options of an iterator for SeekPrefixGE alone. It asks the
// filters of the last level too: a key that is put for the first time is looked
// for as well, and would otherwise cost a block read to find nothing.
func PointReads() *IterOptions { return &IterOptions{UseL6Filters: true} }

// Options of an engine. The zero value of a field means the default.
type Options struct {
	// FS is where files live; default the operating system's.
	FS vfs.FS
	// CacheBytes bounds the cache of blocks read from files; default 48 MiB.
	CacheBytes int64
	// MemTableBytes is the size at which a memtable is flushed; default 16 MiB.
	MemTableBytes int64
	// MaxOpenFiles is how many files may be open at once; default 1000.
	MaxOpenFiles int
	// ReadOnly opens a store that is there and changes nothing in it.
	ReadOnly bool
	// Logger receives the engine's own messages.
	Logger *zap.Logger
	// OnFatal is called when the engine cannot go on (a failed write of its
	// manifest, say). It must stop the member and must not return to serve.
	OnFatal func(error)
	// OnFlush is called after memtables have reached the disk. It must not block.
	OnFlush func()
}

const (
	defaultCacheBytes    = 48 << 20
	defaultMemTableBytes = 16 << 20
	defaultOpenFiles     = 1000
	blockBytes           = 16 << 10
	// A flush that cannot keep up must stop writers before memory does; this
	// many memtables may wait.
	memTablesWaiting = 3
)

// Engine is an open store. All methods may be called concurrently, except that
// batches are built and committed, and the store replaced, by the one writer.
type Engine struct {
	// current is what the engine works on; Adopt exchanges it. Nothing else reads it
	// than acquire.
	current atomic.Pointer[handle]
	options Options
	cache   *pebble.Cache
	// flushes counts finished flushes, for tests and status.
	flushes atomic.Int64
	stats   *Stats
	failure failure
	// retiring are the stores that were replaced and wait for their last reader.
	retiring sync.WaitGroup
}

// Open opens or creates the store in dir.
func Open(dir string, o Options) (*Engine, error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = defaultCacheBytes
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = defaultMemTableBytes
	}
	if o.MaxOpenFiles == 0 {
		o.MaxOpenFiles = defaultOpenFiles
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	return open(dir, o, pebble.NewCache(o.CacheBytes), newStats())
}

// open takes over a reference to cache.
func open(dir string, o Options, cache *pebble.Cache, stats *Stats) (*Engine, error) {
	e := &Engine{options: o, cache: cache, stats: stats, failure: failure{happened: make(chan struct{})}}
	h := &handle{dir: dir, fs: o.FS, log: o.Logger, unflushed: newUnflushed()}
	h.refs.Store(1)
	h.owner.Store(e)
	h.pace.debt = func() uint64 { return h.db.Metrics().Compact.EstimatedDebt }
	h.pace.fresh = func() int64 { return h.pending.Load() - h.flushing.Load() }
	options := h.pebbleOptions(o, cache)
	err := verifyFiles(dir, options)
	if err == nil {
		h.db, err = pebble.Open(dir, options)
	}
	if err != nil {
		cache.Unref()
		return nil, openError(dir, o.FS, err)
	}
	e.current.Store(h)
	return e, nil
}

// openError adds what an operator can do to an error of Open.
func openError(dir string, fs vfs.FS, err error) error {
	if desc, peekErr := pebble.Peek(dir, fs); peekErr == nil && desc.Exists && errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("engine: files that %s names are missing, or its last record is damaged; restore the member from a "+
			"snapshot or replace it: %w", desc.ManifestFilename, err)
	}
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("engine: open %s: %w", dir, err)
	}
	if pebble.IsCorruptionError(err) {
		return fmt.Errorf("engine: files in %s are damaged; restore the member from a snapshot or replace it: %w", dir, err)
	}
	return fmt.Errorf("engine: cannot open %s: %w", dir, err)
}

// NewBatch returns an empty batch. Writer only.
func (e *Engine) NewBatch() *Batch { return e.current.Load().db.NewBatch() }

// NewIndexedBatch returns a batch that an Overlay can read as the engine as it
// will be once the batch is committed. It costs more than NewBatch. Writer only.
func (e *Engine) NewIndexedBatch() *Batch { return e.current.Load().db.NewIndexedBatch() }

// Commit makes b visible to readers. It becomes durable with the next flush.
// Writer only.
func (e *Engine) Commit(b *Batch) error {
	if err := e.failed(); err != nil {
		return err
	}
	h := e.current.Load()
	h.pending.Add(int64(b.Len()))
	began := time.Now()
	h.pace.wrote.Store(began.UnixNano())
	h.unflushed.committing(b)
	if err := h.db.Apply(b, pebble.NoSync); err != nil {
		return fmt.Errorf("engine: commit batch: %w", err)
	}
	h.unflushed.committed(b)
	e.stats.Commits.Observe(time.Since(began))
	return b.Close()
}

// StartFlush begins to write all committed batches to disk; OnFlush tells when
// it is done.
func (e *Engine) StartFlush() error {
	h := e.acquire()
	defer h.release()
	if _, err := h.db.AsyncFlush(); err != nil {
		return fmt.Errorf("engine: flush: %w", err)
	}
	return nil
}

// Reclaim rewrites all files so that deleted and superseded records give back
// their space. Readers and the writer go on meanwhile.
func (e *Engine) Reclaim(ctx context.Context) error {
	h := e.acquire()
	defer h.release()
	last := []byte{0xff, terminator}
	if err := h.db.Compact(ctx, []byte{terminator}, last, false); err != nil {
		return fmt.Errorf("engine: reclaim space: %w", err)
	}
	return nil
}

// Checkpoint writes a consistent copy of the flushed engine to dir, sharing its
// immutable files by hard links. dir must not exist.
func (e *Engine) Checkpoint(dir string) error {
	h := e.acquire()
	defer h.release()
	if err := h.db.Checkpoint(dir, pebble.WithFlushedWAL()); err != nil {
		return fmt.Errorf("engine: checkpoint to %s: %w", dir, err)
	}
	return nil
}

// Size is the space, in bytes, that the engine's files take, with what is yet to be
// flushed, and Live the part that holds current data.
type Size struct{ Total, Live int64 }

// Fields are for lines of the log, with etcd's names.
func (s Size) Fields() []zap.Field {
	return []zap.Field{
		zap.Int64("current-db-size-bytes", s.Total), zap.String("current-db-size", humanize.Bytes(uint64(s.Total))),
		zap.Int64("current-db-size-in-use-bytes", s.Live), zap.String("current-db-size-in-use", humanize.Bytes(uint64(s.Live))),
	}
}

// Size reports the space taken. It is cheap enough to be asked on each request
// of an operator, not on each write.
func (e *Engine) Size() Size {
	h := e.acquire()
	defer h.release()
	m := h.db.Metrics()
	total := int64(m.DiskSpaceUsage()) + max(h.pending.Load(), 0)
	dead := int64(m.Table.ObsoleteSize + m.Table.ZombieSize)
	return Size{Total: total, Live: max(total-dead, 0)}
}

// Metrics describes the engine's inner state for an operator.
func (e *Engine) Metrics() string {
	h := e.acquire()
	defer h.release()
	return h.db.Metrics().String()
}

// Dir is the directory of the store that the engine works on.
func (e *Engine) Dir() string { return e.current.Load().dir }
