package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// file is a file that is put aside when it is full. It has one user at a time.
type file struct {
	path string
	most int64 // bytes
	keep int   // files put aside, 0 for all
	open *os.File
	size int64
}

func openFile(path string, most int64, keep int) (*file, error) {
	f := &file{path: path, most: most, keep: keep}
	return f, f.reopen()
}

func (f *file) reopen() error {
	// The directory must be there: to make one is to write where nobody meant it.
	open, err := os.OpenFile(f.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	info, err := open.Stat()
	if err != nil {
		return errors.Join(err, open.Close())
	}
	f.open, f.size = open, info.Size()
	return nil
}

// Write writes a line. After an error it begins anew, where the file ends then.
func (f *file) Write(line []byte) (int, error) {
	if f.open != nil && f.size > 0 && f.size+int64(len(line)) > f.most {
		if err := f.putAside(); err != nil {
			return 0, err
		}
	}
	if f.open == nil {
		if err := f.reopen(); err != nil {
			return 0, err
		}
	}
	n, err := f.open.Write(line)
	f.size += int64(n)
	if err != nil && n > 0 {
		// Half a line: the next one begins on its own, if there is room for so much.
		m, _ := f.open.Write([]byte("\n"))
		f.size += int64(m)
	}
	return n, err
}

// asideTime is the end of the names of files put aside; they sort by time.
const asideTime = "20060102T150405.000000000"

func (f *file) putAside() error {
	err := f.Close()
	aside := fmt.Sprintf("%s-%s", f.path, time.Now().UTC().Format(asideTime))
	if err := errors.Join(err, os.Rename(f.path, aside)); err != nil {
		return err
	}
	if f.keep == 0 {
		return nil
	}
	entries, err := os.ReadDir(filepath.Dir(f.path))
	if err != nil {
		return err
	}
	var names []string
	for _, e := range entries {
		when, ours := strings.CutPrefix(e.Name(), filepath.Base(f.path)+"-")
		if _, err := time.Parse(asideTime, when); ours && err == nil {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	for len(names) > f.keep {
		err = errors.Join(err, os.Remove(filepath.Join(filepath.Dir(f.path), names[0])))
		names = names[1:]
	}
	return err
}

// Close implements io.Closer.
func (f *file) Close() error {
	if f.open == nil {
		return nil
	}
	err := f.open.Close()
	f.open = nil
	return err
}
