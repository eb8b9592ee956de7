package transfer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"bowline/internal/engine"
	"bowline/internal/fsm"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/raft/v3/raftpb"
)

const (
	// maxStates is how many checkpoints there may be: each keeps files on the disk
	// that the engine would remove.
	maxStates = 2
	// shareAge is up to what age a state is sent to another member too. What came
	// after it is in the log.
	shareAge = 30 * time.Second
)

// ErrTooMany refuses to make a state because maxStates are being sent.
var ErrTooMany = errors.New("transfer: too many states are being sent")

// File is one of a state's.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// state is a checkpoint of the engine.
type state struct {
	dir   string
	made  time.Time
	at    fsm.Position
	conf  *raftpb.ConfState
	files []File
	hold  func() // lets the log go
	err   error
	ready chan struct{} // closed when the fields above are set

	users int // guarded by states.mu
}

// states makes checkpoints, shares them between those who send, and removes them.
type states struct {
	dirs   Dirs
	engine *engine.Engine
	hold   func(index uint64) (release func())
	pace   *pacer
	now    func() time.Time

	mu    sync.Mutex // guards the fields below
	known []*state   // newest last
	made  int
}

// acquire returns a state that is young enough, making one if need be. The caller
// releases it.
func (s *states) acquire(ctx context.Context) (*state, error) {
	s.mu.Lock()
	var st *state
	if n := len(s.known); n > 0 && s.now().Sub(s.known[n-1].made) < shareAge {
		st = s.known[n-1]
	}
	isNew := st == nil
	if isNew {
		if len(s.known) >= maxStates {
			s.mu.Unlock()
			return nil, ErrTooMany
		}
		s.made++
		st = &state{dir: s.dirs.path(statePrefix + strconv.Itoa(s.made)), made: s.now(), ready: make(chan struct{})}
		s.known = append(s.known, st)
	}
	st.users++
	s.mu.Unlock()
	if isNew {
		st.err = s.make(ctx, st)
		close(st.ready)
	}
	select {
	case <-st.ready:
	case <-ctx.Done():
		s.release(st)
		return nil, ctx.Err()
	}
	if st.err != nil {
		s.release(st)
		return nil, st.err
	}
	return st, nil
}

// release gives a state up; the last one to do so removes it. One that could not be
// made is not handed out again.
func (s *states) release(st *state) {
	s.mu.Lock()
	st.users--
	last := st.users == 0
	if last {
		s.known = slices.DeleteFunc(s.known, func(k *state) bool { return k == st })
	} else if closed(st.ready) && st.err != nil {
		st.made = time.Time{}
	}
	s.mu.Unlock()
	if last {
		if st.hold != nil {
			st.hold()
		}
		// What cannot be removed now is removed at the next start.
		_ = s.dirs.FS.RemoveAll(st.dir)
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// make flushes the engine and makes the checkpoint. Everything that is told of it is
// read from it: the engine goes on meanwhile.
func (s *states) make(ctx context.Context, st *state) error {
	fs := s.dirs.FS
	if err := fs.RemoveAll(st.dir); err != nil { // of an earlier life
		return fmt.Errorf("transfer: %w", err)
	}
	if err := s.engine.Flush(); err != nil {
		return err
	}
	before, err := fsm.ReadApplied(s.engine, true)
	if err != nil {
		return err
	}
	st.hold = s.hold(before.Index) // at or below what the checkpoint will hold
	if err := s.engine.Checkpoint(st.dir); err != nil {
		return err
	}
	if st.files, err = s.list(ctx, st.dir); err != nil {
		return err
	}
	e, err := s.engine.OpenCheckpoint(st.dir)
	if err != nil {
		return err
	}
	st.at, err = fsm.ReadApplied(e, false)
	if err == nil {
		members, merr := fsm.ReadMembers(e)
		if err = merr; err == nil {
			st.conf = members.ConfState()
		}
	}
	return errors.Join(err, e.Close())
}

// list names the files of a checkpoint, with their checksums.
func (s *states) list(ctx context.Context, dir string) ([]File, error) {
	names, err := s.dirs.FS.List(dir)
	if err != nil {
		return nil, fmt.Errorf("transfer: %w", err)
	}
	slices.Sort(names)
	var files []File
	for _, name := range names {
		if name == "LOCK" || strings.HasSuffix(name, partSuffix) {
			continue
		}
		size, sum, err := checksum(ctx, s.dirs.FS, s.dirs.FS.PathJoin(dir, name), s.pace)
		if err != nil {
			return nil, fmt.Errorf("transfer: read %s: %w", name, err)
		}
		files = append(files, File{Name: name, Size: size, SHA256: sum})
	}
	return files, nil
}

// checksum reads a file to its end.
func checksum(ctx context.Context, fs vfs.FS, name string, pace *pacer) (size int64, sum string, err error) {
	f, err := fs.Open(name, vfs.SequentialReadsOption)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	h := sha256.New()
	buf := make([]byte, 256<<10)
	for {
		n, err := f.Read(buf)
		h.Write(buf[:n])
		size += int64(n)
		if errors.Is(err, io.EOF) {
			return size, hex.EncodeToString(h.Sum(nil)), nil
		}
		if err == nil {
			err = pace.wait(ctx, n)
		}
		if err != nil {
			return 0, "", err
		}
	}
}
