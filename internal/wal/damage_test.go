package wal

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/raft/v3/raftpb"
)

// disk gives tests the bytes of a log's files.
type disk struct {
	t  testing.TB
	fs *vfs.MemFS
}

func (d disk) read(name string) []byte {
	d.t.Helper()
	f, err := d.fs.Open(d.fs.PathJoin(testDir, name))
	must(d.t, err)
	defer f.Close()
	info, err := f.Stat()
	must(d.t, err)
	b := make([]byte, info.Size())
	if _, err := f.ReadAt(b, 0); err != nil {
		d.t.Fatal(err)
	}
	return b
}

// with returns options for a copy of the log in which one file has another content.
func (d disk) with(name string, content []byte) Options {
	d.t.Helper()
	names, err := d.fs.List(testDir)
	must(d.t, err)
	fs := vfs.NewMem()
	must(d.t, fs.MkdirAll(testDir, 0o700))
	for _, n := range names {
		b := content
		if n != name {
			b = d.read(n)
		}
		must(d.t, writeFile(fs, fs.PathJoin(testDir, n), bytes.Clone(b))) // a file may scribble on what it is given
	}
	return Options{FS: fs, Dir: testDir, SegmentBytes: 4000}
}

// frames returns the offsets and kinds of the records in a segment.
func frames(t testing.TB, content []byte) (recs []record, end int64) {
	t.Helper()
	s := scanner{name: "test", file: vfs.NewMemFile(content), end: int64(len(content))}
	for {
		rec, err := s.next()
		if err != nil {
			return recs, s.pos
		}
		rec.data = nil
		recs = append(recs, rec)
	}
}

// sampleLog writes two segments, with every kind of record, and several synced batches in the last one.
func sampleLog(t testing.TB, payload func(i uint64) []byte) (d disk, names [2]string) {
	t.Helper()
	fs := vfs.NewMem()
	l := mustCreate(t, testOptions(t, fs, 4000))
	for i := uint64(1); ; i++ {
		e := entry(i, 1, 0)
		e.Data = payload(i)
		save(t, l, HardState{Term: 1, Vote: 2, Commit: i - 1}, e)
		if l.tailSeq() == 1 && l.offset > 3000 {
			break
		}
		if i == 5 || l.tailSeq() == 1 && l.offset < 1500 {
			must(t, l.MarkSnapshot(Snapshot{Index: i - 1, Term: 1, ConfState: &raftpb.ConfState{Voters: []uint64{2}}}))
		}
	}
	must(t, l.Close())
	segments, err := listSegments(fs, testDir)
	must(t, err)
	if len(segments) != 2 {
		t.Fatalf("%d segments", len(segments))
	}
	return disk{t, fs}, [2]string{segments[0].name(), segments[1].name()}
}

// TestEveryFlippedBitIsReported flips bits everywhere in front of the last synced batch. etcd would cut the log at many
// of these, for instance where a payload of zeros makes a damaged record look torn.
func TestEveryFlippedBitIsReported(t *testing.T) {
	for _, c := range []struct {
		name    string
		payload func(uint64) []byte
	}{
		{"text", func(i uint64) []byte { return fmt.Appendf(nil, "payload number %d of a small entry", i) }},
		{"zeros", func(i uint64) []byte { return make([]byte, 600) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, names := sampleLog(t, c.payload)
			for n, name := range names {
				content := d.read(name)
				recs, end := frames(t, content)
				opts := d.with(name, content[:end+sectorBytes])
				file, err := opts.FS.(*vfs.MemFS).UnsafeGetFileDataBuffer(testDir + "/" + name)
				must(t, err)
				if n == 1 {
					// The last batch has no successor that vouches for it; see TestTornTails.
					for recs[len(recs)-1].kind != recordCRC {
						recs = recs[:len(recs)-1]
					}
					end = recs[len(recs)-1].offset
				}
				for at := int64(0); at < end; at++ {
					file[at] ^= 1 << (at % 8)
					_, _, err := Open(opts, 0)
					file[at] ^= 1 << (at % 8)
					var corrupt *CorruptError
					if !errors.As(err, &corrupt) {
						t.Fatalf("byte %d of %s flipped: %v", at, name, err)
					}
					if corrupt.File != testDir+"/"+name || corrupt.Offset > at && at >= recs[1].offset || at-corrupt.Offset > 1000 {
						t.Fatalf("byte %d of %s flipped: reported at %s offset %d", at, name, corrupt.File, corrupt.Offset)
					}
				}
			}
		})
	}
}

// TestFlippedBitsInTheLastBatch: without a zero sector they are reported as well.
func TestFlippedBitsInTheLastBatch(t *testing.T) {
	d, names := sampleLog(t, func(i uint64) []byte { return fmt.Appendf(nil, "payload number %d of a small entry", i) })
	content := d.read(names[1])
	recs, end := frames(t, content)
	last := recs[len(recs)-1]
	for at := last.offset + frameHeaderBytes; at < end; at++ {
		flipped := append([]byte(nil), content...)
		flipped[at] ^= 0x10
		var corrupt *CorruptError
		if _, _, err := Open(d.with(names[1], flipped), 0); !errors.As(err, &corrupt) || corrupt.Offset != last.offset {
			t.Fatalf("byte %d of the last record flipped: %v", at, err)
		}
	}
}

// TestTornTails cuts and holes the last batch in the ways that a crash can, and expects the rest to survive.
func TestTornTails(t *testing.T) {
	fs := vfs.NewMem()
	l := mustCreate(t, testOptions(t, fs, 1<<20))
	durable := entries(1, 20, 1, 300)
	save(t, l, HardState{Term: 1, Commit: 19}, durable...)
	durableEnd := l.offset
	batch := entries(21, 60, 1, 300)
	save(t, l, HardState{Term: 1, Commit: 20}, batch...)
	must(t, l.Close())
	d := disk{t, fs}
	name := segment{}.name()
	content := d.read(name)

	check := func(what string, torn []byte, repaired bool) {
		t.Helper()
		opts := d.with(name, torn)
		l, r, err := Open(opts, 20)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if (r.Repaired != nil) != repaired {
			t.Fatalf("%s: repaired %+v", what, r.Repaired)
		}
		checkEntries(t, r.Entries, batch[:len(r.Entries)])
		if repaired {
			if saved := (disk{t, opts.FS.(*vfs.MemFS)}).read(name + ".broken"); string(saved) != string(torn) {
				t.Fatalf("%s: the copy differs from what was found", what)
			}
		}
		// What was cut stays away, and the log goes on.
		kept := append(append([]*raftpb.Entry(nil), durable...), r.Entries...)
		next := entries(r.LastIndex+1, r.LastIndex+5, 2, 700)
		save(t, l, HardState{Term: 2}, next...)
		must(t, l.Close())
		l, again := mustOpen(t, opts, 0)
		if again.Repaired != nil {
			t.Fatalf("%s: repaired again: %+v", what, again.Repaired)
		}
		checkEntries(t, again.Entries, append(kept, next...))
		must(t, l.Close())
	}

	for cut := durableEnd; cut < durableEnd+3000; cut += 8 {
		_, end := frames(t, content[:cut])
		check(fmt.Sprintf("file ends at %d", cut), content[:cut], end != cut)
		zeroed := append(append([]byte(nil), content[:cut]...), make([]byte, len(content)-int(cut))...)
		if cut%sectorBytes == 0 {
			_, end := frames(t, zeroed)
			check(fmt.Sprintf("zeros from sector %d", cut/sectorBytes), zeroed, end != cut)
		}
	}
	for sector := durableEnd/sectorBytes + 1; sector < durableEnd/sectorBytes+12; sector++ {
		holed := append([]byte(nil), content...)
		clear(holed[sector*sectorBytes : (sector+1)*sectorBytes])
		check(fmt.Sprintf("sector %d was never written", sector), holed, true)
	}
}

func TestDamageInAnEarlierSegmentIsNeverTorn(t *testing.T) {
	d, names := sampleLog(t, func(i uint64) []byte { return make([]byte, 600) })
	content := d.read(names[0])
	recs, end := frames(t, content)
	for what, damaged := range map[string][]byte{
		"cut":   content[:recs[len(recs)-1].offset+10],
		"holed": append(append([]byte(nil), content[:recs[4].offset]...), make([]byte, len(content)-int(recs[4].offset))...),
		"empty": nil,
		"tail":  append(append([]byte(nil), content[:end]...), 1, 2, 3, 4, 5, 6, 7, 8),
	} {
		var corrupt *CorruptError
		if _, _, err := Open(d.with(names[0], damaged), 0); !errors.As(err, &corrupt) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestMissingSegmentIsReported(t *testing.T) {
	opts := testOptions(t, vfs.NewMem(), 1000)
	l := mustCreate(t, opts)
	for i := uint64(1); i < 40; i++ {
		save(t, l, HardState{Term: 1}, entry(i, 1, 200))
	}
	must(t, l.Close())
	segments, err := listSegments(opts.FS, testDir)
	must(t, err)
	must(t, opts.FS.Remove(opts.FS.PathJoin(testDir, segments[2].name())))
	var corrupt *CorruptError
	if _, _, err := Open(opts, 0); !errors.As(err, &corrupt) || corrupt.File != testDir+"/"+segments[1].name() {
		t.Errorf("opened with a segment missing: %v", err)
	}
}
