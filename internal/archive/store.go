package archive

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"bowline/internal/exchange"
)

// Store is where an archive is kept.
type Store interface {
	// List returns the names of what has been put, in no order.
	List(ctx context.Context) ([]string, error)
	// Put stores content under a name, replacing what is there. When it returns nil it
	// is safe; until then the name is as it was. After an error the same may be put again,
	// and goes on with what has arrived, if it was much.
	Put(ctx context.Context, name string, c Content) error
	// Open reads what was put under a name. The error is os.ErrNotExist if nothing was.
	Open(ctx context.Context, name string) (io.ReadCloser, error)
	Remove(ctx context.Context, name string) error
	// String is how errors call it.
	String() string
}

// Content is what is put. It can be read from anywhere, because of what has arrived
// already nothing is sent again.
type Content struct {
	io.ReaderAt
	Size int64
	pace *pace // in which it is sent; nil is as fast as possible
}

// reader reads n bytes from an offset on in the pace in which they are to be sent.
func (c Content) reader(ctx context.Context, from, n int64) io.Reader {
	r := io.NewSectionReader(c, from, n)
	if c.pace == nil {
		return r
	}
	return c.pace.reader(ctx, r)
}

// tidier is a store in which an interrupted Put leaves something.
type tidier interface {
	// tidy removes what is left. No Put may be under way.
	tidy(ctx context.Context) error
}

// Open finds the store that a text names: a directory, or a bucket as s3://BUCKET/PREFIX.
// An archive need not be there yet.
func Open(place string) (Store, error) {
	if place == "" {
		return nil, errors.New("the archive's place is empty")
	}
	if strings.HasPrefix(place, s3Scheme) {
		return openBucket(place)
	}
	return directory{filepath.Clean(place)}, nil
}

// unfinished begins the names of files that are being written.
const unfinished = ".unfinished-"

type directory struct{ path string }

func (d directory) String() string { return d.path }

func (d directory) List(context.Context) ([]string, error) {
	all, err := os.ReadDir(d.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range all {
		if e.Type().IsRegular() && !strings.HasPrefix(e.Name(), unfinished) {
			names = append(names, e.Name())
		}
	}
	return names, err
}

func (d directory) Put(ctx context.Context, name string, c Content) (err error) {
	if err := os.MkdirAll(d.path, 0o700); err != nil {
		return err
	}
	// Named after the piece, so that the next attempt replaces what a crash has left.
	temporary := filepath.Join(d.path, unfinished+name)
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, exchange.ReaderUntil(ctx, c.reader(ctx, 0, c.Size)))
	if err == nil && n != c.Size {
		err = io.ErrUnexpectedEOF
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(temporary, filepath.Join(d.path, name))
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	return d.sync()
}

func (d directory) sync() error {
	f, err := os.Open(d.path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (d directory) Open(_ context.Context, name string) (io.ReadCloser, error) {
	return os.Open(filepath.Join(d.path, name))
}

func (d directory) Remove(_ context.Context, name string) error {
	return os.Remove(filepath.Join(d.path, name))
}

// tidy removes what a crash has left of pieces that were being written.
func (d directory) tidy(context.Context) error {
	left, err := filepath.Glob(filepath.Join(d.path, unfinished+"*"))
	for _, name := range left {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}
