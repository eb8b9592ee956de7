package engine

import (
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Rewriting tables and flushing memtables are long loops that never wait: they would
// keep a processor for as long as the schedulers let them, some milliseconds, while
// requests that need a fraction of one wait behind them, and other processes, too. So
// whoever writes a table rests between its parts while clients write, unless what
// is left to do becomes too much.
const (
	// tableRest is the rest as a multiple of the work before it.
	tableRest = 2
	// tableNap is how much rest is saved up, since a timer cannot wait much less than
	// a millisecond, and maxNap how much is taken at a time: what was no work, like
	// waiting for the disk, is not told apart.
	tableNap = time.Millisecond
	maxNap   = 20 * time.Millisecond
	// writersQuiet is how long nobody must have written for the work to go on without
	// a rest.
	writersQuiet = 100 * time.Millisecond
	// maxDebt is how much may wait to be rewritten before reads and the disk matter
	// more than the latency of writes, and debtInterval how often that is looked at.
	maxDebt      = 512 << 20
	debtInterval = int64(500 * time.Millisecond)
)

// rewriteCategory is how Pebble marks the files that rewriting writes.
const rewriteCategory vfs.DiskWriteCategory = "pebble-compaction"

// pace says when those who write tables rest.
type pace struct {
	// wrote is when the last batch was committed, in nanoseconds of Unix time.
	wrote atomic.Int64
	// debt tells how much waits to be rewritten; asked is when it last did, and deep
	// that it was too much.
	debt  func() uint64
	asked atomic.Int64
	deep  atomic.Bool
	// pending tells how much is committed and not flushed; with more than flushBehind a
	// flush does not rest: writers would soon have to wait for its end.
	pending     func() int64
	flushBehind int64
}

// rewriting tells that it need not rest.
func (p *pace) rewriting(now int64) bool {
	if p.quiet(now) {
		return true
	}
	if asked := p.asked.Load(); now-asked > debtInterval && p.asked.CompareAndSwap(asked, now) {
		p.deep.Store(p.debt() > maxDebt)
	}
	return p.deep.Load()
}

// flushing tells that it need not rest.
func (p *pace) flushing(now int64) bool { return p.quiet(now) || p.pending() > p.flushBehind }

func (p *pace) quiet(now int64) bool { return now-p.wrote.Load() > int64(writersQuiet) }

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
	hurry := fs.pace.flushing
	if category == rewriteCategory {
		hurry = fs.pace.rewriting
	}
	return &restingFile{File: f, hurry: hurry, since: time.Now()}, nil
}

// restingFile lets other goroutines and other processes run. One goroutine writes it.
type restingFile struct {
	vfs.File
	hurry func(now int64) bool
	since time.Time // of the work that was not rested from yet
}

// Write implements io.Writer.
func (f *restingFile) Write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	now := time.Now()
	switch nap := min(tableRest*now.Sub(f.since), maxNap); {
	case f.hurry(now.UnixNano()):
		f.since = now
		runtime.Gosched()
	case nap < tableNap:
		runtime.Gosched()
	default:
		time.Sleep(nap)
		f.since = time.Now()
	}
	return n, err
}
