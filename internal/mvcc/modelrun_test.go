package mvcc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"math/rand/v2"
	"slices"
	"testing"

	"bowline/internal/engine"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// TestModel compares random histories, crashes and compactions inside, with the
// model. -rapid.checks sets how many.
func TestModel(t *testing.T) {
	checks(t, "300", "30")
	rapid.Check(t, func(t *rapid.T) { runModel(t, smallKeys, 0) })
}

// TestModelOfManyKeys begins with so many keys that count leaves split.
func TestModelOfManyKeys(t *testing.T) {
	checks(t, "5", "1")
	keys := manyKeys(2400)
	rapid.Check(t, func(t *rapid.T) { runModel(t, keys, 2100) })
}

// checks sets how many histories are tried, unless the command line has.
func checks(t *testing.T, n, race string) {
	if underRace {
		n = race
	}
	f := flag.Lookup("rapid.checks")
	if was := f.Value.String(); was == f.DefValue {
		if err := f.Value.Set(n); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Value.Set(was) })
	}
}

func runModel(t *rapid.T, keys []string, load int) {
	r := newModelRun(t, keys)
	defer r.close()
	for len(keys) > 0 && load > 0 {
		txn := new(pb.TxnRequest)
		for range min(100, load) {
			txn.Success = append(txn.Success, opPut(keys[load-1], "loaded"))
			load--
		}
		r.propose([]*pb.InternalRaftRequest{{Txn: txn}})
	}
	t.Repeat(map[string]func(*rapid.T){
		"apply":   r.actApply,
		"apply2":  r.actApply, // most of what happens
		"apply3":  r.actApply,
		"range":   r.actRange,
		"stream":  r.actStream,
		"readTxn": r.actReadTxn,
		"changes": r.actChanges,
		"hash":    r.actHash,
		"step":    r.actStep,
		"step2":   r.actStep,
		"flush":   r.actFlush,
		"crash":   r.actCrash,
		"die":     r.actDie,
		"reopen":  r.actReopen,
		"look":    r.actLook,
	})
	r.finish()
}

// modelRun drives a store as the fsm does, and the model beside it.
type modelRun struct {
	t      *rapid.T
	m      *model
	d      *drawer
	fs     *vfs.MemFS
	engine *engine.Engine
	store  *Store
	leases testLeases
	// spillBytes is the size at which a long request commits a part of itself.
	spillBytes int
	// dying tells that the next group is to be cut short by a crash.
	dying bool
	// log is every request since the beginning, as the raft log would have it.
	log []logged
	// applied is the index in log of the first request that is not applied.
	applied int
	events  []Event
	// hashFrom is what was compacted before the scheduled compaction, if its hash
	// is wanted and not taken.
	hashFrom int64
	hashWant bool
	// walk is that of the compactor; nil if it has none.
	walk *CompactionWalk
}

type logged struct {
	req  *pb.InternalRaftRequest
	want []byte
	err  error
}

var appliedKey = engine.Key(engine.ClassMeta, []byte("applied"))

func newModelRun(t *rapid.T, keys []string) *modelRun {
	m := newModel()
	r := &modelRun{t: t, m: m, d: newDrawer(t, m, keys), fs: vfs.NewCrashableMem(),
		spillBytes: rapid.SampledFrom([]int{0, 1, 300}).Draw(t, "spill")}
	r.open()
	return r
}

func (r *modelRun) must(err error) {
	if err != nil {
		r.t.Helper()
		r.t.Fatal(err)
	}
}

func (r *modelRun) open() {
	var err error
	r.engine, err = engine.Open("db", engine.Options{FS: r.fs, CacheBytes: 1 << 20, MemTableBytes: 128 << 10})
	r.must(err)
	// A cache of a few entries, so that both it and the engine are asked.
	r.store, err = Open(r.engine, Options{CacheBytes: cacheShards * 400, SpillBytes: r.spillBytes})
	r.must(err)
	r.hashWant, r.m.hashes, r.applied = false, nil, 0
	v, err := r.engine.Get(appliedKey)
	if !errors.Is(err, engine.ErrNotFound) {
		r.must(err)
		r.applied = int(binary.BigEndian.Uint64(v))
	}
	r.leases = make(testLeases)
	for _, e := range r.log[:r.applied] {
		r.applyLease(e.req)
	}
}

// close does not mind iterators that a failed test has left open.
func (r *modelRun) close() {
	defer func() { _ = recover() }()
	r.stopWalking()
	r.engine.Close()
}

func (r *modelRun) applyLease(req *pb.InternalRaftRequest) {
	if g := req.LeaseGrant; g != nil {
		r.leases[g.ID] = true
	}
	if g := req.LeaseRevoke; g != nil {
		delete(r.leases, g.ID)
	}
}

// propose has the model apply requests and appends them to the log, then has the
// store catch up.
func (r *modelRun) propose(reqs []*pb.InternalRaftRequest) {
	for _, req := range reqs {
		versions := len(r.m.all)
		answer, err := r.m.apply(req)
		e := logged{req: req, err: err}
		if answer != nil && err == nil {
			e.want, err = proto.Marshal(answer)
			r.must(err)
		}
		for _, v := range r.m.all[versions:] {
			r.events = append(r.events, v.event())
		}
		r.log = append(r.log, e)
	}
	r.catchUp(true)
}

// catchUp applies what is in the log, in groups. fresh tells that the watchers'
// events are those of the model's last requests.
func (r *modelRun) catchUp(fresh bool) {
	var events []Event
	for r.applied < len(r.log) {
		g, own := (*Group)(nil), false
		var after []func()
		for ; r.applied < len(r.log); r.applied++ {
			req := r.log[r.applied].req
			alone, readsOwn := modelAlone(req)
			if own = readsOwn; alone && g != nil {
				break
			}
			if g == nil {
				g = r.store.Begin(r.leases, own)
			}
			r.applyOne(g, r.log[r.applied], &after)
			if alone || rapid.IntRange(0, 3).Draw(r.t, "cut") == 0 {
				r.applied++
				break
			}
		}
		if r.dying {
			r.dying, fresh = false, false
			r.must(r.engine.Flush())
			g.Discard()
			r.crash()
			continue
		}
		r.must(g.Seal())
		r.must(g.Batch().Set(appliedKey, binary.BigEndian.AppendUint64(nil, uint64(r.applied)), nil))
		r.must(r.engine.Commit(g.Batch()))
		these, complete := g.Publish()
		if !complete {
			r.t.Fatal("events dropped")
		}
		events = append(events, these...)
		for _, f := range after {
			f()
		}
		for more := true; more; {
			var err error
			more, err = r.store.BalanceLeaves()
			r.must(err)
		}
	}
	if fresh {
		r.sameEvents("published", events, r.events)
	}
	r.events = nil
	if got, _ := r.store.Revisions(); got != r.m.current {
		r.t.Fatalf("store is at revision %d, model at %d", got, r.m.current)
	}
	if got := r.store.Compacted(); got != r.m.compacted {
		r.t.Fatalf("store is compacted to %d, model to %d", got, r.m.compacted)
	}
	if got, want := r.store.Keys(), int64(len(r.m.live)); got != want {
		r.t.Fatalf("store has %d keys, model %d", got, want)
	}
}

// modelAlone is what fsm's needsOwnGroup is.
func modelAlone(req *pb.InternalRaftRequest) (alone, own bool) {
	switch {
	case req.DeleteRange != nil:
		return len(req.DeleteRange.RangeEnd) > 0, false
	case req.Txn != nil:
		return TxnReads(req.Txn)
	}
	return req.LeaseRevoke != nil || req.Compaction != nil, false
}

func (r *modelRun) applyOne(g *Group, e logged, after *[]func()) {
	var body []byte
	var err error
	switch req := e.req; {
	case req.Put != nil:
		body, err = g.Put(req.Put)
	case req.DeleteRange != nil:
		body, err = g.DeleteRange(req.DeleteRange)
	case req.Txn != nil:
		body, err = g.Txn(req.Txn)
	case req.LeaseRevoke != nil:
		err = g.RevokeLease(req.LeaseRevoke.ID)
	case req.Compaction != nil:
		want, from := r.store.CompactionFinished() == r.store.Compacted(), r.store.Compacted()
		if err = r.store.ScheduleCompaction(g.Batch(), req.Compaction.Revision); err == nil {
			r.hashWant, r.hashFrom = want, from
			*after = append(*after, r.store.PublishCompaction)
		}
	}
	r.applyLease(e.req)
	if !errors.Is(err, e.err) || err == nil && e.err != nil {
		r.t.Fatalf("%v: error %v, want %v", e.req, err, e.err)
	}
	if !bytes.Equal(body, e.want) {
		r.t.Fatalf("%v:\n got %s\nwant %s", e.req, describeAnswer(e.req, body), describeAnswer(e.req, e.want))
	}
}

func describeAnswer(req *pb.InternalRaftRequest, body []byte) string {
	var m proto.Message = new(pb.PutResponse)
	switch {
	case req.DeleteRange != nil:
		m = new(pb.DeleteRangeResponse)
	case req.Txn != nil:
		m = new(pb.TxnResponse)
	}
	if err := proto.Unmarshal(body, m); err != nil {
		return err.Error()
	}
	return m.(interface{ String() string }).String()
}

func (r *modelRun) actApply(t *rapid.T) {
	var reqs []*pb.InternalRaftRequest
	for range rapid.IntRange(1, 4).Draw(t, "requests") {
		reqs = append(reqs, r.d.request())
	}
	r.propose(reqs)
}

// actStep does a part of a compaction's work, as the compactor does.
func (r *modelRun) actStep(t *rapid.T) {
	if !r.store.Compacting() {
		return
	}
	h, taken, err := r.store.TakeCompactionHash(context.Background(), context.Background().Err)
	r.must(err)
	if taken != r.hashWant {
		t.Fatalf("compaction hash taken: %v, want %v", taken, r.hashWant)
	}
	if taken {
		r.hashWant = false
		if want := r.m.compactionHash(r.m.compacted, r.hashFrom); h != want {
			t.Fatalf("compaction hash %+v, want %+v", h, want)
		}
		if r.m.hashes = append(r.m.hashes, h); len(r.m.hashes) > 10 {
			r.m.hashes = r.m.hashes[1:]
		}
	}
	r.keepWalking(t)
	pause := context.Background().Err
	if full, err := r.walk.Read(rapid.IntRange(1, 4).Draw(t, "records"), pause); err != nil || !full && rapid.Bool().Draw(t, "read on") {
		r.must(err)
		return
	}
	step, err := r.walk.Remove(pause)
	r.must(err)
	b := r.engine.NewBatch()
	ok, err := r.store.CompactStep(b, &step)
	r.must(err)
	if !ok {
		b.Close()
		r.stopWalking()
		return
	}
	r.must(r.engine.Commit(b))
	r.store.CompactStepDone(step)
	if step.Done {
		r.sameStored()
	}
}

// keepWalking has a walk under way, sometimes a new one.
func (r *modelRun) keepWalking(t *rapid.T) {
	if r.walk != nil && rapid.IntRange(0, 9).Draw(t, "walk anew") == 0 {
		r.stopWalking()
	}
	if r.walk == nil {
		var err error
		r.walk, err = r.store.WalkCompaction()
		r.must(err)
	}
}

func (r *modelRun) stopWalking() {
	if r.walk != nil {
		r.must(r.walk.Close())
		r.walk = nil
	}
}

// sameStored compares what is stored when no compaction is under way.
func (r *modelRun) sameStored() {
	if r.store.Compacting() {
		return
	}
	var got []Revision
	r.must(EachVersion(r.engine, func(v Version) error {
		got = append(got, v.Revision)
		return nil
	}))
	slices.SortFunc(got, func(a, b Revision) int {
		if a.Less(b) {
			return -1
		}
		return 1
	})
	var want []Revision
	for _, v := range r.m.retained(r.m.compacted) {
		want = append(want, v.rev)
	}
	if !slices.Equal(got, want) {
		r.t.Fatalf("after a compaction to %d there are stored %v, want %v", r.m.compacted, got, want)
	}
}

func (r *modelRun) actFlush(*rapid.T) { r.must(r.engine.Flush()) }

// actCrash loses what was not flushed, and applies the log from there.
func (r *modelRun) actCrash(*rapid.T) {
	r.crash()
	r.catchUp(false)
	r.must(r.store.Check(context.Background()))
}

// actDie crashes while a group is applied, with all that it has committed so far
// on the disk.
func (r *modelRun) actDie(t *rapid.T) {
	r.dying = true
	r.actApply(t)
	r.must(r.store.Check(context.Background()))
}

func (r *modelRun) crash() {
	clone := r.fs.CrashClone(vfs.CrashCloneCfg{
		UnsyncedDataPercent: rapid.SampledFrom([]int{0, 50, 100}).Draw(r.t, "unsynced"),
		RNG:                 rand.New(rand.NewPCG(rapid.Uint64().Draw(r.t, "seed"), 0)),
	})
	r.stopWalking()
	r.must(r.engine.Close())
	r.fs = clone
	r.open()
	r.must(r.store.Check(context.Background()))
}

func (r *modelRun) actReopen(*rapid.T) {
	r.stopWalking()
	r.must(r.engine.Close())
	r.open()
	if r.applied != len(r.log) {
		r.t.Fatalf("after a clean stop %d of %d requests are applied", r.applied, len(r.log))
	}
	r.catchUp(false)
}

// finish compares everything once more.
func (r *modelRun) finish() {
	r.must(r.store.Check(context.Background()))
	for rev := max(r.m.compacted, 0); rev <= r.m.current; rev++ {
		r.sameHash(rev)
		r.sameRange(&pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}, Revision: rev, CountOnly: true})
		r.sameRange(&pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}, Revision: rev})
	}
	for r.store.Compacting() {
		r.actStep(r.t)
	}
	r.sameStored()
	r.must(r.store.Check(context.Background()))
}
