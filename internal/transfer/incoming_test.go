package transfer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"bowline/internal/tally"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// failingFS fails what it is told to.
type failingFS struct {
	vfs.FS
	rename, sync, read error
}

func (fs *failingFS) Rename(from, to string) error {
	if fs.rename != nil {
		return fs.rename
	}
	return fs.FS.Rename(from, to)
}

func (fs *failingFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, category)
	return &failingFile{f, fs}, err
}

func (fs *failingFS) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := fs.FS.OpenReadWrite(name, category, opts...)
	return &failingFile{f, fs}, err
}

func (fs *failingFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	if fs.read != nil {
		return nil, fs.read
	}
	return fs.FS.Open(name, opts...)
}

type failingFile struct {
	vfs.File
	fs *failingFS
}

func (f *failingFile) Sync() error {
	if f.fs.sync != nil {
		return f.fs.sync
	}
	return f.File.Sync()
}

// TestLastChunkGoesWrong: whatever is cut short when the last bytes of a file have come,
// the sender gets on with what it is told is lacking.
func TestLastChunkGoesWrong(t *testing.T) {
	content := []byte("all of it")
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		fault  failingFS
		cancel bool
		from   int64 // what is asked for afterwards
	}{
		"the sender goes away":            {cancel: true, from: int64(len(content))},
		"the file cannot be renamed":      {fault: failingFS{rename: broken}, from: int64(len(content))},
		"the file cannot be read":         {fault: failingFS{read: broken}},
		"the file cannot be made durable": {fault: failingFS{sync: broken}},
	} {
		t.Run(name, func(t *testing.T) {
			fs := &failingFS{FS: vfs.NewMem()}
			must(t, fs.MkdirAll("in", 0o700))
			f := &incomingFile{File: File{Name: "000001.sst", Size: int64(len(content)), SHA256: fmt.Sprintf("%x", sha256.Sum256(content))}}
			in := &incoming{fs: fs, dir: "in", files: map[string]*incomingFile{f.Name: f}, order: []string{f.Name},
				syncs: tally.Durations(time.Millisecond, 3)}
			must(t, in.write(t.Context(), f.Name, 0, content[:4]))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if c.cancel {
				cancel()
			}
			fs.rename, fs.sync, fs.read = c.fault.rename, c.fault.sync, c.fault.read
			if err := in.write(ctx, f.Name, 4, content[4:]); err == nil {
				t.Fatal("nothing went wrong")
			}
			fs.rename, fs.sync, fs.read = nil, nil, nil
			lacks := in.lacks()
			if len(lacks) != 1 || lacks[0].Offset != c.from {
				t.Fatalf("lacks %+v, want from %d", lacks, c.from)
			}
			must(t, in.write(t.Context(), f.Name, c.from, content[c.from:]))
			if len(in.lacks()) != 0 {
				t.Errorf("lacks %+v at the end", in.lacks())
			}
			if _, err := fs.Stat("in/" + f.Name + partSuffix); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the part is left: %v", err)
			}
		})
	}
}
