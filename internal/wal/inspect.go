package wal

import (
	"fmt"

	"go.etcd.io/raft/v3/raftpb"
)

// Entry is an entry as it is read. Its data is valid only during the call.
type Entry struct {
	Index, Term uint64
	Type        raftpb.EntryType
	Data        []byte
}

// Inspect reads the log in opts.Dir as Open does, and judges it alike, but changes
// nothing. visit, if not nil, is called with each entry in the order of the file: one
// whose index was there before replaces it and all above it.
func Inspect(opts Options, from uint64, visit func(Entry)) (Recovered, error) {
	return inspect(opts, recovery{from: from, visit: visit})
}

// Scan is Inspect that returns no entries, for logs of any size.
func Scan(opts Options, visit func(Entry)) (Recovered, error) {
	return inspect(opts, recovery{keepNone: true, visit: visit})
}

func inspect(opts Options, r recovery) (Recovered, error) {
	opts = opts.withDefaults()
	if !Exists(opts.FS, opts.Dir) {
		return Recovered{}, fmt.Errorf("%w: %s", ErrNotFound, opts.Dir)
	}
	segments, err := listSegments(opts.FS, opts.Dir)
	if err != nil {
		return Recovered{}, fmt.Errorf("wal: list %s: %w", opts.Dir, err)
	}
	r.opts, r.readable = opts, readable{segments: segments}
	err = r.run()
	return r.out, err
}

// TermAt returns the term of an entry, if the log still knows it.
func (r *Recovered) TermAt(index uint64) (uint64, bool) {
	if index > r.LastIndex {
		return 0, false
	}
	return termAt(r.Terms, index)
}
