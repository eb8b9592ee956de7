package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/sstable/colblk"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"
)

// The engine's types, named here so that no other package imports Pebble.
type (
	// Batch collects changes that become visible and durable together.
	Batch = pebble.Batch
	// Iterator walks stored keys in order. A key or value that it returns is
	// valid until its next move or Close.
	Iterator = pebble.Iterator
	// IterOptions bounds an Iterator.
	IterOptions = pebble.IterOptions
)

// ErrNotFound is returned by Get for a key that is not stored.
var ErrNotFound = pebble.ErrNotFound

// Reader is a source of consistent iterators: the engine, or an indexed batch
// that shows its own changes on top of it.
type Reader interface {
	NewIter(o *IterOptions) (*Iterator, error)
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
// batches are built and committed by the one writer.
type Engine struct {
	db    *pebble.DB
	cache *pebble.Cache
	dir   string
	fs    vfs.FS
	// flushes counts finished flushes, for tests and status.
	flushes atomic.Int64
	// pending is about how many bytes are committed and not flushed, flushing how
	// many of them the flush under way writes.
	pending, flushing atomic.Int64
	stats             *Stats
	failure           failure
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
	e := &Engine{dir: dir, fs: o.FS, cache: pebble.NewCache(o.CacheBytes), stats: newStats(),
		failure: failure{happened: make(chan struct{})}}
	options := e.pebbleOptions(o)
	err := verifyFiles(dir, options)
	var db *pebble.DB
	if err == nil {
		db, err = pebble.Open(dir, options)
	}
	if err != nil {
		e.cache.Unref()
		return nil, openError(dir, o.FS, err)
	}
	e.db = db
	return e, nil
}

func (e *Engine) pebbleOptions(o Options) *pebble.Options {
	comparer := newComparer()
	schema := colblk.DefaultKeySchema(comparer, 16)
	p := &pebble.Options{
		FS:                          yieldingFS{o.FS},
		Comparer:                    comparer,
		KeySchema:                   schema.Name,
		KeySchemas:                  sstable.MakeKeySchemas(&schema),
		Cache:                       e.cache,
		DisableWAL:                  true,
		FormatMajorVersion:          pebble.FormatNewest,
		MemTableSize:                uint64(o.MemTableBytes),
		MemTableStopWritesThreshold: memTablesWaiting,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       1000,
		LBaseMaxBytes:               64 << 20,
		MaxOpenFiles:                o.MaxOpenFiles,
		CompactionConcurrencyRange:  func() (int, int) { return 1, max(1, runtime.NumCPU()/2) },
		Logger:                      &pebbleLogger{log: o.Logger, engine: e, fatal: o.OnFatal},
		EventListener:               e.listener(o),
	}
	for i := range p.Levels {
		p.Levels[i].BlockSize = blockBytes
		p.Levels[i].IndexBlockSize = 64 << 10
		p.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		p.Levels[i].FilterType = pebble.TableFilter
		p.Levels[i].Compression = compression(i)
	}
	return p
}

// compression of a level's blocks. What is flushed to level 0 is soon rewritten, so
// compressing it would be work done twice.
func compression(level int) func() *sstable.CompressionProfile {
	profile := sstable.FastestCompression
	if level == 0 {
		profile = sstable.NoCompression
	}
	return func() *sstable.CompressionProfile { return profile }
}

func (e *Engine) listener(o Options) *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: func(err error) {
			o.Logger.Error("engine background work failed", zap.Error(err))
			if f := e.failure.flush.Load(); f != nil && errors.Is(err, *f) {
				e.fail(fmt.Errorf("engine: flush: %w", err), o.OnFatal)
			}
		},
		// Whoever reads is given the error; the rest is served on.
		DataCorruption: func(i pebble.DataCorruptionInfo) {
			o.Logger.Error("a file of the engine is damaged; replace this member or restore it from a snapshot",
				zap.String("path", i.Path), zap.Error(i.Details))
		},
		FlushBegin: func(pebble.FlushInfo) { e.flushing.Store(e.pending.Load()) },
		FlushEnd: func(i pebble.FlushInfo) {
			if i.Err != nil {
				e.failure.flush.Store(&i.Err)
				return
			}
			e.pending.Add(-e.flushing.Swap(0))
			e.flushes.Add(1)
			e.stats.Flushes.Observe(i.TotalDuration)
			e.stats.Commits.Observe(i.TotalDuration)
			if o.OnFlush != nil {
				o.OnFlush()
			}
		},
	}
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

// NewBatch returns an empty batch.
func (e *Engine) NewBatch() *Batch { return e.db.NewBatch() }

// NewIndexedBatch returns a batch that is also a Reader of the engine as it
// will be once the batch is committed. It costs more than NewBatch.
func (e *Engine) NewIndexedBatch() *Batch { return e.db.NewIndexedBatch() }

// Commit makes b visible to readers. It becomes durable with the next flush.
func (e *Engine) Commit(b *Batch) error {
	if err := e.failed(); err != nil {
		return err
	}
	e.pending.Add(int64(b.Len()))
	began := time.Now()
	if err := e.db.Apply(b, pebble.NoSync); err != nil {
		return fmt.Errorf("engine: commit batch: %w", err)
	}
	e.stats.Commits.Observe(time.Since(began))
	return b.Close()
}

// NewIter opens an iterator over the engine as it is now.
func (e *Engine) NewIter(o *IterOptions) (*Iterator, error) { return e.db.NewIter(o) }

// Get returns a copy of a record's value, or ErrNotFound.
func (e *Engine) Get(key []byte) ([]byte, error) {
	v, closer, err := e.db.Get(key)
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	return append([]byte(nil), v...), nil
}

// GetDurable is Get on what has been flushed: what a crash would leave.
func (e *Engine) GetDurable(key []byte) ([]byte, error) {
	it, err := e.db.NewIter(&pebble.IterOptions{
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

// Snapshot is the engine as it was at one moment, however it changes. It keeps
// what it shows from being reclaimed, so it must be closed.
type Snapshot = pebble.Snapshot

// NewSnapshot returns the engine as it is now.
func (e *Engine) NewSnapshot() *Snapshot { return e.db.NewSnapshot() }

// StartFlush begins to write all committed batches to disk; OnFlush tells when
// it is done.
func (e *Engine) StartFlush() error {
	if _, err := e.db.AsyncFlush(); err != nil {
		return fmt.Errorf("engine: flush: %w", err)
	}
	return nil
}

// Reclaim rewrites all files so that deleted and superseded records give back
// their space. Readers and the writer go on meanwhile.
func (e *Engine) Reclaim(ctx context.Context) error {
	last := []byte{0xff, terminator}
	if err := e.db.Compact(ctx, []byte{terminator}, last, false); err != nil {
		return fmt.Errorf("engine: reclaim space: %w", err)
	}
	return nil
}

// Checkpoint writes a consistent copy of the flushed engine to dir, sharing its
// immutable files by hard links. dir must not exist.
func (e *Engine) Checkpoint(dir string) error {
	if err := e.db.Checkpoint(dir, pebble.WithFlushedWAL()); err != nil {
		return fmt.Errorf("engine: checkpoint to %s: %w", dir, err)
	}
	return nil
}

// Size is the space, in bytes, that the engine's files take, with what is yet to be
// flushed, and Live the part that holds current data.
type Size struct{ Total, Live int64 }

// Size reports the space taken. It is cheap enough to be asked on each request
// of an operator, not on each write.
func (e *Engine) Size() Size {
	m := e.db.Metrics()
	total := int64(m.DiskSpaceUsage()) + max(e.pending.Load(), 0)
	dead := int64(m.Table.ObsoleteSize + m.Table.ZombieSize)
	return Size{Total: total, Live: max(total-dead, 0)}
}

// Metrics describes the engine's inner state for an operator.
func (e *Engine) Metrics() string { return e.db.Metrics().String() }
