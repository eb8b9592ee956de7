package engine

import (
	"runtime"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// yieldingFS lets other goroutines run after each write to a table file. Flushes
// and compactions are long loops that never wait; without this they keep a
// processor for as long as the scheduler lets them, ten milliseconds, while
// requests that need a fraction of one wait behind them.
type yieldingFS struct{ vfs.FS }

// Unwrap implements vfs.FS.
func (fs yieldingFS) Unwrap() vfs.FS { return fs.FS }

// Create implements vfs.FS.
func (fs yieldingFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, category)
	if err != nil || !strings.HasSuffix(name, ".sst") {
		return f, err
	}
	return yieldingFile{f}, nil
}

type yieldingFile struct{ vfs.File }

// Write implements io.Writer.
func (f yieldingFile) Write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	runtime.Gosched()
	return n, err
}
