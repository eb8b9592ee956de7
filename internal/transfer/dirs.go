package transfer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"bowline/internal/engine"
	"bowline/internal/fsm"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"
)

// Names in a member's directory.
const (
	pointerName    = engine.PointerFile
	firstEngine    = engine.DirName
	enginePrefix   = engine.ReceivedPrefix // received whole; the engine's, or about to be
	incomingPrefix = "incoming-"           // being received
	statePrefix    = "state-"              // a checkpoint that is being sent
	completeName   = "COMPLETE"
	partSuffix     = ".part"

	diskCategory vfs.DiskWriteCategory = "transfer"
)

// Dirs is the part of a member's directory that says where the engine is. The pointer
// file names the engine's directory; without one it is "engine".
type Dirs struct {
	FS vfs.FS
	// Dir is the member's directory.
	Dir string
}

func (d Dirs) path(name string) string { return d.FS.PathJoin(d.Dir, name) }

// Current returns the directory of the engine.
func (d Dirs) Current() (string, error) { return engine.Current(d.FS, d.Dir) }

// setCurrent puts on record, durably, that dir is the engine's.
func (d Dirs) setCurrent(dir string) error {
	name := d.path(pointerName)
	err := writeSynced(d.FS, name+".tmp", []byte(d.FS.PathBase(dir)+"\n"))
	if err == nil {
		err = d.FS.Rename(name+".tmp", name)
	}
	if err == nil {
		err = d.sync()
	}
	if err != nil {
		return fmt.Errorf("cannot record which directory the engine is in: %w", err)
	}
	return nil
}

func (d Dirs) sync() error { return syncDir(d.FS, d.Dir) }

// Clean removes, at start, what a crash has left: states that were being made or
// received, and engines that are not the current one. It must not be called before
// FinishInstall had its say.
func (d Dirs) Clean() error {
	current, err := d.Current()
	if err != nil {
		return err
	}
	names, err := d.FS.List(d.Dir)
	if err != nil {
		return fmt.Errorf("cannot access member directory: %w", err)
	}
	for _, name := range names {
		ours := name == firstEngine || slices.ContainsFunc([]string{enginePrefix, incomingPrefix, statePrefix},
			func(prefix string) bool { return strings.HasPrefix(name, prefix) })
		if !ours || d.path(name) == current {
			continue
		}
		if err := d.FS.RemoveAll(d.path(name)); err != nil {
			return fmt.Errorf("cannot write to member directory: %w", err)
		}
	}
	return nil
}

// complete is what the file COMPLETE says of the state beside it. It is written last,
// when everything else in the directory is durable.
type complete struct {
	Index, Term uint64
}

// seal declares the state in dir complete, and gives it the name of an engine.
func (d Dirs) seal(dir, name string, c complete) error {
	b, err := json.Marshal(c)
	if err == nil {
		err = syncDir(d.FS, dir)
	}
	if err == nil {
		err = writeSynced(d.FS, d.FS.PathJoin(dir, completeName), b)
	}
	if err == nil {
		err = syncDir(d.FS, dir)
	}
	if err == nil {
		err = d.FS.Rename(dir, d.path(name))
	}
	if err == nil {
		err = d.sync()
	}
	return err
}

// find returns the directory of the complete state at a position.
func (d Dirs) find(at complete) (string, error) {
	names, err := d.FS.List(d.Dir)
	if err != nil {
		return "", err
	}
	for _, name := range names {
		if !strings.HasPrefix(name, enginePrefix) {
			continue
		}
		b, err := readSmall(d.FS, d.FS.PathJoin(d.path(name), completeName))
		var c complete
		if err == nil && json.Unmarshal(b, &c) == nil && c == at {
			return d.path(name), nil
		}
	}
	return "", os.ErrNotExist
}

// FinishInstall ends an installation that a crash has cut short after the log had been
// marked: e holds less than the mark says, and the log does not reach back to it. It
// returns the engine with the received state, e being closed. Without that state this
// member cannot go on, and the error says what to do.
func (d Dirs) FinishInstall(e *engine.Engine, o engine.Options, index, term uint64) (*engine.Engine, error) {
	dir, err := d.find(complete{index, term})
	if err != nil {
		return e, fmt.Errorf("the log says that the state up to entry %d was received from another member, but %s does not hold it: "+
			"replace this member, or restore it from a snapshot: %w", index, d.Dir, err)
	}
	if err := checkPosition(o, dir, index, term); err != nil {
		return e, err
	}
	if err := e.Close(); err != nil {
		return nil, err
	}
	if err := d.setCurrent(dir); err != nil {
		return nil, err
	}
	o.Logger.Info("finished the installation of a received state", zap.Uint64("index", index), zap.String("dir", dir))
	return engine.Open(dir, o)
}

// checkPosition opens the engine in dir to see that it holds what it should.
func checkPosition(o engine.Options, dir string, index, term uint64) error {
	next, err := engine.Open(dir, engine.Options{FS: o.FS, Logger: o.Logger})
	if err != nil {
		return err
	}
	at, err := fsm.ReadApplied(next, false)
	if err = errors.Join(err, next.Close()); err != nil {
		return err
	}
	return samePosition(at, index, term)
}

func samePosition(at fsm.Position, index, term uint64) error {
	if at.Index != index || at.Term != term {
		return fmt.Errorf("transfer: the received state is that of entry %d of term %d, not of entry %d of term %d", at.Index, at.Term, index, term)
	}
	return nil
}

// maxSmall bounds the files that are read whole.
const maxSmall = 4 << 10

func readSmall(fs vfs.FS, name string) ([]byte, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxSmall))
}

func writeSynced(fs vfs.FS, name string, content []byte) error {
	f, err := fs.Create(name, diskCategory)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(fs vfs.FS, path string) error {
	dir, err := fs.OpenDir(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
