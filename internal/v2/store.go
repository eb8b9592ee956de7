package v2

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"sync/atomic"

	"bowline/internal/engine"
)

// Store is the tree of one member.
type Store struct {
	engine *engine.Engine
	hub    hub
	// state is the writer's; readers see what the hub was told.
	state State
	// dirs are directories that are there; see isDir. The writer's alone.
	dirs map[string]bool
	// changed is what the batch that is being filled has made of nodes, nil of those it
	// has removed, told its events, and unsealed whether the state has changed. The
	// writer's alone.
	changed  map[string]*Node
	told     []*Event
	unsealed bool
	recent   recent
	// deltas are of the last changes, and scratch is the writer's alone.
	deltas  deltas
	horizon horizon
	scratch []byte
	// guarded is what is at EnabledPath, for readers.
	guarded atomic.Bool
	// gets count reads on this member.
	getsOK, getsFailed, watches atomic.Uint64
}

// New returns the tree in e, of which st was loaded. Of the tree itself nothing is read.
func New(e *engine.Engine, st State) *Store {
	s := &Store{engine: e, dirs: make(map[string]bool), changed: make(map[string]*Node)}
	s.hub.init()
	s.Restart(st)
	return s
}

// Restart goes on from another state, which is in the engine by now. Who watches is
// not told of what has changed.
func (s *Store) Restart(st State) {
	s.state = st
	clear(s.dirs)
	clear(s.changed)
	s.told = nil
	s.unsealed = false
	s.recent.restart()
	s.deltas.restart(st.index)
	s.horizon.restart()
	s.guarded.Store(st.guarded)
	s.hub.restart(st)
}

// Guarded tells whether API v2's own access control is enabled here.
func (s *Store) Guarded() bool { return s.guarded.Load() }

// Index is that of the last published change.
func (s *Store) Index() uint64 { return s.hub.published().index }

// Stats are the store's counters as of now.
type Stats struct {
	Counts             [counters]uint64
	GetsOK, GetsFailed uint64
	// Watches were asked for since the start, Watchers are under way.
	Watches  uint64
	Watchers int
}

// Stats returns the counters.
func (s *Store) Stats() Stats {
	return Stats{s.hub.published().counts, s.getsOK.Load(), s.getsFailed.Load(), s.watches.Load(), s.hub.watchers()}
}

// get reads one node with something that finds records; nil if there is none.
func get(find func(key []byte) ([]byte, error), name string) (*Node, error) {
	n := &Node{Path: name}
	if name == "/" || name == KeysPrefix {
		n.Dir = true // always there, with index 0
		return n, nil
	}
	v, err := find(nodeKey(name))
	if errors.Is(err, engine.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("v2: read a node: %w", err)
	}
	return n, n.parse(v)
}

// missing tells why there is no node: the first component on the way that is not
// there, or not a directory.
func missing(find func(name string) (*Node, error), name string, index uint64) (*Error, error) {
	for i := 1; i <= len(name); i++ {
		if i < len(name) && name[i] != '/' {
			continue
		}
		n, err := find(name[:i])
		switch {
		case err != nil:
			return nil, err
		case n == nil:
			return NewError(CodeNotFound, name[:i], index), nil
		case !n.Dir && i < len(name):
			return NewError(CodeNotDirectory, name[:i], index), nil
		}
	}
	return nil, fmt.Errorf("v2: %q was missing and is not", name)
}

// find looks for a record with an iterator.
func find(it engine.Iterator) func(key []byte) ([]byte, error) {
	return func(key []byte) ([]byte, error) {
		if !it.SeekGE(key) || string(it.Key()) != string(key) {
			if err := it.Error(); err != nil {
				return nil, err
			}
			return nil, engine.ErrNotFound
		}
		return it.Value(), nil
	}
}

// visible tells whether a node is listed with its directory.
func visible(name string) bool { return !strings.HasPrefix(path.Base(name), "_") }

// Get returns one node as it is here; nil if there is none. It must not be modified.
func (s *Store) Get(name string) (*Node, error) {
	if n := s.recent.get(name); n != nil {
		return n, nil
	}
	return get(s.engine.Get, name)
}
