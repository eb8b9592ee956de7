package archive

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"bowline/internal/cluster"
	"bowline/internal/engine"
	"bowline/internal/exchange"
	"bowline/internal/fsm"
	"bowline/internal/mvcc"
	"bowline/internal/v2"
	"bowline/internal/wire"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pair is what a model knows of a key.
type pair struct {
	value                string
	create, mod, version int64
	lease                int64
}

// world is a state machine with a log, its archive, and a model of every revision.
type world struct {
	t      testing.TB
	random *rand.Rand
	fsm    *fsm.FSM
	log    []*raftpb.Entry
	first  uint64 // that the log has
	held   []uint64

	now      time.Time
	store    Store
	archiver *Archiver
	config   Config

	model  map[string]pair
	states map[int64]map[string]pair   // by revision
	trees  map[int64][sha256.Size]byte // of API v2, when the revision came to be
	times  map[int64]time.Time         // from when on it was the newest
}

const testCluster = 0xabc

func newWorld(t testing.TB, store Store) *world {
	w := &world{
		t: t, random: rand.New(rand.NewPCG(7, 7)), first: 1, store: store, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		model: make(map[string]pair), states: map[int64]map[string]pair{1: {}}, times: make(map[int64]time.Time),
		trees: make(map[int64][sha256.Size]byte),
	}
	e, err := engine.Open(filepath.Join(t.TempDir(), "engine"), engine.Options{})
	must(t, err)
	t.Cleanup(func() { must(t, e.Close()) })
	w.fsm = openFSM(t, e)
	w.config = Config{Store: store, Identity: Identity{ClusterID: testCluster, MemberID: 1, MinLeaseTTL: 2}, Source: w,
		TempDir: t.TempDir(), Interval: time.Second, CheckpointEvery: 20 * time.Second, Logger: zap.NewNop()}
	w.restart()
	return w
}

func openFSM(t testing.TB, e *engine.Engine) *fsm.FSM {
	f, err := fsm.Open(fsm.Config{
		Engine: e, MinLeaseTTL: 2, Deliver: func(uint64, fsm.Result) {}, Publish: func(int64, []mvcc.Event, bool) {},
		LeaseGranted: func(int64, int64) {}, LeaseRevoked: func(int64) {}, EmptyEntry: func(uint64) {},
		Fatal: func(err error) { t.Error(err) },
	})
	must(t, err)
	return f
}

// restart has a new archiver go on, as after a crash.
func (w *world) restart() { w.archiver = New(w.config) }

func (w *world) At() (fsm.Position, int64) { return w.fsm.At() }
func (w *world) Export() *fsm.Export       { return w.fsm.Export() }
func (w *world) LogBytes() int64           { return 0 }

func (w *world) Entries(lo, hi, maxBytes uint64) ([]*raftpb.Entry, error) {
	if lo < w.first {
		return nil, errReleased
	}
	if hi > uint64(len(w.log))+1 {
		return nil, fmt.Errorf("there is no entry %d", hi-1)
	}
	var out []*raftpb.Entry
	for _, e := range w.log[lo-1 : hi-1] {
		if len(out) > 0 && uint64(len(e.GetData())) > maxBytes {
			break
		}
		maxBytes -= min(maxBytes, uint64(len(e.GetData())))
		out = append(out, e)
	}
	return out, nil
}

func (w *world) HoldLog(index uint64) func() {
	w.held = append(w.held, index)
	return func() {
		i := slices.Index(w.held, index)
		if i < 0 {
			w.t.Errorf("entry %d is released twice", index)
			return
		}
		w.held = slices.Delete(w.held, i, i+1)
	}
}

// trim lets the log go as far as nobody holds it.
func (w *world) trim() {
	below := uint64(len(w.log))
	for _, h := range w.held {
		below = min(below, h)
	}
	w.first = max(w.first, below+1)
}

func (w *world) apply(r *pb.InternalRaftRequest) {
	index := uint64(len(w.log) + 1)
	r.Header = &pb.RequestHeader{ID: index}
	data, err := proto.Marshal(r)
	must(w.t, err)
	w.append(data)
	if _, rev := w.fsm.At(); w.states[rev] == nil {
		w.states[rev], w.times[rev], w.trees[rev] = maps.Clone(w.model), w.now, treeOf(w.t, w.fsm)
	}
}

func (w *world) append(data []byte) {
	index := uint64(len(w.log) + 1)
	e := &raftpb.Entry{Index: proto.Uint64(index), Term: proto.Uint64(1 + index/100), Data: data}
	w.log = append(w.log, e)
	must(w.t, w.fsm.Apply([]*raftpb.Entry{e}, agreed{}))
}

// writeOld makes one random request of API v2.
func (w *world) writeOld() {
	r := wire.V2Request{ID: uint64(len(w.log) + 1), Method: wire.V2Put, Path: "/1/dir/" + w.key(), Value: fmt.Sprint(len(w.log)), Time: w.now.UnixNano()}
	switch w.random.IntN(5) {
	case 0:
		r.Expiration = r.Time + 3e9
	case 1:
		r.Method = wire.V2Delete
	case 2:
		r = wire.V2Request{ID: r.ID, Method: wire.V2Expire, Time: r.Time}
	}
	w.append(r.Encode())
}

// treeOf is a digest of all records of the tree of API v2.
func treeOf(t testing.TB, f *fsm.FSM) [sha256.Size]byte {
	t.Helper()
	x := f.Export()
	h := sha256.New()
	must(t, v2.EachRecord(x.Keys, func(body, value []byte) error {
		fmt.Fprintf(h, "%q %q\n", body, value)
		return nil
	}))
	must(t, x.Close())
	return [sha256.Size]byte(h.Sum(nil))
}

func (w *world) put(rev int64, key, value string, lease int64) *pb.PutRequest {
	p := pair{value: value, create: rev, mod: rev, version: 1, lease: lease}
	if old, ok := w.model[key]; ok {
		p.create, p.version = old.create, old.version+1
	}
	w.model[key] = p
	return &pb.PutRequest{Key: []byte(key), Value: []byte(value), Lease: lease}
}

func (w *world) key() string { return fmt.Sprintf("key-%02d", w.random.IntN(60)) }

// write makes one random request, and the same in the model.
func (w *world) write() {
	if w.random.IntN(4) == 0 {
		w.writeOld()
	}
	_, rev := w.fsm.At()
	next := rev + 1
	switch n := w.random.IntN(100); {
	case n < 60:
		w.apply(&pb.InternalRaftRequest{Put: w.put(next, w.key(), fmt.Sprint(next, " ", string(make([]byte, w.random.IntN(300)))), 0)})
	case n < 70:
		from, to := w.key(), w.key()
		maps.DeleteFunc(w.model, func(k string, _ pair) bool { return k >= from && k < to })
		w.apply(&pb.InternalRaftRequest{DeleteRange: &pb.DeleteRangeRequest{Key: []byte(from), RangeEnd: []byte(to)}})
	case n < 85:
		a, b := "a"+w.key(), "b"+w.key()
		ops := []*pb.RequestOp{
			{Request: &pb.RequestOp_RequestPut{RequestPut: w.put(next, a, "1", 0)}},
			{Request: &pb.RequestOp_RequestPut{RequestPut: w.put(next, b, "2", 0)}},
		}
		w.apply(&pb.InternalRaftRequest{Txn: &pb.TxnRequest{Success: ops}})
	case n < 90:
		w.apply(&pb.InternalRaftRequest{LeaseGrant: &pb.LeaseGrantRequest{ID: next, TTL: 100}})
		w.apply(&pb.InternalRaftRequest{Put: w.put(next, w.key(), "leased", next)})
	case n < 94:
		w.apply(&pb.InternalRaftRequest{Compaction: &pb.CompactionRequest{Revision: max(1, rev-int64(w.random.IntN(20)))}})
	default:
		key := w.key()
		delete(w.model, key)
		w.apply(&pb.InternalRaftRequest{DeleteRange: &pb.DeleteRangeRequest{Key: []byte(key)}})
	}
}

// tick lets time pass, and the archiver work.
func (w *world) tick(ctx context.Context, d time.Duration) error {
	w.now = w.now.Add(d)
	err := w.archiver.step(ctx, w.now)
	if c := w.archiver.checkpoints; c != nil {
		done := <-c
		w.archiver.checkpoints = nil
		w.archiver.took(ctx, done)
	}
	w.trim()
	return err
}

// busy writes for some ticks.
func (w *world) busy(ticks int) {
	w.t.Helper()
	for range ticks {
		for range w.random.IntN(8) {
			w.write()
		}
		must(w.t, w.tick(w.t.Context(), 100*time.Millisecond))
	}
}

func options(dir string) exchange.RestoreOptions {
	c := cluster.Initial{Token: "t", Members: map[string][]string{"new": {"http://new:2380"}}}
	return exchange.RestoreOptions{DataDir: dir, Name: "new", Members: c.First()}
}

// restored restores a moment and reads its keys. Of a revision, the tree of API v2 is
// compared here.
func (w *world) restored(target Target) (Restored, map[string]pair, int64) {
	w.t.Helper()
	dir := filepath.Join(w.t.TempDir(), "data")
	r, err := Restore(w.t.Context(), w.store, target, options(dir))
	must(w.t, err)
	e, err := engine.Open(filepath.Join(dir, engine.MemberDir, engine.DirName), engine.Options{})
	must(w.t, err)
	f := openFSM(w.t, e)
	must(w.t, f.Check(w.t.Context()))
	var a wire.Answer
	must(w.t, f.Store().View().Range(w.t.Context(), &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}}, &a))
	got := new(pb.RangeResponse)
	must(w.t, proto.Unmarshal(a.Bytes(), got))
	a.Release()
	keys := make(map[string]pair)
	for _, kv := range got.Kvs {
		keys[string(kv.Key)] = pair{string(kv.Value), kv.CreateRevision, kv.ModRevision, kv.Version, kv.Lease}
		if _, ok := f.Leases().Get(kv.Lease); kv.Lease != 0 && !ok {
			w.t.Errorf("%s hangs on lease %x, which there is not", kv.Key, kv.Lease)
		}
	}
	if members := f.Members().Members(); len(members) != 1 || members[0].Name != "new" {
		w.t.Errorf("restored with the members %v", members)
	}
	rev := f.Store().Revision()
	if from := parseNames([]string{r.Checkpoint}).checkpoints[0].moment; target.Revision > from.Revision && treeOf(w.t, f) != w.trees[rev] {
		w.t.Errorf("at revision %d the tree of API v2 is another", rev)
	}
	must(w.t, e.Close())
	return r, keys, rev
}

// expect compares a restored moment with the model.
func (w *world) expect(target Target, rev int64) {
	w.t.Helper()
	_, keys, got := w.restored(target)
	if got != rev || !maps.Equal(keys, w.states[rev]) {
		w.t.Errorf("%+v: revision %d with %d keys, want %d with %d", target, got, len(keys), rev, len(w.states[rev]))
	}
}
