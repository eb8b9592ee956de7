package wal

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"bowline/internal/testkit"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

const testDir = "/data/wal"

var testMetadata = Metadata{NodeID: 0x299871dd77aa1817, ClusterID: 0xb75d901bb05d888d}

// testOptions are options for a log in memory with small segments.
func testOptions(t testing.TB, fs *vfs.MemFS, segmentBytes int64) Options {
	t.Helper()
	if err := fs.MkdirAll("/data", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syncDir(fs, "/"); err != nil {
		t.Fatal(err)
	}
	return Options{FS: fs, Dir: testDir, SegmentBytes: segmentBytes}
}

func mustCreate(t testing.TB, opts Options) *Log {
	t.Helper()
	l, err := Create(opts, testMetadata)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func mustOpen(t testing.TB, opts Options, from uint64) (*Log, Recovered) {
	t.Helper()
	l, r, err := Open(opts, from)
	if err != nil {
		t.Fatal(err)
	}
	return l, r
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// entry makes an entry whose payload tells index and term.
func entry(index, term uint64, size int) *raftpb.Entry {
	data := fmt.Appendf(make([]byte, 0, max(size, 32)), "entry %d of term %d ", index, term)
	for len(data) < size {
		data = append(data, byte('a'+len(data)%26))
	}
	return &raftpb.Entry{Index: &index, Term: &term, Data: data}
}

func entries(first, last, term uint64, size int) []*raftpb.Entry {
	var out []*raftpb.Entry
	for i := first; i <= last; i++ {
		out = append(out, entry(i, term, size))
	}
	return out
}

// save appends and syncs.
func save(t testing.TB, l *Log, state HardState, ents ...*raftpb.Entry) {
	t.Helper()
	must(t, l.Append(ents, state))
	must(t, l.Sync())
}

func checkEntries(t testing.TB, got, want []*raftpb.Entry) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %d entries, want %d", len(got), len(want))
	}
	for i := range want {
		if !proto.Equal(got[i], want[i]) {
			t.Fatalf("entry %d of %d: got %v, want %v", i, len(want), got[i], want[i])
		}
	}
}

// checkLog reads everything back in pieces of several sizes and compares it.
func checkLog(t testing.TB, l *Log, want []*raftpb.Entry) {
	t.Helper()
	if len(want) == 0 {
		if l.FirstIndex() != l.LastIndex()+1 {
			t.Fatalf("the log holds %d to %d, want nothing", l.FirstIndex(), l.LastIndex())
		}
		return
	}
	first, last := want[0].GetIndex(), want[len(want)-1].GetIndex()
	if l.FirstIndex() != first || l.LastIndex() != last {
		t.Fatalf("the log holds %d to %d, want %d to %d", l.FirstIndex(), l.LastIndex(), first, last)
	}
	for _, maxBytes := range []uint64{1, 1000, 1 << 30} {
		var got []*raftpb.Entry
		for lo := first; lo <= last; {
			part, err := l.Entries(lo, last+1, maxBytes)
			must(t, err)
			got, lo = append(got, part...), lo+uint64(len(part))
		}
		checkEntries(t, got, want)
	}
}

func TestReadsBackWhatWasWritten(t *testing.T) {
	opts := testOptions(t, vfs.NewMem(), 4000)
	l := mustCreate(t, opts)
	var want []*raftpb.Entry
	for i := uint64(1); i <= 300; i += 3 {
		batch := entries(i, i+2, 1+i/100, int(i))
		want = append(want, batch...)
		save(t, l, HardState{Term: 1 + i/100, Vote: 7, Commit: i}, batch...)
	}
	checkLog(t, l, want)
	if _, n := l.Size(); n < 10 {
		t.Errorf("%d segments, want many", n)
	}
	must(t, l.Close())

	for _, from := range []uint64{0, 1, 150, 299, 300} {
		l, r := mustOpen(t, opts, from)
		checkEntries(t, r.Entries, want[from:])
		checkLog(t, l, want)
		if r.Metadata != testMetadata || r.HardState != (HardState{3, 7, 298}) || r.FirstIndex != 1 || r.LastIndex != 300 {
			t.Errorf("recovered %+v", r)
		}
		if fmt.Sprint(r.Terms) != "[{0 0} {1 1} {100 2} {202 3}]" {
			t.Errorf("terms are %v", r.Terms)
		}
		must(t, l.Close())
	}
	var behind *BehindError
	if _, _, err := Open(opts, 301); !errors.As(err, &behind) || behind.Last != 300 || behind.From != 301 {
		t.Errorf("opening from behind the end: %v", err)
	}
}

func TestOverwrittenEntriesAreGone(t *testing.T) {
	opts := testOptions(t, vfs.NewMem(), 3000)
	l := mustCreate(t, opts)
	save(t, l, HardState{Term: 1}, entries(1, 40, 1, 100)...)
	save(t, l, HardState{Term: 2}, entries(30, 35, 2, 100)...)
	save(t, l, HardState{Term: 3}, entries(33, 60, 3, 100)...)
	save(t, l, HardState{Term: 4}, entries(32, 32, 4, 100)...)
	must(t, l.Append(entries(33, 36, 4, 10), HardState{Term: 4})) // and within one staged batch
	must(t, l.Append(entries(35, 50, 5, 10), HardState{Term: 5, Commit: 50}))
	must(t, l.Sync())
	want := append(entries(1, 29, 1, 100), entries(30, 31, 2, 100)...)
	want = append(want, entry(32, 4, 100))
	want = append(want, entries(33, 34, 4, 10)...)
	want = append(want, entries(35, 50, 5, 10)...)
	checkLog(t, l, want)
	must(t, l.Close())
	l, r := mustOpen(t, opts, 31)
	checkEntries(t, r.Entries, want[31:])
	checkLog(t, l, want)
	if fmt.Sprint(r.Terms) != "[{0 0} {1 1} {30 2} {32 4} {35 5}]" {
		t.Errorf("terms are %v", r.Terms)
	}
	must(t, l.Close())
}

func TestAppendRefusesGaps(t *testing.T) {
	l := mustCreate(t, testOptions(t, vfs.NewMem(), 1000))
	defer l.Close()
	defer func() {
		if recover() == nil {
			t.Error("an entry behind a gap was accepted")
		}
	}()
	_ = l.Append(entries(2, 2, 1, 1), HardState{})
}

func TestRealFiles(t *testing.T) {
	var written, syncs int
	opts := Options{Dir: filepath.Join(t.TempDir(), "wal"), SegmentBytes: 1 << 20, Observe: Observer{
		Write: func(bytes int, _ time.Duration) { written += bytes },
		Sync:  func(time.Duration) { syncs++ },
	}}
	l := mustCreate(t, opts)
	want := entries(1, 3000, 1, 1000)
	for _, e := range want {
		save(t, l, HardState{Term: 1, Commit: e.GetIndex() - 1}, e)
	}
	checkLog(t, l, want)
	if written < 3_000_000 || syncs < 3000 {
		t.Errorf("observed %d bytes and %d syncs", written, syncs)
	}
	must(t, l.Close())
	l, r := mustOpen(t, opts, 0)
	checkEntries(t, r.Entries, want)
	if r.Repaired != nil {
		t.Errorf("repaired a sound log: %+v", r.Repaired)
	}
	must(t, l.MarkSnapshot(Snapshot{Index: 2999, Term: 1}))
	first, err := l.Release(2999)
	must(t, err)
	if bytes, n := l.Size(); n != 1 || first < 2000 || bytes > 1<<20 {
		t.Errorf("%d bytes in %d segments from index %d are left", bytes, n, first)
	}
	checkLog(t, l, want[first-1:])
	must(t, l.Close())
}

// fixture unpacks a segment that etcd wrote (without its zeros at the end) into a log directory.
func fixture(t testing.TB, name string) Options {
	t.Helper()
	content, err := testkit.Unzipped(filepath.Join("testdata", "etcd-"+name+".wal.gz"))
	must(t, err)
	fs := vfs.NewMem()
	must(t, fs.MkdirAll(testDir, 0o700))
	must(t, writeFile(fs, fs.PathJoin(testDir, segment{}.name()), content))
	return Options{FS: fs, Dir: testDir}
}

func TestReadsEtcdLogs(t *testing.T) {
	for _, c := range []struct {
		name     string
		metadata Metadata
		state    HardState
		last     uint64
		snapshot uint64
	}{
		{"3.4", Metadata{0xfffffa56274d7981, 0x3f26f6cafbdac4e0}, HardState{2, 0xfffffa56274d7981, 472}, 472, 0x12d},
		{"3.4-restored", Metadata{0xc9e5c41d62bfd99a, 0x5de117deadf785c}, HardState{2, 0xc9e5c41d62bfd99a, 14}, 14, 1},
		{"3.7", Metadata{0x8f2c6a3ea2a68805, 0xfc258319691f0e52}, HardState{2, 0x8f2c6a3ea2a68805, 478}, 478, 0x12d},
		{"3.7-crash", Metadata{0x5f3e79e2108b213b, 0x3701e18c87e824f8}, HardState{2, 0x5f3e79e2108b213b, 81}, 82, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			opts := fixture(t, c.name)
			l, r := mustOpen(t, opts, 0)
			if r.Metadata != c.metadata || r.HardState != c.state || r.Snapshot.Index != c.snapshot || r.LastIndex != c.last {
				t.Errorf("recovered %+v", r)
			}
			if len(r.Entries) != int(c.last) || r.Entries[c.last-1].GetTerm() != 2 || r.Repaired != nil || r.FirstIndex != 1 {
				t.Errorf("%d entries, repaired %v, first %d", len(r.Entries), r.Repaired, r.FirstIndex)
			}
			checkLog(t, l, r.Entries)

			// And the log goes on from there.
			more := entries(c.last+1, c.last+100, 3, 50)
			save(t, l, HardState{3, 1, c.last + 100}, more...)
			must(t, l.Close())
			l, again := mustOpen(t, opts, 10)
			checkEntries(t, again.Entries, append(r.Entries[10:], more...))
			must(t, l.Close())
		})
	}
}
