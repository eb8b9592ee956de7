package wal

import (
	"bytes"
	"path"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// optional draws a value or nothing.
func optional[T any](t *rapid.T, g *rapid.Generator[T], name string) *T {
	if !rapid.Bool().Draw(t, name+" set") {
		return nil
	}
	v := g.Draw(t, name)
	return &v
}

func TestEncodesAsProtobufDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := &raftpb.Entry{
			Term:  optional(t, rapid.Uint64(), "term"),
			Index: optional(t, rapid.Uint64(), "index"),
			Type:  optional(t, rapid.SampledFrom([]raftpb.EntryType{0, 1, 2}), "type"),
		}
		if d := optional(t, rapid.SliceOf(rapid.Byte()), "data"); d != nil {
			e.Data = *d
		}
		want, err := proto.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if got := append(appendEntryHead(nil, e), e.Data...); !bytes.Equal(got, want) {
			t.Fatalf("entry %v is %x, want %x", e, got, want)
		}

		s := HardState{Term: rapid.Uint64Min(1).Draw(t, "t"), Vote: rapid.Uint64().Draw(t, "v"), Commit: rapid.Uint64().Draw(t, "c")}
		want, err = proto.Marshal(&raftpb.HardState{Term: &s.Term, Vote: &s.Vote, Commit: &s.Commit})
		if err != nil {
			t.Fatal(err)
		}
		got := appendHardState(nil, s)
		if back, err := decodeHardState(got); err != nil || back != s || !bytes.Equal(got, want) {
			t.Fatalf("state %v is %x, want %x; decoded %v, %v", s, got, want, back, err)
		}
	})
}

func TestMetadataIsWhatEtcdReads(t *testing.T) {
	var m etcdserverpb.Metadata
	if err := proto.Unmarshal(appendMetadata(nil, testMetadata), &m); err != nil || m.GetNodeID() != testMetadata.NodeID || m.GetClusterID() != testMetadata.ClusterID {
		t.Errorf("metadata read as %v, %v", &m, err)
	}
}

// TestFirstBytesAreEtcds compares the head of a new log with the one that etcd 3.7 was seen to write.
func TestFirstBytesAreEtcds(t *testing.T) {
	fs := vfs.NewMem()
	l := mustCreate(t, testOptions(t, fs, 0))
	must(t, l.Close())
	want := "\x04\x00\x00\x00\x00\x00\x00\x84\x08\x04\x10\x00\x00\x00\x00\x00" +
		"\x1f\x00\x00\x00\x00\x00\x00\x81\x08\x01\x10\xdc\xbf\xca\xfc\x0f\x1a\x15\x08\x97\xb0\xa8\xbd\xd7\xbb\x9c\xcc\x29\x10\x8d\x91\xf6\x82\xbb\x83\xe4\xae\xb7\x01\x00" +
		"\x0e\x00\x00\x00\x00\x00\x00\x82\x08\x05\x10\xf2\xa9\xe2\xaf\x0e\x1a\x04\x08\x00\x10\x00\x00\x00"
	if got := (disk{t, fs}).read(segment{}.name()); string(got) != want {
		t.Errorf("a new log is\n%x, want\n%x", got, want)
	}
}

// FuzzOpen feeds arbitrary bytes to the reader as a log of one segment. It must not panic, nor use memory beyond the
// file's size; what it accepts, it must find again.
func FuzzOpen(f *testing.F) {
	d, names := sampleLog(f, func(i uint64) []byte { return []byte("some payload") })
	content := d.read(names[0])
	f.Add(content)
	f.Add(content[:len(content)/2])
	etcd := fixture(f, "3.7-crash")
	f.Add((disk{f, etcd.FS.(*vfs.MemFS)}).read(segment{}.name()))
	f.Add([]byte("\x04\x00\x00\x00\x00\x00\x00\x84\x08\x04\x10\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\x00"))
	f.Fuzz(func(t *testing.T, content []byte) {
		fs := vfs.NewMem()
		must(t, fs.MkdirAll(testDir, 0o700))
		must(t, writeFile(fs, path.Join(testDir, segment{}.name()), bytes.Clone(content)))
		opts := Options{FS: fs, Dir: testDir}
		l, r, err := Open(opts, 0)
		if err != nil {
			return
		}
		if r.LastIndex >= r.FirstIndex {
			_, err := l.Entries(r.FirstIndex, r.LastIndex+1, 1<<20)
			must(t, err)
		}
		must(t, l.Close())
		l, again := mustOpen(t, opts, 0)
		checkEntries(t, again.Entries, r.Entries)
		if again.Repaired != nil || again.HardState != r.HardState {
			t.Errorf("opened a second time: %+v, at first %+v", again, r)
		}
		must(t, l.Close())
	})
}

func BenchmarkAppend(b *testing.B) {
	l := mustCreate(b, testOptions(b, vfs.NewMem(), 0))
	batch := entries(1, 100, 1, 600)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		for j, e := range batch {
			*e.Index = uint64(i*100 + j + 1)
		}
		must(b, l.Append(batch, HardState{Term: 1, Commit: uint64(i * 100)}))
		must(b, l.Sync())
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/entry")
}

func BenchmarkOpen(b *testing.B) {
	opts := testOptions(b, vfs.NewMem(), 0)
	l := mustCreate(b, opts)
	for i := uint64(0); i < 50_000; i += 100 {
		save(b, l, HardState{Term: 1}, entries(i+1, i+100, 1, 600)...)
	}
	must(b, l.Close())
	for b.Loop() {
		l, _ := mustOpen(b, opts, 40_000)
		must(b, l.Close())
	}
}
