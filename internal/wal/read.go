package wal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sort"

	"go.etcd.io/raft/v3/raftpb"
)

// Entries reads back the entries from lo up to and without hi, or as many of them, but at least one, as have payloads of
// maxBytes in all. Every record is verified. It reads the disk and may run at any time, also while the log is
// written: if entries are replaced meanwhile, it may return the replaced ones, so the caller compares terms.
func (l *Log) Entries(lo, hi, maxBytes uint64) ([]*raftpb.Entry, error) {
	l.mu.RLock()
	first, last, end := l.firstLocked(), l.lastIdx, l.end
	if lo < first {
		l.mu.RUnlock()
		return nil, ErrReleased
	}
	if hi > last+1 || lo >= hi {
		l.mu.RUnlock()
		return nil, fmt.Errorf("%w: %d to %d of %d", ErrUnavailable, lo, hi, last)
	}
	from := sort.Search(len(l.index), func(i int) bool { return l.index[i].index > lo })
	to := sort.Search(len(l.index), func(i int) bool { return l.index[i].index >= hi })
	// Copied, because the index changes in place when entries are replaced.
	points := slices.Clone(l.index[from-1 : min(to+1, len(l.index))])
	segments := slices.Clone(l.segments)
	l.mu.RUnlock()

	r := rangeReader{log: l, lo: lo, hi: hi, left: maxBytes, segments: segments, tailEnd: end}
	defer r.close()
	for i, p := range points {
		next := point{index: last + 1, seq: segments[len(segments)-1].seq, offset: end}
		if i+1 < len(points) {
			next = points[i+1]
		}
		done, err := r.interval(p, next)
		if err != nil && (errors.Is(err, os.ErrNotExist) || lo < l.FirstIndex()) {
			return nil, ErrReleased // a segment that goes while it is read may be cut short
		}
		if err != nil {
			return nil, err
		}
		if done {
			break
		}
	}
	return r.entries, nil
}

// rangeReader collects entries over one or more intervals of the index.
type rangeReader struct {
	log      *Log
	lo, hi   uint64
	left     uint64
	segments []segment
	tailEnd  int64
	scan     scanner
	seq      uint64
	arena    entryArena
	entries  []*raftpb.Entry
}

// interval reads from one point to the next. It reports whether there is nothing more to read.
func (r *rangeReader) interval(p, next point) (done bool, err error) {
	if r.scan.file == nil || r.seq != p.seq {
		if err := r.open(p.seq); err != nil {
			return false, err
		}
	}
	r.scan.pos, r.scan.crc = p.offset, p.crc
	end := r.scan.end
	if next.seq == p.seq {
		end = next.offset
	}
	for expect := p.index; r.scan.pos < end; {
		rec, err := r.scan.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if bad := (*damage)(nil); errors.As(err, &bad) {
			return false, &CorruptError{r.scan.name, bad.offset, bad.reason}
		}
		if err != nil {
			return false, err
		}
		if rec.kind != recordEntry {
			continue
		}
		e, err := decodeEntry(rec.data)
		if err != nil {
			return false, &CorruptError{r.scan.name, rec.offset, err.Error()}
		}
		if e.index != expect {
			// From here on are entries that have been replaced: the next point is where the replacement is.
			break
		}
		expect++
		if e.index >= min(next.index, r.hi) {
			return e.index >= r.hi, nil
		}
		if e.index < r.lo {
			continue
		}
		if len(r.entries) > 0 && uint64(len(e.data)) > r.left {
			return true, nil
		}
		r.left -= min(r.left, uint64(len(e.data)))
		r.entries = append(r.entries, r.arena.entry(e))
	}
	return r.lo+uint64(len(r.entries)) >= r.hi, nil
}

func (r *rangeReader) open(seq uint64) error {
	r.close()
	fs := r.log.opts.FS
	for _, s := range r.segments {
		if s.seq != seq {
			continue
		}
		path := fs.PathJoin(r.log.opts.Dir, s.name())
		file, err := fs.Open(path)
		if err != nil {
			return err
		}
		end := s.bytes
		if seq == r.segments[len(r.segments)-1].seq {
			end = r.tailEnd
		}
		r.seq, r.scan = seq, scanner{name: path, file: file, end: end, buf: r.scan.buf[:0]}
		return nil
	}
	return ErrReleased
}

func (r *rangeReader) close() {
	if r.scan.file != nil {
		r.scan.file.Close() // only read from: nothing can be lost
		r.scan.file = nil
	}
}
