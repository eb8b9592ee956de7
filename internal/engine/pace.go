package engine

import (
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Rewriting tables and flushing memtables are long loops that never wait: they would
// keep a processor for as long as the schedulers let them, ten milliseconds, while
// requests that need a fraction of one wait behind them. So whoever writes a table
// file lets others run after each write; and a rewriting, which nobody waits for,
// rests besides while clients write.
const (
	// rewriteRest is the rest as a multiple of the work before it.
	rewriteRest = 2
	// rewriteNap is how much rest is saved up, since a timer cannot wait much less than
	// a millisecond, and maxNap how much is taken at a time: what was no work, like
	// waiting for the disk, is not told apart.
	rewriteNap = 2 * time.Millisecond
	maxNap     = 20 * time.Millisecond
	// writersQuiet is how long nobody must have written for rewriting to go on without
	// a rest.
	writersQuiet = 100 * time.Millisecond
	// maxDebt is how much may wait to be rewritten before reads and the disk matter
	// more than the latency of writes, and debtInterval how often that is looked at.
	maxDebt      = 512 << 20
	debtInterval = int64(500 * time.Millisecond)
)

// rewriteCategory is how Pebble marks the files that rewriting writes.
const rewriteCategory vfs.DiskWriteCategory = "pebble-compaction"

// pace says when rewriting rests.
type pace struct {
	// wrote is when the last batch was committed, in nanoseconds of Unix time.
	wrote atomic.Int64
	// debt tells how much waits to be rewritten; asked is when it last did, and deep
	// that it was too much.
	debt  func() uint64
	asked atomic.Int64
	deep  atomic.Bool
}

// calm tells that rewriting need not rest.
func (p *pace) calm(now int64) bool {
	if now-p.wrote.Load() > int64(writersQuiet) {
		return true
	}
	if asked := p.asked.Load(); now-asked > debtInterval && p.asked.CompareAndSwap(asked, now) {
		p.deep.Store(p.debt() > maxDebt)
	}
	return p.deep.Load()
}

// pacedFS is the file system that Pebble writes its tables through.
type pacedFS struct {
	vfs.FS
	pace *pace
}

// Unwrap implements vfs.FS.
func (fs pacedFS) Unwrap() vfs.FS { return fs.FS }

// Create implements vfs.FS.
func (fs pacedFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, category)
	if err != nil || !strings.HasSuffix(name, ".sst") {
		return f, err
	}
	if category == rewriteCategory {
		return &restingFile{File: f, pace: fs.pace, since: time.Now()}, nil
	}
	return yieldingFile{f}, nil
}

// yieldingFile lets other goroutines run.
type yieldingFile struct{ vfs.File }

// Write implements io.Writer.
func (f yieldingFile) Write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	runtime.Gosched()
	return n, err
}

// restingFile lets other processes run, too. One goroutine writes it.
type restingFile struct {
	vfs.File
	pace  *pace
	since time.Time // of the work that was not rested from yet
}

// Write implements io.Writer.
func (f *restingFile) Write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	now := time.Now()
	switch nap := min(rewriteRest*now.Sub(f.since), maxNap); {
	case f.pace.calm(now.UnixNano()):
		f.since = now
		runtime.Gosched()
	case nap < rewriteNap:
		runtime.Gosched()
	default:
		time.Sleep(nap)
		f.since = time.Now()
	}
	return n, err
}
