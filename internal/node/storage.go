package node

import (
	"fmt"
	"slices"

	"bowline/internal/wal"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// entryOverheadBytes is what an entry costs beside its payload: its encoding in a message, about.
const entryOverheadBytes = 24

const (
	// readAheadBytes is how much is read from the log at a time for a follower that is behind.
	readAheadBytes = 8 << 20
	// maxWindows is for how many such followers at a time.
	maxWindows = 4
	// windowTicks is how long windows are kept that nobody reads.
	windowTicks = 100
)

// storage is what raft reads while it steps, so nothing here waits. The raft goroutine owns it.
//
//	first ............ applied .......... last
//	 | on disk, windows |   in memory      |
//	          | tail in memory |
//
// Terms are known for the whole range. Entries above the applied index are always in memory; of those below, a tail is,
// for followers that are nearly up to date. The others come through windows: a miss starts a read by the reader
// goroutine and is answered with ErrCompacted; raft then asks for a snapshot, is told that none is available for the moment,
// and tries again at the follower's next heartbeat, when the window is there.
type storage struct {
	hard wal.HardState
	conf *raftpb.ConfState

	first            uint64 // the lowest index whose predecessor's term is known
	runs             []wal.TermRun
	entries          []*raftpb.Entry // consecutive, up to last
	base             uint64          // index of entries[0], last+1 if there are none
	bytes            int             // of entries
	tailBytes        int
	appliedIndex     uint64
	committedAtStart uint64

	windows   []window // most recently used last
	idleTicks int      // since one was used
	reading   bool     // a read is under way
	missed    bool     // the last Entries call would have succeeded with its window
	request   func(readRequest)
	snapshots SnapshotTransfer
}

// window is a run of consecutive entries read back from the log.
type window struct {
	first   uint64
	entries []*raftpb.Entry
}

func (w *window) end() uint64 { return w.first + uint64(len(w.entries)) }

type readRequest struct{ lo, hi uint64 }

func newStorage(cfg *Config, hard wal.HardState, request func(readRequest)) *storage {
	r := &cfg.Recovered
	s := &storage{
		hard: hard, conf: cfg.ConfState,
		runs: slices.Clone(r.Terms), first: r.FirstIndex, base: r.LastIndex + 1,
		appliedIndex: cfg.Applied, committedAtStart: hard.Commit,
		tailBytes: cfg.TailBytes, request: request, snapshots: cfg.Snapshots,
	}
	if len(s.runs) > 0 && s.runs[0].First >= s.first && s.first <= r.LastIndex {
		s.first++ // its own term is known, its predecessor's is not
	}
	for _, e := range r.Entries {
		if e.GetIndex() > cfg.Applied {
			s.push(e)
		}
	}
	return s
}

func (s *storage) last() uint64 { return s.base + uint64(len(s.entries)) - 1 }

func (s *storage) push(e *raftpb.Entry) {
	if len(s.entries) == 0 {
		s.base = e.GetIndex()
	}
	s.entries = append(s.entries, e)
	s.bytes += len(e.GetData()) + entryOverheadBytes
	if n := len(s.runs); n == 0 || s.runs[n-1].Term != e.GetTerm() {
		if n == 0 || s.runs[n-1].First < e.GetIndex() {
			s.runs = append(s.runs, wal.TermRun{First: e.GetIndex(), Term: e.GetTerm()})
		}
	}
}

// append takes in entries that are on their way to the log. They replace what is at and above the first one's index.
func (s *storage) append(entries []*raftpb.Entry) {
	if len(entries) == 0 {
		return
	}
	index := entries[0].GetIndex()
	if index > s.last()+1 || index <= s.appliedIndex {
		panic(fmt.Sprintf("node: raft appends index %d; applied is %d, the log ends at %d", index, s.appliedIndex, s.last()))
	}
	s.truncate(index)
	for _, e := range entries {
		s.push(e)
	}
}

// truncate forgets the entries from index on.
func (s *storage) truncate(index uint64) {
	for len(s.entries) > 0 && s.last() >= index {
		n := len(s.entries) - 1
		s.bytes -= len(s.entries[n].GetData()) + entryOverheadBytes
		s.entries[n] = nil
		s.entries = s.entries[:n]
	}
	if len(s.entries) == 0 {
		s.base = index
	}
	for len(s.runs) > 0 && s.runs[len(s.runs)-1].First >= index {
		s.runs = s.runs[:len(s.runs)-1]
	}
}

// applied lets go of applied entries, but for a tail unless nobody could ask for it.
func (s *storage) applied(index uint64, alone bool) {
	s.appliedIndex = max(s.appliedIndex, index)
	keep := s.tailBytes
	if alone {
		keep = 0
	}
	n := 0
	for n < len(s.entries) && s.base+uint64(n) <= s.appliedIndex && s.bytes > keep {
		s.bytes -= len(s.entries[n].GetData()) + entryOverheadBytes
		s.entries[n] = nil
		n++
	}
	s.entries, s.base = s.entries[n:], s.base+uint64(n)
}

// released tells that the log has given up the entries below first.
func (s *storage) released(first uint64) {
	s.first = max(s.first, min(first, s.last()+1))
	for len(s.runs) > 1 && s.runs[1].First < s.first {
		s.runs = s.runs[1:]
	}
	s.windows = slices.DeleteFunc(s.windows, func(w window) bool { return w.first < s.first })
}

// restart takes in a received state: the log starts anew behind it.
func (s *storage) restart(at *raftpb.SnapshotMetadata) {
	index := at.GetIndex()
	s.entries, s.bytes, s.windows = nil, 0, nil
	s.first, s.base, s.appliedIndex = index+1, index+1, index
	s.runs = []wal.TermRun{{First: index, Term: at.GetTerm()}}
}

// InitialState implements raft.Storage.
func (s *storage) InitialState() (*raftpb.HardState, *raftpb.ConfState, error) {
	return &raftpb.HardState{Term: &s.hard.Term, Vote: &s.hard.Vote, Commit: &s.hard.Commit}, s.conf, nil
}

// FirstIndex implements raft.Storage.
func (s *storage) FirstIndex() (uint64, error) { return s.first, nil }

// LastIndex implements raft.Storage.
func (s *storage) LastIndex() (uint64, error) { return s.last(), nil }

// Term implements raft.Storage.
func (s *storage) Term(index uint64) (uint64, error) {
	switch {
	case index > s.last():
		return 0, raft.ErrUnavailable
	case index+1 < s.first:
		s.missed = false // what raft asks for next is a snapshot because of this
		return 0, raft.ErrCompacted
	}
	for i := len(s.runs) - 1; i >= 0; i-- {
		if s.runs[i].First <= index {
			return s.runs[i].Term, nil
		}
	}
	return 0, raft.ErrCompacted
}

// Entries implements raft.Storage.
func (s *storage) Entries(lo, hi, maxBytes uint64) ([]*raftpb.Entry, error) {
	s.missed = false
	switch {
	case lo < s.first:
		return nil, raft.ErrCompacted
	case hi > s.last()+1 || lo >= hi:
		return nil, raft.ErrUnavailable
	case lo >= s.base:
		return limited(s.entries[lo-s.base:hi-s.base], maxBytes), nil
	}
	s.idleTicks = 0
	for i := range s.windows {
		w := s.windows[i]
		if lo < w.first || lo >= w.end() {
			continue
		}
		s.windows = append(append(s.windows[:i:i], s.windows[i+1:]...), w)
		if lo-w.first >= uint64(len(w.entries))/2 {
			s.readAhead(w.end())
		}
		return limited(w.entries[lo-w.first:min(hi, w.end())-w.first], maxBytes), nil
	}
	s.missed = true
	s.readAhead(lo)
	return nil, raft.ErrCompacted
}

// limited returns a copy, since entries leave s.entries while raft and transport still hold it.
func limited(entries []*raftpb.Entry, maxBytes uint64) []*raftpb.Entry {
	var size uint64
	for i, e := range entries {
		size += uint64(len(e.GetData())) + entryOverheadBytes
		if i > 0 && size > maxBytes {
			entries = entries[:i]
			break
		}
	}
	return slices.Clone(entries)
}

// readAhead starts to read a window at lo, unless it is there or another read is under way.
func (s *storage) readAhead(lo uint64) {
	if s.reading || lo >= s.base {
		return
	}
	for i := range s.windows {
		if lo >= s.windows[i].first && lo < s.windows[i].end() {
			return
		}
	}
	s.reading = true
	s.request(readRequest{lo, s.base})
}

// readDone takes in what the reader goroutine has read. Entries may have been replaced in the meantime: terms tell.
func (s *storage) readDone(entries []*raftpb.Entry) {
	s.reading = false
	for i, e := range entries {
		if term, err := s.Term(e.GetIndex()); err != nil || term != e.GetTerm() {
			entries = entries[:i]
			break
		}
	}
	if len(entries) == 0 {
		return
	}
	if len(s.windows) == maxWindows {
		s.windows = slices.Delete(s.windows, 0, 1)
	}
	s.windows = append(s.windows, window{entries[0].GetIndex(), entries})
}

// tick frees the windows when nobody is behind any more.
func (s *storage) tick() {
	if s.idleTicks++; s.idleTicks > windowTicks {
		s.windows = nil
	}
}

// Snapshot implements raft.Storage.
func (s *storage) Snapshot() (*raftpb.Snapshot, error) {
	if s.missed || s.snapshots == nil {
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	return s.snapshots.Snapshot()
}
