package wal

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/raft/v3/raftpb"
)

// TestAReceivedStateTornAnywhere cuts the records of a mark above, or in conflict with, what the log holds after each
// record: the log can be opened, holds either all that it had or nothing but the mark, and never calls an
// entry committed that the received state replaces.
func TestAReceivedStateTornAnywhere(t *testing.T) {
	for _, mark := range []Snapshot{{Index: 1000, Term: 4}, {Index: 7, Term: 4}} {
		t.Run(fmt.Sprint(mark.Index), func(t *testing.T) {
			fs := vfs.NewMem()
			opts := testOptions(t, fs, 1<<20)
			l := mustCreate(t, opts)
			save(t, l, HardState{Term: 1, Commit: 5}, entries(1, 10, 1, 100)...)
			from := l.offset
			mark.ConfState = &raftpb.ConfState{Voters: []uint64{1, 2, 3}}
			must(t, l.MarkSnapshot(mark))
			to := l.offset
			path := l.opts.FS.PathJoin(opts.Dir, l.segments[0].name())
			must(t, l.Close())
			kept, restarted := 0, 0
			for _, cut := range recordEnds(t, fs, path, from, to) {
				torn := vfs.NewMem()
				if _, err := vfs.Clone(fs, torn, opts.Dir, opts.Dir); err != nil {
					t.Fatal(err)
				}
				f, err := torn.OpenReadWrite(path, diskCategory)
				must(t, err)
				must(t, writeZeros(f, cut, to))
				must(t, f.Close())
				o := opts
				o.FS = torn
				l, r, err := Open(o, 5)
				if err != nil {
					t.Fatalf("cut at %d of %d to %d: %v", cut, from, to, err)
				}
				if r.LastIndex == mark.Index && r.FirstIndex == mark.Index+1 && r.Snapshot.Index == mark.Index {
					restarted++
					// It goes on right behind the mark.
					save(t, l, HardState{Term: 5}, entries(mark.Index+1, mark.Index+3, 5, 10)...)
				} else {
					kept++
					if r.LastIndex != 10 || r.HardState.Commit > 5 || len(r.Entries) != 5 {
						t.Errorf("cut at %d: %+v", cut, r)
					}
				}
				must(t, l.Close())
			}
			if kept == 0 || restarted == 0 {
				t.Errorf("%d logs as they were, %d begun anew", kept, restarted)
			}
		})
	}
}

// recordEnds are the offsets between from and to at which a record ends, both included.
func recordEnds(t *testing.T, fs vfs.FS, path string, from, to int64) (ends []int64) {
	t.Helper()
	f, err := fs.Open(path)
	must(t, err)
	defer f.Close()
	for at := from; at < to; {
		ends = append(ends, at)
		var head [8]byte
		_, err := f.ReadAt(head[:], at)
		must(t, err)
		word := binary.LittleEndian.Uint64(head[:])
		at += 8 + int64(word&(1<<56-1)) + int64(word>>56&7)
	}
	return append(ends, to)
}

// TestALongerLogGoesOnBehindAConflictingState without being closed in between: the entries that the state replaces are
// gone although the log was longer.
func TestALongerLogGoesOnBehindAConflictingState(t *testing.T) {
	opts := testOptions(t, vfs.NewMem(), 1<<20)
	l := mustCreate(t, opts)
	save(t, l, HardState{Term: 1, Commit: 5}, entries(1, 20, 1, 100)...)
	must(t, l.MarkSnapshot(Snapshot{Index: 12, Term: 3}))
	more := entries(13, 15, 3, 100)
	save(t, l, HardState{Term: 3, Commit: 12}, more...)
	must(t, l.Close())
	l, r := mustOpen(t, opts, 12)
	if r.FirstIndex != 13 || r.LastIndex != 15 || len(r.Entries) != 3 || r.HardState.Commit != 12 {
		t.Errorf("recovered %+v", r)
	}
	checkLog(t, l, more)
	must(t, l.Close())
}
