package wal

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
)

const (
	// DefaultSegmentBytes is the size at which a segment is closed and the next begun; etcd's number.
	DefaultSegmentBytes = 64_000_000

	// flushBytes bounds the staging buffer: Append writes, without syncing, when more than this is staged.
	flushBytes = 1 << 20

	// pointBytes is the distance between two points of the offset index: what a read-back scans in vain at most.
	pointBytes = 64 << 10

	diskCategory vfs.DiskWriteCategory = "raft-wal"
)

// Metadata says whose log this is. Every segment carries it.
type Metadata struct {
	NodeID, ClusterID uint64
}

// HardState is raft's vote and commit index as the log keeps them. The zero value means "none".
type HardState struct {
	Term, Vote, Commit uint64
}

// Snapshot marks that the state up to Index, an entry of Term, is durable elsewhere (in the engine), with the
// configuration in force there. Entries up to Index are no longer needed to start.
type Snapshot struct {
	Index, Term uint64
	ConfState   *raftpb.ConfState
}

// TermRun says that the entries from First on, up to the next run or the end of the log, have this Term.
type TermRun struct {
	First, Term uint64
}

// Observer receives what the disk did, for metrics. Both functions may be nil; they run on the writer and must be quick.
type Observer struct {
	Write func(bytes int, took time.Duration)
	Sync  func(took time.Duration)
}

// Options tell where a log is and how large its parts are.
type Options struct {
	// FS is the file system; nil means the operating system's.
	FS vfs.FS
	// Dir is the log's directory, which nothing else may write to.
	Dir string
	// SegmentBytes is the size at which a segment is closed; 0 means DefaultSegmentBytes.
	SegmentBytes int64
	// KeepBytes is how much log Release leaves on disk for slow followers, although it is no longer needed here.
	KeepBytes int64
	// Logger may be nil.
	Logger *zap.Logger
	// Observe reports durations and bytes.
	Observe Observer
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = DefaultSegmentBytes
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	return o
}

// Recovered is what Open found.
type Recovered struct {
	Metadata  Metadata
	HardState HardState
	// Snapshot is the last snapshot mark.
	Snapshot Snapshot
	// Entries are those with an index above the one given to Open, without a gap.
	Entries []*raftpb.Entry
	// FirstIndex and LastIndex bound what can be read back. An empty log has FirstIndex == LastIndex+1.
	FirstIndex, LastIndex uint64
	// Terms covers FirstIndex to LastIndex, and FirstIndex-1 where that is known (from a snapshot mark, or because
	// it is zero).
	Terms []TermRun
	// Repaired is set if a torn tail was cut.
	Repaired *Repair
}

// Repair describes a torn tail that Open cut off.
type Repair struct {
	File   string
	Offset int64
	// Copy is where the file was saved as it was found.
	Copy   string
	Reason string
}

var (
	// ErrReleased is returned by Entries for an index that the log no longer holds.
	ErrReleased = errors.New("wal: entries have been released")
	// ErrUnavailable is returned by Entries for an index that has not been flushed yet.
	ErrUnavailable = errors.New("wal: entries are not in the log yet")
	// ErrNotFound is returned by Open where there is no log.
	ErrNotFound = errors.New("wal: no log in the directory")
	// ErrClosed is returned by every writing method after Close.
	ErrClosed = errors.New("wal: closed")
)

// CorruptError says that the log on disk cannot be trusted. Nothing has been changed when it is returned.
type CorruptError struct {
	File   string
	Offset int64
	Reason string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("wal: %s is damaged at offset %d: %s; nothing has been changed: "+
		"restore the file from a copy, or remove this member from its cluster and add it again with an empty data "+
		"directory (a single member: restore from a snapshot)", e.File, e.Offset, e.Reason)
}

// BehindError says that the log ends before the state that was built from it: part of the log has been lost, and
// a member that went on would skip the entries that take the lost ones' places.
type BehindError struct {
	Dir        string
	Last, From uint64
}

func (e *BehindError) Error() string {
	return fmt.Sprintf("wal: the log in %s ends at index %d, but the store has applied index %d: "+
		"the log and the store do not belong together, or the end of the log was lost", e.Dir, e.Last, e.From)
}

// Log is an open write-ahead log. See the package comment for who may call what.
type Log struct {
	opts     Options
	metadata []byte // encoded, the same in every segment
	dir      vfs.File

	// Below belongs to the writer.

	file     vfs.File // the last segment
	extended int64    // the file is at least this long, filled with zeros from offset on
	offset   int64    // where the staged bytes will go
	stage    []byte   // encoded records, not written yet
	scratch  []byte   // for the record being encoded
	points   []point  // of the staged entries
	crc      uint32   // running, behind the staged records
	last     uint64   // last entry or snapshot index, staged ones included
	lastMark int64    // file offset of the newest point
	barrier  bool     // all that is in the file is durable: the next staged record is a checksum record
	dirty    bool     // entries, a term or a vote have been staged since the last sync
	state    HardState
	stateSet bool // state has to be staged at the next flush
	mark     Snapshot
	markSeq  uint64 // the segment that holds the newest snapshot mark
	failed   error
	closed   bool

	mu sync.RWMutex // guards readable; never held across a disk access
	readable
}

// readable is what readers see of the log: flushed bytes only.
type readable struct {
	segments []segment
	index    []point // ascending index, ascending position
	end      int64   // bytes flushed to the last segment
	lastIdx  uint64
}

// segment is one file. Its entries were appended when the log ended at first-1; overwriting ones may have
// lower indexes.
type segment struct {
	seq, first uint64
	bytes      int64 // of a closed segment
}

func (s segment) name() string { return fmt.Sprintf("%016x-%016x.wal", s.seq, s.first) }

// point says where an entry is, and what the running checksum was just before its record. From one point to the next,
// indexes grow one by one; those at or above the next point's were overwritten.
type point struct {
	index  uint64
	seq    uint64
	offset int64
	crc    uint32
}

// Exists reports whether dir holds a log: a file whose name ends in .wal, as etcd has it.
func Exists(fs vfs.FS, dir string) bool {
	names, err := fs.List(dir)
	return err == nil && slices.ContainsFunc(names, func(n string) bool { return strings.HasSuffix(n, ".wal") })
}

// listSegments returns the segments in dir in order. Names that are none are left alone.
func listSegments(fs vfs.FS, dir string) ([]segment, error) {
	names, err := fs.List(dir)
	if err != nil {
		return nil, err
	}
	var segments []segment
	for _, name := range names {
		var s segment
		if n, err := fmt.Sscanf(name, "%16x-%16x.wal", &s.seq, &s.first); err == nil && n == 2 && s.name() == name {
			segments = append(segments, s)
		}
	}
	slices.SortFunc(segments, func(a, b segment) int {
		if a.seq < b.seq {
			return -1
		}
		return 1
	})
	return segments, nil
}

// FirstIndex returns the lowest index that Entries can read, or LastIndex()+1 if there is none.
func (l *Log) FirstIndex() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.firstLocked()
}

func (r *readable) firstLocked() uint64 {
	if len(r.index) == 0 {
		return r.lastIdx + 1
	}
	return r.index[0].index
}

// LastIndex returns the index of the last flushed entry, or of the snapshot that the log starts from.
func (l *Log) LastIndex() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.lastIdx
}

// Size returns the bytes and the number of segments in use.
func (l *Log) Size() (bytes int64, segments int) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.sizeLocked(), len(l.segments)
}

func (r *readable) sizeLocked() int64 {
	total := r.end
	for _, s := range r.segments[:len(r.segments)-1] {
		total += s.bytes
	}
	return total
}

// addPoints makes entries visible to readers: an entry at or below a known index replaces it and all above it.
func (r *readable) addPoints(points []point) {
	for _, p := range points {
		for len(r.index) > 0 && r.index[len(r.index)-1].index >= p.index {
			r.index = r.index[:len(r.index)-1]
		}
		r.index = append(r.index, p)
	}
}
