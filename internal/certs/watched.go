package certs

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// maxFileBytes bounds a file of certificates, or of revoked ones.
const maxFileBytes = 64 << 20

// settled is how old a file must be for its time to prove that it has not been changed since it was read: file
// systems tell times in steps.
const settled = 2 * time.Second

// watched is what files mean. They are looked at each time that it is asked for, and read when they have changed.
type watched[T any] struct {
	paths []string
	parse func(contents [][]byte) (T, error)
	log   *zap.Logger
	// keep goes on with what was read before when the files cannot be read: one of two may be replaced already.
	keep bool

	mu     sync.Mutex // guards the fields below, and reading
	loaded bool       // there is a value
	value  T
	seen   []stamp
	err    error // of what was seen
	sure   bool  // what was seen proves that nothing has changed
}

// stamp tells whether a file is still the same.
type stamp struct {
	modified time.Time
	size     int64
	inode    uint64
	err      string // why it could not be looked at
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{err: err.Error()}
	}
	s := stamp{modified: info.ModTime(), size: info.Size()}
	if unix, ok := info.Sys().(*syscall.Stat_t); ok {
		s.inode = unix.Ino
	}
	return s
}

// get returns what the files mean now.
func (w *watched[T]) get() (T, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := make([]stamp, len(w.paths))
	for i, path := range w.paths {
		now[i] = stampOf(path)
	}
	if changed := !slices.Equal(now, w.seen); changed || !w.sure {
		w.read(now, changed)
	}
	if w.err != nil && !(w.keep && w.loaded) {
		var none T
		return none, w.err
	}
	return w.value, nil
}

// read reads the files, which have been seen like this before.
func (w *watched[T]) read(now []stamp, changed bool) {
	begun := time.Now()
	value, err := w.parseFiles()
	w.sure = !slices.ContainsFunc(now, func(s stamp) bool { return begun.Sub(s.modified) < settled })
	w.seen, w.err = now, err
	switch {
	case err == nil:
		w.value, w.loaded = value, true
	case changed && w.loaded:
		w.log.Warn("changed files of TLS cannot be used", zap.Strings("files", w.paths), zap.Bool("former-ones-stay-in-use", w.keep), zap.Error(err))
	}
}

func (w *watched[T]) parseFiles() (T, error) {
	var none T
	contents := make([][]byte, len(w.paths))
	for i, path := range w.paths {
		b, err := readFile(path)
		if err != nil {
			return none, err
		}
		contents[i] = b
	}
	value, err := w.parse(contents)
	if err != nil {
		return none, fmt.Errorf("%s: %w", strings.Join(w.paths, ", "), err)
	}
	return value, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err == nil && len(b) > maxFileBytes {
		err = fmt.Errorf("%s is longer than %d bytes", path, maxFileBytes)
	}
	return b, err
}
