package transfer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"bowline/internal/tally"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/raft/v3/raftpb"
)

// incoming is a state that is being received. A file is written under a name that
// ends in .part; whole, checked and synced, it gets its own.
type incoming struct {
	fs       vfs.FS
	id       string
	name     string // of the directory, behind its prefix
	dir      string
	message  *raftpb.Message
	files    map[string]*incomingFile
	order    []string
	received int64
	began    time.Time
	heard    time.Time // when the sender was last heard of
	syncs    *tally.Histogram
}

type incomingFile struct {
	File
	have int64 // of the part
	done bool
}

func (in *incoming) path(name string) string { return in.fs.PathJoin(in.dir, name) }

// lacks are the files that are not whole.
func (in *incoming) lacks() []lack {
	lacks := []lack{}
	for _, name := range in.order {
		if f := in.files[name]; !f.done {
			lacks = append(lacks, lack{Name: name, Offset: f.have})
		}
	}
	return lacks
}

// errReplaced is the end of a state that another one is received instead of.
var errReplaced = errors.New("transfer: another state has come")

// prepare makes the directory for what is offered, and fills it with what is here
// already: what was received before, and tables that the engine has. What was received
// of another state is removed.
func (r *Receiver) prepare(ctx context.Context, id string, o *offer, m *raftpb.Message) (*incoming, error) {
	fs := r.cfg.Dirs.FS
	in := &incoming{fs: fs, id: id, name: fmt.Sprintf("%d-%.8s", m.GetSnapshot().GetMetadata().GetIndex(), id), message: m, began: r.now(), syncs: r.syncs,
		files: make(map[string]*incomingFile, len(o.Files))}
	in.dir = r.cfg.Dirs.path(incomingPrefix + in.name)
	if err := errors.Join(fs.RemoveAll(in.dir), fs.MkdirAll(in.dir, 0o700)); err != nil {
		return nil, err
	}
	var missing uint64
	for _, f := range o.Files {
		c := &incomingFile{File: f}
		in.files[f.Name] = c
		in.order = append(in.order, f.Name)
		if err := r.reuse(ctx, in, c); err != nil {
			return nil, errors.Join(err, fs.RemoveAll(in.dir))
		}
		if !c.done {
			missing += uint64(f.Size - c.have)
		}
	}
	if old := r.current; old != nil {
		r.current = nil
		r.counts.end(old.message.GetFrom(), 0, errReplaced)
		if err := fs.RemoveAll(old.dir); err != nil {
			return nil, err
		}
	}
	usage, err := fs.GetDiskUsage(r.cfg.Dirs.Dir)
	if err == nil && usage.AvailBytes < missing+r.cfg.Reserve {
		return nil, errors.Join(refuse(http.StatusInsufficientStorage, "a state of %d bytes does not fit: %d are free, %d of them reserved",
			missing, usage.AvailBytes, r.cfg.Reserve), fs.RemoveAll(in.dir))
	}
	return in, nil
}

// reuse takes over what is here of a file.
func (r *Receiver) reuse(ctx context.Context, in *incoming, f *incomingFile) error {
	fs := in.fs
	if old := r.current; old != nil {
		if had := old.files[f.Name]; had != nil && had.File == f.File {
			switch {
			case had.done:
				f.done = true
				return vfs.LinkOrCopy(fs, old.path(f.Name), in.path(f.Name))
			case had.have > 0:
				f.have = had.have
				// The old state is left without it, and is not used any more.
				had.have = 0
				return fs.Rename(old.path(f.Name+partSuffix), in.path(f.Name+partSuffix))
			}
			return nil
		}
	}
	// Tables never change; the engine's other files do. Each engine counts its tables anew:
	// the checksum decides. A table can go away at any moment.
	if !strings.HasSuffix(f.Name, ".sst") {
		return nil
	}
	own := fs.PathJoin(r.cfg.Engine.Dir(), f.Name)
	info, err := fs.Stat(own)
	if err != nil || info.Size() != f.Size {
		return nil
	}
	if err := vfs.LinkOrCopy(fs, own, in.path(f.Name+partSuffix)); err != nil {
		return discard(fs, in.path(f.Name+partSuffix))
	}
	_, sum, err := checksum(ctx, fs, in.path(f.Name+partSuffix), nil)
	if err != nil || sum != f.SHA256 {
		return errors.Join(ctx.Err(), discard(fs, in.path(f.Name+partSuffix)))
	}
	return in.finish(f)
}

// discard removes a file that may not be there.
func discard(fs vfs.FS, name string) error {
	if err := fs.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// write adds a chunk to a file. One that is there already changes nothing, except that
// a file all of which is here is judged again, if that was cut short before.
func (in *incoming) write(ctx context.Context, name string, offset int64, b []byte) error {
	f := in.files[name]
	switch {
	case f == nil:
		return refuse(http.StatusBadRequest, "a file called %.100q was not offered", name)
	case !f.done && f.have == f.Size && f.Size > 0:
		return in.judge(ctx, f)
	case f.done || offset >= 0 && offset+int64(len(b)) <= f.have && len(b) > 0:
		return nil
	case offset != f.have || f.have+int64(len(b)) > f.Size || len(b) == 0 && f.Size > 0:
		return refuse(http.StatusConflict, "%d bytes at %d of %s, which has %d of %d here", len(b), offset, name, f.have, f.Size)
	}
	if err := in.append(f, b); err != nil {
		return err
	}
	if f.have < f.Size {
		return nil
	}
	return in.judge(ctx, f)
}

// judge compares a file that is all here with what was promised. One that is not it, or
// cannot be read, is to be sent again.
func (in *incoming) judge(ctx context.Context, f *incomingFile) error {
	part := in.path(f.Name + partSuffix)
	_, sum, err := checksum(ctx, in.fs, part, nil)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil && sum == f.SHA256:
		return in.finish(f)
	case err == nil:
		err = refuse(http.StatusUnprocessableEntity, "%s has checksum %s, not %s", f.Name, sum, f.SHA256)
	}
	f.have = 0
	return errors.Join(err, discard(in.fs, part))
}

// append writes behind what there is of a file.
func (in *incoming) append(f *incomingFile, b []byte) error {
	part := in.path(f.Name + partSuffix)
	var file vfs.File
	var err error
	if f.have == 0 {
		file, err = in.fs.Create(part, diskCategory)
	} else {
		file, err = in.fs.OpenReadWrite(part, diskCategory)
	}
	if err != nil {
		return err
	}
	if _, err = file.WriteAt(b, f.have); err == nil && f.have+int64(len(b)) == f.Size {
		began := time.Now()
		err = file.Sync()
		in.syncs.Observe(time.Since(began))
		if err != nil { // nobody knows what is on the disk
			f.have = 0
			return errors.Join(err, file.Close(), discard(in.fs, part))
		}
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	f.have += int64(len(b))
	in.received += int64(len(b))
	return nil
}

// finish gives a whole file its name.
func (in *incoming) finish(f *incomingFile) error {
	if err := in.fs.Rename(in.path(f.Name+partSuffix), in.path(f.Name)); err != nil {
		return err
	}
	f.done = true
	return nil
}
