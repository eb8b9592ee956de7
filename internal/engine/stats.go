package engine

import (
	"time"

	"bowline/internal/tally"
)

// Stats is what an engine has counted since it was opened.
type Stats struct {
	// Commits is how long batches took to commit, which includes waiting for
	// memtables, and how long flushes took: what etcd's commits do at once.
	Commits *tally.Histogram
	// Flushes is how long flushes took, alone.
	Flushes *tally.Histogram
}

func newStats() *Stats {
	return &Stats{Commits: tally.Durations(time.Millisecond, 14), Flushes: tally.Durations(time.Millisecond, 14)}
}

// Stats returns the counters.
func (e *Engine) Stats() *Stats { return e.stats }

// Figures describe the engine's inner state.
type Figures struct {
	Flushes, Compactions              int64
	CacheHits, CacheMisses            int64
	CacheBytes, MemTableBytes         int64
	UnflushedBytes                    int64
	CompactionDebtBytes               int64
	ReadAmplification                 int
	Tables, OpenSnapshots             int64
	CompactedBytes, FlushedTableBytes int64
}

// Figures reads them; it costs about what Size does.
func (e *Engine) Figures() Figures {
	h := e.acquire()
	defer h.release()
	m := h.db.Metrics()
	total := m.Total()
	return Figures{
		Flushes: e.flushes.Load(), Compactions: m.Compact.Count,
		CacheHits: m.BlockCache.Hits, CacheMisses: m.BlockCache.Misses,
		CacheBytes: m.BlockCache.Size, MemTableBytes: int64(m.MemTable.Size),
		UnflushedBytes: max(h.pending.Load(), 0), CompactionDebtBytes: int64(m.Compact.EstimatedDebt),
		ReadAmplification: m.ReadAmp(), Tables: total.TablesCount, OpenSnapshots: int64(m.Snapshots.Count),
		CompactedBytes: int64(total.TableBytesCompacted), FlushedTableBytes: int64(total.TableBytesFlushed),
	}
}
