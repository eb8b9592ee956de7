package wal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
)

// Create makes a new log in opts.Dir, which must not exist or hold no log yet, and opens it. The directory appears whole
// or not at all: it is built beside its place and renamed.
func Create(opts Options, metadata Metadata) (*Log, error) {
	return CreateWith(opts, metadata, nil, HardState{})
}

// CreateWith is Create of a log that begins with entries, from index 1 on, and a state: a crash leaves no log without them.
func CreateWith(opts Options, metadata Metadata, entries []*raftpb.Entry, state HardState) (*Log, error) {
	opts = opts.withDefaults()
	fs := opts.FS
	if Exists(fs, opts.Dir) {
		return nil, fmt.Errorf("wal: %s holds a log already", opts.Dir)
	}
	tmp := opts.Dir + ".tmp"
	if err := errors.Join(fs.RemoveAll(tmp), fs.MkdirAll(tmp, 0o700)); err != nil {
		return nil, fmt.Errorf("wal: create %s: %w", tmp, err)
	}
	mark, err := appendSnapshot(nil, Snapshot{})
	if err != nil {
		return nil, err
	}
	head := appendChecksum(nil, 0)
	head, crc := appendRecord(head, 0, recordMetadata, appendMetadata(nil, metadata), nil)
	head, crc = appendRecord(head, crc, recordSnapshot, mark, nil)
	for _, e := range entries {
		head, crc = appendRecord(head, crc, recordEntry, appendEntryHead(nil, e), e.Data)
	}
	if state != (HardState{}) {
		head, _ = appendRecord(head, crc, recordState, appendHardState(nil, state), nil)
	}
	if err := writeFile(fs, fs.PathJoin(tmp, segment{}.name()), head); err != nil {
		return nil, fmt.Errorf("wal: create %s: %w", tmp, err)
	}
	if err := fs.RemoveAll(opts.Dir); err != nil {
		return nil, fmt.Errorf("wal: create %s: %w", opts.Dir, err)
	}
	err = syncDir(fs, tmp)
	if err == nil {
		err = fs.Rename(tmp, opts.Dir)
	}
	if err == nil {
		err = syncDir(fs, fs.PathDir(opts.Dir))
	}
	if err != nil {
		return nil, fmt.Errorf("wal: create %s: %w", opts.Dir, err)
	}
	l, _, err := Open(opts, 0)
	return l, err
}

// Open reads the log in opts.Dir, repairs a torn tail, and makes the log ready to be appended to. Entries above from, the
// index that the engine has applied durably, are returned; if the log ends before from, Open fails with *BehindError. If
// it begins after from+1, Recovered.FirstIndex tells, and only a snapshot to be installed can explain it: that is the
// caller's to judge.
func Open(opts Options, from uint64) (*Log, Recovered, error) {
	opts = opts.withDefaults()
	if !Exists(opts.FS, opts.Dir) {
		return nil, Recovered{}, fmt.Errorf("%w: %s", ErrNotFound, opts.Dir)
	}
	segments, err := listSegments(opts.FS, opts.Dir)
	if err != nil {
		return nil, Recovered{}, fmt.Errorf("wal: list %s: %w", opts.Dir, err)
	}
	r := recovery{opts: opts, from: from, readable: readable{segments: segments}}
	if err := r.run(); err != nil {
		return nil, Recovered{}, err
	}
	l, err := r.log()
	if err != nil {
		return nil, Recovered{}, fmt.Errorf("wal: open %s: %w", opts.Dir, err)
	}
	return l, r.out, nil
}

// recovery is the state of one pass over all segments.
type recovery struct {
	opts Options
	from uint64
	readable
	out   Recovered
	arena entryArena

	// visit is given each entry as it is read.
	visit func(Entry)
	// keepNone leaves out.Entries empty.
	keepNone bool

	metadata []byte
	crc      uint32
	last     uint64
	lastMark int64 // offset of the newest point in the current segment, -1 if there is none
	markSeq  uint64
	stateSet bool
	seg      segment
	tailSize int64
}

func (r *recovery) run() error {
	if len(r.segments) == 0 {
		return &CorruptError{r.opts.Dir, 0, "none of the .wal files has a name that a segment can have"}
	}
	r.last = max(r.segments[0].first, 1) - 1
	if r.last == 0 {
		r.out.Terms = []TermRun{{}}
	}
	for i := range r.segments {
		if i > 0 && r.segments[i].seq != r.segments[i-1].seq+1 {
			return &CorruptError{r.path(r.segments[i-1]), r.segments[i-1].bytes, fmt.Sprintf("the next segment is missing: found %s", r.segments[i].name())}
		}
		if err := r.segment(i); err != nil {
			return err
		}
	}
	end := r.path(r.seg)
	switch {
	case r.out.HardState.Commit > r.last:
		return &CorruptError{end, r.end, fmt.Sprintf("the log ends at index %d, but %d is recorded as committed", r.last, r.out.HardState.Commit)}
	case r.last < r.from:
		return &BehindError{r.opts.Dir, r.last, r.from}
	}
	r.lastIdx = r.last
	r.out.FirstIndex, r.out.LastIndex = r.firstLocked(), r.last
	for len(r.out.Terms) > 1 && r.out.Terms[1].First < r.out.FirstIndex {
		r.out.Terms = r.out.Terms[1:]
	}
	return nil
}

func (r *recovery) path(s segment) string { return r.opts.FS.PathJoin(r.opts.Dir, s.name()) }

// segment reads one file to its end.
func (r *recovery) segment(i int) error {
	r.seg, r.lastMark = r.segments[i], -1
	isLast := i == len(r.segments)-1
	file, err := r.opts.FS.Open(r.path(r.seg))
	if err != nil {
		return fmt.Errorf("wal: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("wal: %w", err)
	}
	s := scanner{name: r.path(r.seg), file: file, end: info.Size(), crc: r.crc}
	for n := 0; ; n++ {
		rec, err := s.next()
		var bad *damage
		if err != nil && !errors.Is(err, io.EOF) && !errors.As(err, &bad) {
			return err
		}
		if err != nil {
			if err := r.judgeEnd(&s, bad, n >= 2, isLast); err != nil {
				return err
			}
			break
		}
		if reason := r.record(rec, n); reason != "" {
			return &CorruptError{s.name, rec.offset, reason}
		}
	}
	r.crc, r.end, r.tailSize = s.crc, s.pos, info.Size()
	r.segments[i].bytes = s.pos
	return nil
}

// judgeEnd judges the place where reading a segment stopped: its proper end, a torn tail, or damage. bad is nil where there
// were zeros. Only the last segment can be torn, and never its head, which was durable before it got its name.
func (r *recovery) judgeEnd(s *scanner, bad *damage, headRead, isLast bool) error {
	zero, durableBefore, err := s.tail(s.pos)
	if err != nil {
		return err
	}
	if bad == nil && zero && headRead {
		return nil
	}
	if bad == nil {
		bad = &damage{s.pos, "zeros where a record should be", true}
	}
	switch {
	case !headRead || !isLast || !bad.torn:
		return &CorruptError{s.name, bad.offset, bad.reason}
	case durableBefore > 0:
		return &CorruptError{s.name, bad.offset, fmt.Sprintf("%s, but the record at offset %d says that it was durable", bad.reason, durableBefore)}
	}
	r.out.Repaired = &Repair{File: s.name, Offset: bad.offset, Copy: s.name + ".broken", Reason: bad.reason}
	return nil
}

// record takes in the n-th record of the current segment. It returns what is wrong with it, if anything is.
func (r *recovery) record(rec record, n int) string {
	switch {
	case n == 0 && rec.kind != recordCRC:
		return "the segment does not begin with a checksum record"
	case n == 1 && rec.kind != recordMetadata:
		return "the segment's second record is not its metadata"
	}
	switch rec.kind {
	case recordMetadata:
		if r.metadata != nil && !bytes.Equal(r.metadata, rec.data) {
			return "conflicting metadata: the segments are not of one log"
		}
		m, err := decodeMetadata(rec.data)
		if err != nil {
			return "metadata: " + err.Error()
		}
		r.metadata, r.out.Metadata = bytes.Clone(rec.data), m
	case recordState:
		state, err := decodeHardState(rec.data)
		if err != nil {
			return "state: " + err.Error()
		}
		r.out.HardState, r.stateSet = state, true
	case recordSnapshot:
		mark, err := decodeSnapshot(rec.data)
		if err != nil {
			return "snapshot: " + err.Error()
		}
		r.snapshot(mark)
	case recordEntry:
		return r.entry(rec)
	}
	return ""
}

// snapshot takes in a snapshot mark. Where the log does not hold the marked entry, the state came from elsewhere, and
// the log starts anew behind it.
func (r *recovery) snapshot(mark Snapshot) {
	r.out.Snapshot, r.markSeq = mark, r.seg.seq
	term, known := termAt(r.out.Terms, mark.Index)
	switch {
	case mark.Index > r.last, known && mark.Index > 0 && term != mark.Term:
		r.index, r.out.Entries, r.last, r.lastMark = nil, nil, mark.Index, -1
		r.out.Terms = []TermRun{{mark.Index, mark.Term}}
	case mark.Index == r.last && !known:
		r.out.Terms = []TermRun{{mark.Index, mark.Term}}
	}
}

// termAt returns the term of an index at or below the log's end, if the runs reach down to it.
func termAt(runs []TermRun, index uint64) (uint64, bool) {
	for i := len(runs) - 1; i >= 0; i-- {
		if runs[i].First <= index {
			return runs[i].Term, true
		}
	}
	return 0, false
}

func (r *recovery) entry(rec record) string {
	e, err := decodeEntry(rec.data)
	if err != nil {
		return "entry: " + err.Error()
	}
	if e.index > r.last+1 {
		return fmt.Sprintf("entry %d follows entry %d", e.index, r.last)
	}
	runs := r.out.Terms
	for len(runs) > 0 && runs[len(runs)-1].First >= e.index {
		runs = runs[:len(runs)-1]
	}
	if len(runs) > 0 && runs[len(runs)-1].Term > e.term {
		return fmt.Sprintf("entry %d has term %d after term %d", e.index, e.term, runs[len(runs)-1].Term)
	}
	if len(runs) == 0 || runs[len(runs)-1].Term != e.term {
		runs = append(runs, TermRun{e.index, e.term})
	}
	r.out.Terms = runs

	if r.lastMark < 0 || e.index <= r.last || rec.offset-r.lastMark >= pointBytes {
		r.addPoints([]point{{e.index, r.seg.seq, rec.offset, rec.before}})
		r.lastMark = rec.offset
	}
	r.last = e.index
	if r.visit != nil {
		r.visit(Entry{Index: e.index, Term: e.term, Type: raftpb.EntryType(e.kind), Data: e.data})
	}
	r.retain(e)
	return ""
}

// retain keeps an entry that lies above what the engine has applied.
func (r *recovery) retain(e entryFields) {
	if kept := r.out.Entries; len(kept) > 0 {
		if base := kept[0].GetIndex(); e.index <= base {
			r.out.Entries = kept[:0]
		} else if e.index-base < uint64(len(kept)) {
			r.out.Entries = kept[:e.index-base]
		}
	}
	if e.index > r.from && !r.keepNone {
		r.out.Entries = append(r.out.Entries, r.arena.entry(e))
	}
}

// log makes the Log that goes on where the reading ended.
func (r *recovery) log() (*Log, error) {
	fs, path := r.opts.FS, r.path(r.seg)
	if err := r.removeLeftovers(); err != nil {
		return nil, err
	}
	if fix := r.out.Repaired; fix != nil {
		r.opts.Logger.Warn("cutting the torn tail of the log", zap.String("file", fix.File), zap.Int64("offset", fix.Offset),
			zap.String("reason", fix.Reason), zap.String("copy", fix.Copy))
		if err := errors.Join(vfs.Copy(fs, path, fix.Copy), syncDir(fs, r.opts.Dir)); err != nil {
			return nil, err
		}
	}
	file, err := fs.OpenReadWrite(path, diskCategory)
	if err != nil {
		return nil, err
	}
	if r.out.Repaired != nil {
		err = writeZeros(file, r.end, r.tailSize)
	}
	// What was read may have been written by a process that was killed before its sync: it must not be acted upon,
	// or declared durable, before it is.
	if err = errors.Join(err, file.SyncData()); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	dir, err := fs.OpenDir(r.opts.Dir)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	l := &Log{
		opts: r.opts, metadata: r.metadata, dir: dir,
		file: file, extended: r.tailSize, offset: r.end,
		crc: r.crc, last: r.last, lastMark: r.lastMark,
		barrier: true, state: r.out.HardState, mark: r.out.Snapshot, markSeq: r.markSeq,
		readable: r.readable,
	}
	return l, nil
}

// removeLeftovers deletes segments that were being prepared in a crash, ours and etcd's.
func (r *recovery) removeLeftovers() error {
	names, err := r.opts.FS.List(r.opts.Dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasSuffix(name, ".tmp") {
			err = errors.Join(err, r.opts.FS.Remove(r.opts.FS.PathJoin(r.opts.Dir, name)))
		}
	}
	return err
}

// writeFile creates a file of this content and makes the content durable, but not the file's name.
func writeFile(fs vfs.FS, path string, content []byte) error {
	file, err := fs.Create(path, diskCategory)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err, file.Sync(), file.Close())
}

func syncDir(fs vfs.FS, path string) error {
	dir, err := fs.OpenDir(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// writeZeros overwrites [from, to) of a file.
func writeZeros(file vfs.File, from, to int64) error {
	for from < to {
		n := min(to-from, 64<<10)
		if _, err := file.WriteAt(make([]byte, n), from); err != nil { // anew each time: a file may scribble on it
			return err
		}
		from += n
	}
	return nil
}
