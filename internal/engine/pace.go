package engine

import (
	"strings"
	"sync/atomic"
	"time"

	"bowline/internal/rest"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	// rewriteRest is the rest of a rewriting, which nobody waits for, as a multiple of the
	// work before it, and deferredRest that while there is no use in rewriting.
	rewriteRest  = 2
	deferredRest = 40
	// flushRest is that of a flush as long as it is ahead: as long as it has written
	// flushLead times as much as was committed since it began.
	flushRest = 5
	flushLead = 4
	// writersQuiet is how long nobody must have written for work to go on without a rest.
	writersQuiet = 100 * time.Millisecond
	// maxDebt is how much may wait to be rewritten before reads and the disk matter
	// more than the latency of writes, and debtInterval how often that is looked at.
	maxDebt      = 512 << 20
	debtInterval = int64(500 * time.Millisecond)
)

// rewriteCategory is how Pebble marks the files that rewriting writes.
const rewriteCategory vfs.DiskWriteCategory = "pebble-compaction"

// pace has those rest who write tables, while clients write.
type pace struct {
	// wrote is when the last batch was committed, in nanoseconds of Unix time.
	wrote atomic.Int64
	// debt tells how much waits to be rewritten; asked is when it last did, and deep
	// that it was too much.
	debt  func() uint64
	asked atomic.Int64
	deep  atomic.Bool
	// flushedBytes is how much the flush under way has written, fresh tells how much
	// was committed since it began.
	flushedBytes atomic.Int64
	fresh        func() int64
	// deferred counts those who want rewriting to wait.
	deferred atomic.Int64
}

// busy tells that clients write.
func (p *pace) busy() bool { return time.Now().UnixNano()-p.wrote.Load() <= int64(writersQuiet) }

// behind tells that too much waits to be rewritten.
func (p *pace) behind() bool {
	now := time.Now().UnixNano()
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
	return tableFile(f, category, fs.pace), nil
}

func tableFile(f vfs.File, category vfs.DiskWriteCategory, p *pace) vfs.File {
	take := p.flushed
	if category == rewriteCategory {
		take = p.rewrote
	}
	return &pacedFile{File: f, take: take, breath: rest.Begin()}
}

// pacedFile is a table that is being written. One goroutine does so.
type pacedFile struct {
	vfs.File
	// take is told how much was written, and rests.
	take   func(b *rest.Breath, written int)
	breath rest.Breath
}

// Write implements io.Writer.
func (f *pacedFile) Write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	f.take(&f.breath, n)
	return n, err
}

func (p *pace) rewrote(b *rest.Breath, _ int) { b.Take(p.busy() && !p.behind(), p.rewriteRest()) }

func (p *pace) rewriteRest() time.Duration {
	if p.deferred.Load() > 0 {
		return deferredRest
	}
	return rewriteRest
}

func (p *pace) flushed(b *rest.Breath, written int) {
	times := time.Duration(flushRest)
	if p.flushedBytes.Add(int64(written)) < flushLead*p.fresh() {
		times = 0 // the next one is not far
	}
	b.Take(p.busy(), times)
}

// DeferRewriting has the rewriting of tables all but wait while clients write, until done is
// called: somebody is about to remove much of what would be rewritten.
func (e *Engine) DeferRewriting() (done func()) {
	p := &e.current.Load().pace
	p.deferred.Add(1)
	return func() { p.deferred.Add(-1) }
}
