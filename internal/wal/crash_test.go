package wal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// model is what a log should hold: entries in the order they were appended, and how many of them are durable.
type model struct {
	appended []*raftpb.Entry
	durable  int
	term     uint64 // durable
	released uint64 // entries below may be gone
}

// logAt returns the log after the first n appended entries.
func (m *model) logAt(n int) []*raftpb.Entry {
	var log []*raftpb.Entry
	for _, e := range m.appended[:n] {
		log = append(log[:e.GetIndex()-1], e)
	}
	return log
}

func (m *model) clone() *model {
	c := *m
	c.appended = c.appended[:len(c.appended):len(c.appended)]
	return &c
}

// check opens what a crash left, and expects everything durable and at most what was appended, in that order.
func (m *model) check(t *testing.T, fs vfs.FS) []*raftpb.Entry {
	t.Helper()
	opts := Options{FS: fs, Dir: testDir, SegmentBytes: 3000}
	if !Exists(fs, testDir) {
		if m.durable > 0 {
			t.Fatal("the log is gone")
		}
		return nil
	}
	l, r, err := Open(opts, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if r.FirstIndex > max(m.released, 1) || r.HardState.Term < m.term {
		t.Fatalf("first index %d, released below %d; term %d, want at least %d", r.FirstIndex, m.released, r.HardState.Term, m.term)
	}
	for n := m.durable; n <= len(m.appended); n++ {
		if want := m.logAt(n); r.LastIndex == uint64(len(want)) && same(r.Entries, want[r.FirstIndex-1:]) {
			checkLog(t, l, want[r.FirstIndex-1:])
			return want
		}
	}
	t.Fatalf("recovered %d to %d, which is no state between the %d durable and the %d appended entries",
		r.FirstIndex, r.LastIndex, m.durable, len(m.appended))
	return nil
}

func same(a, b []*raftpb.Entry) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !proto.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

// crashFS takes a crash image before some of the operations on the file system.
type crashFS struct {
	mem    *vfs.MemFS
	rng    *rand.Rand
	oneIn  int
	images []*vfs.MemFS
	models []*model
	now    *model
}

func (c *crashFS) fs() vfs.FS {
	return errorfs.Wrap(c.mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && c.rng.IntN(c.oneIn) == 0 {
			c.images = append(c.images, c.image())
			c.models = append(c.models, c.now.clone())
		}
		return nil
	}))
}

func (c *crashFS) image() *vfs.MemFS {
	return c.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: c.rng.IntN(101), RNG: c.rng})
}

// TestEverySyncedEntrySurvivesACrash runs a random history and pulls the plug before random file operations, during
// creation, segment cuts, releases and, in a second crash, repairs.
func TestEverySyncedEntrySurvivesACrash(t *testing.T) {
	for seed := range uint64(25) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 0))
			m := &model{}
			disk := &crashFS{mem: vfs.NewCrashableMem(), rng: rng, oneIn: 8, now: m}
			testOptions(t, disk.mem, 0)
			l := mustCreate(t, Options{FS: disk.fs(), Dir: testDir, SegmentBytes: 3000})
			randomHistory(t, rng, l, m)
			must(t, l.Close())
			for i, image := range disk.images {
				second := &crashFS{mem: image, rng: rng, oneIn: 3, now: disk.models[i]}
				log := disk.models[i].check(t, second.fs())
				// What Open has shown is acted upon: it must survive the next crash.
				disk.models[i].appended, disk.models[i].durable = log, len(log)
				disk.models[i].check(t, second.image())
				for j, again := range second.images {
					second.models[j].check(t, again)
				}
			}
		})
	}
}

// randomHistory appends, overwrites, syncs, marks and releases.
func randomHistory(t *testing.T, rng *rand.Rand, l *Log, m *model) {
	t.Helper()
	state, last, commit := HardState{Term: 1}, uint64(0), uint64(0)
	synced := func() {
		if m.durable = len(m.appended); m.durable > 0 {
			m.term = state.Term
		}
	}
	for range 60 {
		switch k := rng.IntN(10); {
		case k < 6:
			next := last + 1
			if rng.IntN(5) == 0 && commit < last {
				next = commit + 1 + rng.Uint64N(last-commit)
				state.Term++
			}
			last = next + rng.Uint64N(8)
			batch := entries(next, last, state.Term, rng.IntN(600))
			m.appended = append(m.appended, batch...)
			must(t, l.Append(batch, state))
		case k < 9:
			must(t, l.Sync())
			synced()
			commit = max(commit, last-min(last, rng.Uint64N(6)))
			state.Commit = commit
		default:
			if commit == 0 || commit > uint64(len(m.logAt(m.durable))) {
				continue
			}
			mark := commit - min(commit-1, rng.Uint64N(5))
			m.released = max(m.released, mark)
			must(t, l.MarkSnapshot(Snapshot{Index: mark, Term: m.logAt(len(m.appended))[mark-1].GetTerm()}))
			synced()
			_, err := l.Release(mark)
			must(t, err)
		}
	}
}

func TestAFailedWriteIsFinal(t *testing.T) {
	broken := errors.New("the disk is broken")
	for _, kind := range []errorfs.OpKind{errorfs.OpFileWriteAt, errorfs.OpFileSyncData, errorfs.OpRename} {
		fail := false
		mem := vfs.NewMem()
		testOptions(t, mem, 0)
		fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if fail && op.Kind == kind {
				return broken
			}
			return nil
		}))
		l := mustCreate(t, Options{FS: fs, Dir: testDir, SegmentBytes: 2000})
		save(t, l, HardState{Term: 1}, entry(1, 1, 10))
		fail = true
		must(t, l.Append(entries(2, 2, 1, 3000), HardState{}))
		if err := l.Sync(); !errors.Is(err, broken) {
			t.Fatalf("kind %d: sync: %v", kind, err)
		}
		fail = false
		if err := l.Sync(); !errors.Is(err, broken) {
			t.Fatalf("kind %d: the second sync succeeded: %v", kind, err)
		}
		if err := l.Append(entries(3, 3, 1, 3), HardState{}); !errors.Is(err, broken) {
			t.Fatalf("kind %d: append after a failure: %v", kind, err)
		}
		must(t, l.Close())
	}
}

func TestReleaseKeepsWhatIsNeeded(t *testing.T) {
	opts := testOptions(t, vfs.NewMem(), 1000)
	opts.KeepBytes = 2500
	l := mustCreate(t, opts)
	for i := uint64(1); i <= 100; i++ {
		save(t, l, HardState{Term: 1, Commit: i}, entry(i, 1, 200))
	}
	if first, err := l.Release(100); err != nil || first != 1 {
		t.Errorf("released up to %d without a mark: %v", first, err)
	}
	must(t, l.MarkSnapshot(Snapshot{Index: 50, Term: 1}))
	first, err := l.Release(100)
	must(t, err)
	if first > 50 || first < 40 {
		t.Errorf("with a mark at 50 the log begins at %d", first)
	}
	must(t, l.MarkSnapshot(Snapshot{Index: 100, Term: 1}))
	first, err = l.Release(100)
	must(t, err)
	if bytes, n := l.Size(); bytes < 2500 || n > 4 || first < 80 {
		t.Errorf("%d bytes in %d segments from index %d are left", bytes, n, first)
	}
	if _, err := l.Entries(first-1, first+1, 100); !errors.Is(err, ErrReleased) {
		t.Errorf("reading released entries: %v", err)
	}
	if _, err := l.Entries(100, 102, 100); !errors.Is(err, ErrUnavailable) {
		t.Errorf("reading entries to come: %v", err)
	}
	must(t, l.Close())
	l, r := mustOpen(t, opts, 90)
	if r.FirstIndex != first || r.Snapshot.Index != 100 || len(r.Entries) != 10 || r.HardState.Commit != 100 {
		t.Errorf("recovered %+v", r)
	}
	must(t, l.Close())
}

func TestLogStartsAnewBehindAForeignSnapshot(t *testing.T) {
	opts := testOptions(t, vfs.NewMem(), 1<<20)
	l := mustCreate(t, opts)
	save(t, l, HardState{Term: 1}, entries(1, 10, 1, 100)...)
	conf := &raftpb.ConfState{Voters: []uint64{1, 2, 3}}
	must(t, l.MarkSnapshot(Snapshot{Index: 1000, Term: 4, ConfState: conf}))
	checkLog(t, l, nil)
	must(t, l.Close())
	l, r := mustOpen(t, opts, 1000)
	if r.FirstIndex != 1001 || r.LastIndex != 1000 || fmt.Sprint(r.Terms) != "[{1000 4}]" || r.HardState != (HardState{4, 0, 1000}) ||
		!proto.Equal(r.Snapshot.ConfState, conf) {
		t.Errorf("recovered %+v", r)
	}
	more := entries(1001, 1020, 5, 100)
	save(t, l, HardState{Term: 5}, more...)
	checkLog(t, l, more)

	// A snapshot at an index that the log has with another term also replaces everything.
	must(t, l.MarkSnapshot(Snapshot{Index: 1010, Term: 6}))
	must(t, l.Close())
	l, r = mustOpen(t, opts, 1000)
	if r.FirstIndex != 1011 || r.LastIndex != 1010 || len(r.Entries) != 0 || fmt.Sprint(r.Terms) != "[{1010 6}]" {
		t.Errorf("recovered %+v", r)
	}
	must(t, l.Close())
}

func TestReadingDuringWrites(t *testing.T) {
	l := mustCreate(t, testOptions(t, vfs.NewMem(), 20_000))
	save(t, l, HardState{Term: 1}, entry(1, 1, 10))
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				lo, hi := l.FirstIndex(), l.LastIndex()+1
				got, err := l.Entries(lo, hi, 50_000)
				if errors.Is(err, ErrReleased) || errors.Is(err, ErrUnavailable) {
					continue // released, or replaced by a shorter log, in between
				}
				if err != nil {
					t.Error(err)
					return
				}
				for i, e := range got {
					if !proto.Equal(e, entry(lo+uint64(i), e.GetTerm(), 200)) && e.GetIndex() > 1 {
						t.Errorf("entry %d: %v", lo+uint64(i), e)
						return
					}
				}
			}
		})
	}
	last, term := uint64(1), uint64(1)
	for i := range 400 {
		next := last + 1
		if i%10 == 0 && i > 0 {
			next, term = last-2, term+1
		}
		last = next + 5
		save(t, l, HardState{Term: term}, entries(next, last, term, 200)...)
		if i%50 == 0 && i > 0 {
			must(t, l.MarkSnapshot(Snapshot{Index: last - 50, Term: 1}))
			_, err := l.Release(last - 50)
			must(t, err)
		}
	}
	close(stop)
	readers.Wait()
	must(t, l.Close())
}

// TestWhatOpenReturnsIsDurable kills a process between its write and its sync: the kernel has the write, the disk does not.
// The next process acts upon what it reads, so it must be durable before Open returns.
func TestWhatOpenReturnsIsDurable(t *testing.T) {
	mem := vfs.NewCrashableMem()
	opts := testOptions(t, mem, 0)
	l := mustCreate(t, opts)
	must(t, l.Append(entries(1, 10, 1, 100), HardState{Term: 1, Vote: 3}))
	must(t, l.Flush())
	_, r := mustOpen(t, opts, 0)
	checkEntries(t, r.Entries, entries(1, 10, 1, 100))
	opts.FS = mem.CrashClone(vfs.CrashCloneCfg{})
	_, again := mustOpen(t, opts, 0)
	checkEntries(t, again.Entries, r.Entries)
	if again.HardState != r.HardState {
		t.Errorf("state %v after %v was read", again.HardState, r.HardState)
	}
}
