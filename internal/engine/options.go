package engine

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/sstable/colblk"
	"go.uber.org/zap"
)

const (
	// A table of level 0 has about firstTableBytes, of each next level twice as much, up
	// to maxTableBytes. Whoever writes a table holds the values of old versions in
	// memory until it is complete.
	firstTableBytes = 2 << 20
	maxTableBytes   = 8 << 20
)

func (h *handle) pebbleOptions(o Options, cache *pebble.Cache) *pebble.Options {
	comparer := newComparer()
	schema := colblk.DefaultKeySchema(comparer, 16)
	p := &pebble.Options{
		FS:                          orderedFS{pacedFS{o.FS, &h.pace}},
		Comparer:                    comparer,
		KeySchema:                   schema.Name,
		KeySchemas:                  sstable.MakeKeySchemas(&schema),
		Cache:                       cache,
		DisableWAL:                  true,
		ReadOnly:                    o.ReadOnly,
		FormatMajorVersion:          pebble.FormatNewest,
		MemTableSize:                uint64(o.MemTableBytes),
		MemTableStopWritesThreshold: memTablesWaiting,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       1000,
		LBaseMaxBytes:               64 << 20,
		MaxOpenFiles:                o.MaxOpenFiles,
		CompactionConcurrencyRange:  func() (int, int) { return 1, max(1, runtime.NumCPU()/2) },
		Logger:                      &pebbleLogger{log: o.Logger, handle: h, fatal: o.OnFatal},
		EventListener:               h.listener(o),
	}
	for i := range p.TargetFileSizes {
		p.TargetFileSizes[i] = min(int64(firstTableBytes)<<i, maxTableBytes)
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

func (h *handle) listener(o Options) *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: func(err error) {
			o.Logger.Error("engine background work failed", zap.Error(err))
			if f := h.flushFailed.Load(); f != nil && errors.Is(err, *f) {
				h.fail(fmt.Errorf("engine: flush: %w", err), o.OnFatal)
			}
		},
		// Whoever reads is given the error; the rest is served on.
		DataCorruption: func(i pebble.DataCorruptionInfo) {
			o.Logger.Error("a file of the engine is damaged; replace this member or restore it from a snapshot",
				zap.String("path", i.Path), zap.Error(i.Details))
		},
		FlushBegin: func(pebble.FlushInfo) {
			h.flushing.Store(h.pending.Load())
			h.pace.flushedBytes.Store(0)
		},
		FlushEnd: func(i pebble.FlushInfo) {
			if i.Err != nil {
				h.flushFailed.Store(&i.Err)
				return
			}
			h.pending.Add(-h.flushing.Swap(0))
			h.unflushed.flushedTables(i.Output)
			h.flushes.Add(1)
			e := h.owner.Load()
			e.flushes.Add(1)
			e.stats.Flushes.Observe(i.TotalDuration)
			e.stats.Commits.Observe(i.TotalDuration)
			if o.OnFlush != nil {
				o.OnFlush()
			}
		},
	}
}
