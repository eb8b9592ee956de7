package wal

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
)

// Append stages entries, and a hard state unless it is the zero one. An entry whose index exists already replaces it
// and everything above. Nothing is durable before Sync; of several states only the newest is written. Append writes by
// itself when much is staged.
func (l *Log) Append(entries []*raftpb.Entry, state HardState) error {
	if err := l.usable(); err != nil {
		return err
	}
	for _, e := range entries {
		l.stageEntry(e)
		if len(l.stage) >= flushBytes {
			if err := l.Flush(); err != nil {
				return err
			}
		}
	}
	if state == (HardState{}) {
		return nil
	}
	state.Commit = max(state.Commit, l.state.Commit) // MarkSnapshot may have raised it
	if state != l.state {
		l.dirty = l.dirty || state.Term != l.state.Term || state.Vote != l.state.Vote
		l.state, l.stateSet = state, true
	}
	return nil
}

func (l *Log) usable() error {
	if l.closed {
		return ErrClosed
	}
	return l.failed
}

// fail makes err the answer to every later call.
func (l *Log) fail(err error) error {
	l.failed = err
	return err
}

func (l *Log) stageEntry(e *raftpb.Entry) {
	index := e.GetIndex()
	if index > l.last+1 || index == 0 {
		panic(fmt.Sprintf("wal: entry %d appended to a log that ends at %d", index, l.last))
	}
	l.openStage()
	at := l.offset + int64(len(l.stage))
	if l.lastMark < 0 || index <= l.last || at-l.lastMark >= pointBytes {
		l.points = append(l.points, point{index, l.tailSeq(), at, l.crc})
		l.lastMark = at
	}
	l.scratch = appendEntryHead(l.scratch[:0], e)
	l.stage, l.crc = appendRecord(l.stage, l.crc, recordEntry, l.scratch, e.Data)
	l.last, l.dirty = index, true
}

// tailSeq is safe without the lock: only the writer changes segments.
func (l *Log) tailSeq() uint64 { return l.segments[len(l.segments)-1].seq }

// openStage puts a checksum record in front of the first record that is staged after a sync.
func (l *Log) openStage() {
	if l.barrier && len(l.stage) == 0 {
		l.stage = appendChecksum(l.stage, l.crc)
		l.barrier = false
	}
}

func (l *Log) stageState() {
	if l.stateSet {
		l.openStage()
		l.scratch = appendHardState(l.scratch[:0], l.state)
		l.stage, l.crc = appendRecord(l.stage, l.crc, recordState, l.scratch, nil)
		l.stateSet = false
	}
}

// Flush writes what is staged, without syncing, which makes it visible to readers.
func (l *Log) Flush() error {
	if err := l.usable(); err != nil {
		return err
	}
	l.stageState()
	if len(l.stage) == 0 {
		return nil
	}
	start := time.Now()
	end := l.offset + int64(len(l.stage))
	if err := l.extend(end); err != nil {
		return l.fail(fmt.Errorf("wal: extend segment: %w", err))
	}
	if _, err := l.file.WriteAt(l.stage, l.offset); err != nil {
		return l.fail(fmt.Errorf("wal: write: %w", err))
	}
	if l.opts.Observe.Write != nil {
		l.opts.Observe.Write(len(l.stage), time.Since(start))
	}
	l.offset = end
	l.stage = l.stage[:0]
	if cap(l.stage) > 4*flushBytes {
		l.stage = nil
	}

	l.mu.Lock()
	l.addPoints(l.points)
	l.end, l.lastIdx = l.offset, l.last
	l.mu.Unlock()
	l.points = l.points[:0]
	return nil
}

// NeedsSync reports whether entries, a term or a vote have been appended since the last sync. A commit index alone
// is no reason to sync: raft finds it again.
func (l *Log) NeedsSync() bool { return l.dirty }

// Sync makes everything that was appended durable, and begins the next segment when this one is full.
func (l *Log) Sync() error {
	if err := l.Flush(); err != nil {
		return err
	}
	if err := l.syncFile(l.file); err != nil {
		return l.fail(fmt.Errorf("wal: sync: %w", err))
	}
	l.dirty, l.barrier = false, true
	if l.offset >= l.opts.SegmentBytes {
		if err := l.cut(); err != nil {
			return l.fail(fmt.Errorf("wal: begin the next segment: %w", err))
		}
	}
	return nil
}

func (l *Log) syncFile(file vfs.File) error {
	start := time.Now()
	// gofail: var walBeforeSync struct{}
	if err := file.SyncData(); err != nil {
		return err
	}
	// gofail: var walAfterSync struct{}
	if l.opts.Observe.Sync != nil {
		l.opts.Observe.Sync(time.Since(start))
	}
	return nil
}

// memoryExtent is how far files without a descriptor, which live in memory, are extended ahead.
const memoryExtent = 16 << 10

// extend makes sure that a write up to end does not change the file's size on every sync: a size is metadata, and would
// have to be flushed too. The operating system gives a whole segment at once, as zeros that occupy no memory.
func (l *Log) extend(end int64) error {
	if end <= l.extended {
		return nil
	}
	if l.file.Fd() == vfs.InvalidFd {
		to := (end/memoryExtent + 1) * memoryExtent
		if err := writeZeros(l.file, l.extended, to); err != nil {
			return err
		}
		l.extended = to
		return nil
	}
	if l.extended >= l.opts.SegmentBytes {
		l.extended = end // the last batch of a segment may go beyond
		return nil
	}
	if err := l.file.Preallocate(0, l.opts.SegmentBytes); err != nil && !isUnsupported(err) {
		return err
	}
	if _, err := l.file.WriteAt([]byte{0}, l.opts.SegmentBytes-1); err != nil {
		return err
	}
	l.extended = max(end, l.opts.SegmentBytes)
	return nil
}

func isUnsupported(err error) bool {
	return errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.EINVAL)
}

// cut begins the next segment. The current one is durable. The new one gets its name only when its head is durable, so
// that a crash leaves either no new segment or a sound one.
func (l *Log) cut() error {
	fs := l.opts.FS
	next := segment{seq: l.tailSeq() + 1, first: l.last + 1}
	path := fs.PathJoin(l.opts.Dir, next.name())
	file, err := fs.OpenReadWrite(path+".tmp", diskCategory)
	if err != nil {
		return err
	}
	old, oldBytes := l.file, l.offset
	l.file, l.offset, l.extended, l.lastMark = file, 0, 0, -1

	head := appendChecksum(nil, l.crc)
	head, l.crc = appendRecord(head, l.crc, recordMetadata, l.metadata, nil)
	if l.state != (HardState{}) {
		head, l.crc = appendRecord(head, l.crc, recordState, appendHardState(nil, l.state), nil)
	}
	if err := l.extend(int64(len(head))); err != nil {
		return err
	}
	if _, err := file.WriteAt(head, 0); err != nil {
		return err
	}
	l.offset = int64(len(head))
	// gofail: var walBeforeSegmentRename struct{}
	if err := l.syncFile(file); err != nil {
		return err
	}
	if err := fs.Rename(path+".tmp", path); err != nil {
		return err
	}
	if err := errors.Join(l.dir.Sync(), old.Close()); err != nil {
		return err
	}

	l.mu.Lock()
	l.segments[len(l.segments)-1].bytes = oldBytes
	l.segments = append(l.segments, next)
	l.end = l.offset
	l.mu.Unlock()
	l.opts.Logger.Info("began a log segment", zap.String("file", path))
	return nil
}

// MarkSnapshot records, durably, that the state up to s.Index is kept elsewhere, with a hard state whose commit index
// reaches it. If the log ends before s.Index, which is so when the state came from another member or from a
// backup, it starts anew behind it. A hard state that has to be raised follows the mark: a crash that left it alone would
// leave a log that ends before what it calls committed, or one that calls entries committed that the state replaces.
func (l *Log) MarkSnapshot(s Snapshot) error {
	if err := l.usable(); err != nil {
		return err
	}
	data, err := appendSnapshot(nil, s)
	if err != nil {
		return fmt.Errorf("wal: encode snapshot mark: %w", err)
	}
	raise := l.state.Commit < s.Index
	if !raise {
		l.stageState()
	}
	l.openStage()
	l.stage, l.crc = appendRecord(l.stage, l.crc, recordSnapshot, data, nil)
	if raise {
		l.state.Commit = s.Index
		l.state.Term = max(l.state.Term, s.Term)
		l.stateSet = true
	}
	l.stageState()
	if s.Index > l.last {
		if err := l.Flush(); err != nil {
			return err
		}
		l.restartAt(s.Index)
	}
	seq := l.tailSeq() // before Sync, which may begin the next segment
	if err := l.Sync(); err != nil {
		return err
	}
	l.mark, l.markSeq = s, seq
	return nil
}

// restartAt forgets the entries: the next one is index+1.
func (l *Log) restartAt(index uint64) {
	l.last, l.lastMark = index, -1
	l.mu.Lock()
	l.index, l.lastIdx = nil, index
	l.mu.Unlock()
}

// Release gives up the entries below an index, and deletes the segments that hold nothing else: whole ones, oldest
// first, as long as Options.KeepBytes remain. Neither the last segment goes, nor the one with the newest snapshot mark, nor
// anything above that mark. The entry at the index itself stays, which is what etcd's reader asks for, and tells its
// term. It returns the lowest index that is left.
func (l *Log) Release(below uint64) (first uint64, err error) {
	if err := l.usable(); err != nil {
		return 0, err
	}
	below = min(below, l.mark.Index)
	for {
		l.mu.RLock()
		oldest, total := l.segments[0], l.sizeLocked()
		keep := len(l.segments) < 2 || oldest.seq >= l.markSeq || l.segments[1].first > below || total-oldest.bytes < l.opts.KeepBytes
		l.mu.RUnlock()
		if keep {
			return l.FirstIndex(), nil
		}
		// gofail: var walBeforeSegmentRemove struct{}
		l.drop(oldest.seq)
		path := l.opts.FS.PathJoin(l.opts.Dir, oldest.name())
		// Synced one by one: a crash must not leave a hole in the sequence.
		if err := errors.Join(l.opts.FS.Remove(path), l.dir.Sync()); err != nil {
			return 0, l.fail(fmt.Errorf("wal: remove %s: %w", path, err))
		}
		// gofail: var walAfterSegmentRemove struct{}
		l.opts.Logger.Info("removed a log segment", zap.String("file", path))
	}
}

// drop hides the oldest segment from readers.
func (l *Log) drop(seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.segments = append([]segment(nil), l.segments[1:]...)
	n := 0
	for n < len(l.index) && l.index[n].seq == seq {
		n++
	}
	l.index = append([]point(nil), l.index[n:]...)
}

// Close makes what was appended durable, if writing has not failed, and closes the files.
func (l *Log) Close() error {
	if l.closed {
		return nil
	}
	var err error
	if l.failed == nil {
		err = l.Sync()
	}
	l.closed = true
	return errors.Join(err, l.file.Close(), l.dir.Close())
}
