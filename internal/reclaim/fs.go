package reclaim

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// FS is a file system whose Remove and RemoveAll return when the names are gone, while the
// space of large files follows. A file that has another name keeps its content, and one
// that cannot be cut short, like those in memory, is removed at once.
//
// Whoever still reads a file that is removed may find it shorter. Its methods may be
// called by several goroutines. The last call must be to Close.
type FS struct {
	vfs.FS
	files int

	mu      sync.Mutex
	left    []leftover // oldest first
	bytes   int64      // of left
	working bool
	closed  bool
	hurry   chan struct{} // closed by Close
	idle    sync.Cond     // not working
}

// New returns a file system over fs that keeps up to so many removed files open.
func New(fs vfs.FS, files int) *FS {
	r := &FS{FS: fs, files: files, hurry: make(chan struct{})}
	r.idle.L = &r.mu
	return r
}

// shrinker is an open file that can be cut short.
type shrinker interface {
	io.Closer
	Truncate(size int64) error
}

// leftover is a file without a name.
type leftover struct {
	file shrinker
	size int64
	dir  string // where it was: the disk whose space it has
}

// Unwrap implements vfs.FS.
func (r *FS) Unwrap() vfs.FS { return r.FS }

// Remove implements vfs.FS.
func (r *FS) Remove(name string) error {
	f, size := r.large(name)
	if f == nil {
		return r.FS.Remove(name)
	}
	if err := r.FS.Remove(name); err != nil {
		f.Close() // nothing was written
		return err
	}
	r.take(f, size, r.PathDir(name))
	return nil
}

// RemoveAll implements vfs.FS. Large files directly in the directory go piece by piece.
func (r *FS) RemoveAll(name string) error {
	if info, err := os.Lstat(name); err == nil && info.IsDir() {
		files, _ := r.List(name) // what cannot be listed is not large
		for _, f := range files {
			if path := r.PathJoin(name, f); isLarge(path) {
				_ = r.Remove(path) // the next call says what is wrong
			}
		}
	}
	return r.FS.RemoveAll(name)
}

// isLarge tells of a file, not of what a link points to.
func isLarge(name string) bool {
	info, err := os.Lstat(name)
	return err == nil && info.Mode().IsRegular() && info.Size() > piece
}

// large opens a file that is worth the effort, and is nil for others.
func (r *FS) large(name string) (shrinker, int64) {
	if !isLarge(name) {
		return nil, 0
	}
	info, err := r.Stat(name)
	if err != nil || info.IsDir() || info.Size() <= piece {
		return nil, 0
	}
	f, err := r.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, 0
	}
	s, ok := f.(shrinker)
	if !ok {
		f.Close()
		return nil, 0
	}
	return s, info.Size()
}

// Take closes a file that has no name, and that nobody else uses. Its space was that of
// the disk that dir is on.
func (r *FS) Take(f *os.File, dir string) error {
	info, err := f.Stat()
	if err != nil || info.Size() <= piece {
		return f.Close()
	}
	r.take(f, info.Size(), dir)
	return nil
}

func (r *FS) take(f shrinker, size int64, dir string) {
	if !nameless(f) {
		f.Close()
		return
	}
	r.mu.Lock()
	if r.closed || len(r.left) >= r.files || r.bytes+size > maxBytes {
		r.mu.Unlock()
		f.Close()
		return
	}
	r.left = append(r.left, leftover{f, size, dir})
	r.bytes += size
	start := !r.working
	r.working = true
	r.mu.Unlock()
	if start {
		go r.work()
	}
}

// nameless tells that no other name leads to the file: one that has a second name in a
// checkpoint must stay whole.
func nameless(f shrinker) bool {
	var stat os.FileInfo
	var err error
	switch f := f.(type) {
	case interface{ Stat() (os.FileInfo, error) }:
		stat, err = f.Stat()
	case interface{ Stat() (vfs.FileInfo, error) }:
		stat, err = f.Stat()
	}
	if err != nil || stat == nil {
		return false
	}
	s, ok := stat.Sys().(*syscall.Stat_t)
	return ok && s.Nlink == 0
}

// Close frees what is left at once, and returns when it is done. Files that are removed
// later are removed at once, too.
func (r *FS) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.closed = true
		close(r.hurry)
	}
	for r.working {
		r.idle.Wait()
	}
}

// Waiting is how many bytes are without a name, and still on the disk.
func (r *FS) Waiting() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bytes
}

// work frees what is left, oldest first, until nothing is.
func (r *FS) work() {
	for {
		r.mu.Lock()
		if len(r.left) == 0 {
			r.working = false
			r.idle.Broadcast()
			r.mu.Unlock()
			return
		}
		l := r.left[0]
		r.mu.Unlock()

		r.free(&l)

		r.mu.Lock()
		r.left[0] = leftover{}
		r.left = r.left[1:]
		r.mu.Unlock()
	}
}

// free cuts one file shorter and shorter, and closes it. Before that its name must be gone
// for good: a crash must not bring it back with a part of its content.
func (r *FS) free(l *leftover) {
	gone := r.syncDir(l.dir) == nil
	for gone && l.size > piece && !r.pressed(l.dir) {
		began := time.Now()
		if l.file.Truncate(l.size-piece) != nil {
			break // closing it does the same, without the pauses
		}
		l.size -= piece
		r.account(piece)
		r.pause(time.Since(began))
	}
	began := time.Now()
	l.file.Close() // nothing was written to it
	r.account(l.size)
	r.pause(time.Since(began))
}

func (r *FS) syncDir(dir string) error {
	d, err := r.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// account notes that bytes are free.
func (r *FS) account(freed int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bytes -= freed
}

// pressed tells that somebody waits for the space, or for the end.
func (r *FS) pressed(dir string) bool {
	select {
	case <-r.hurry:
		return true
	default:
	}
	usage, err := r.GetDiskUsage(dir)
	return err == nil && usage.AvailBytes < uint64(scarcity*r.Waiting())
}

// pause rests after a piece that took a time.
func (r *FS) pause(took time.Duration) {
	r.mu.Lock()
	timer := time.NewTimer(rest(float64(len(r.left))/float64(r.files), r.bytes, took))
	r.mu.Unlock()
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.hurry:
	}
}
