package mvcc

import (
	"context"
	"testing"

	"bowline/internal/engine"
	"bowline/internal/wire"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// testStore is a store on a memory disk with a writer that does what the fsm
// does, one request a group. Its end checks the whole state.
type testStore struct {
	t      testing.TB
	fs     vfs.FS
	engine *engine.Engine
	store  *Store
	leases testLeases
	events []Event
	// memTable is how large the engine's memtables are.
	memTable int64
}

type testLeases map[int64]bool

func (l testLeases) Exists(id int64) bool { return l[id] }

func newTestStore(t testing.TB) *testStore { return newTestStoreWith(t, 1<<20) }

func newTestStoreWith(t testing.TB, memTable int64) *testStore {
	h := &testStore{t: t, fs: vfs.NewMem(), leases: testLeases{}, memTable: memTable}
	h.open()
	t.Cleanup(func() {
		if err := h.store.Check(context.Background()); err != nil {
			t.Errorf("Check: %v", err)
		}
		h.engine.Close()
	})
	return h
}

func (h *testStore) open() {
	var err error
	if h.engine, err = engine.Open("db", engine.Options{FS: h.fs, CacheBytes: 8 << 20, MemTableBytes: h.memTable}); err != nil {
		h.t.Fatal(err)
	}
	if h.store, err = Open(h.engine, Options{CacheBytes: 1 << 16}); err != nil {
		h.t.Fatal(err)
	}
}

// reopen closes the store, which flushes it, and opens it again.
func (h *testStore) reopen() {
	if err := h.engine.Close(); err != nil {
		h.t.Fatal(err)
	}
	h.open()
}

func (h *testStore) apply(own bool, f func(g *Group) ([]byte, error)) ([]byte, error) {
	g := h.store.Begin(h.leases, own)
	body, err := f(g)
	if err != nil {
		g.Discard()
		return nil, err
	}
	h.finish(g)
	return body, nil
}

func (h *testStore) finish(g *Group) {
	h.t.Helper()
	if err := g.Seal(); err != nil {
		h.t.Fatal(err)
	}
	if err := h.engine.Commit(g.Batch()); err != nil {
		h.t.Fatal(err)
	}
	events, _ := g.Publish()
	h.events = append(h.events, events...)
	for more := true; more; {
		var err error
		if more, err = h.store.BalanceLeaves(); err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h *testStore) put(key, value string, lease int64) {
	h.t.Helper()
	if _, err := h.apply(false, func(g *Group) ([]byte, error) {
		return g.Put(&pb.PutRequest{Key: []byte(key), Value: []byte(value), Lease: lease})
	}); err != nil {
		h.t.Fatal(err)
	}
}

func (h *testStore) delete(key, end string) {
	h.t.Helper()
	if _, err := h.apply(false, func(g *Group) ([]byte, error) {
		return g.DeleteRange(&pb.DeleteRangeRequest{Key: []byte(key), RangeEnd: []byte(end)})
	}); err != nil {
		h.t.Fatal(err)
	}
}

func (h *testStore) txn(txn *pb.TxnRequest) (*pb.TxnResponse, error) {
	h.t.Helper()
	_, own := TxnReads(txn)
	body, err := h.apply(own, func(g *Group) ([]byte, error) { return g.Txn(txn) })
	if err != nil {
		return nil, err
	}
	var resp pb.TxnResponse
	h.decode(body, &resp)
	return &resp, nil
}

func (h *testStore) decode(body []byte, into proto.Message) {
	h.t.Helper()
	if err := proto.Unmarshal(body, into); err != nil {
		h.t.Fatal(err)
	}
}

func (h *testStore) get(req *pb.RangeRequest) (*pb.RangeResponse, error) {
	a := new(wire.Answer)
	defer a.Release()
	if err := h.store.View().Range(context.Background(), req, a); err != nil {
		return nil, err
	}
	var resp pb.RangeResponse
	h.decode(a.Bytes(), &resp)
	return &resp, nil
}

// compact schedules a compaction and carries it out.
func (h *testStore) compact(rev int64) {
	h.t.Helper()
	if err := h.schedule(rev); err != nil {
		h.t.Fatal(err)
	}
	if _, _, err := h.store.TakeCompactionHash(context.Background(), context.Background().Err); err != nil {
		h.t.Fatal(err)
	}
	for !h.step(3) {
	}
}

func (h *testStore) schedule(rev int64) error {
	b := h.engine.NewBatch()
	if err := h.store.ScheduleCompaction(b, rev); err != nil {
		b.Close()
		return err
	}
	if err := h.engine.Commit(b); err != nil {
		h.t.Fatal(err)
	}
	h.store.PublishCompaction()
	return nil
}

func (h *testStore) step(max int) bool {
	walk, err := h.store.WalkCompaction()
	if err != nil {
		h.t.Fatal(err)
	}
	defer walk.Close()
	pause := context.Background().Err
	if _, err := walk.Read(max, pause); err != nil {
		h.t.Fatal(err)
	}
	step, err := walk.Remove(pause)
	if err != nil {
		h.t.Fatal(err)
	}
	b := h.engine.NewBatch()
	if ok, err := h.store.CompactStep(b, &step); err != nil || !ok {
		h.t.Fatalf("a step of a new walk: %v, %v", ok, err)
	}
	if err := h.engine.Commit(b); err != nil {
		h.t.Fatal(err)
	}
	h.store.CompactStepDone(step)
	return step.Done
}

func opPut(key, value string) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(key), Value: []byte(value)}}}
}

func opDelete(key, end string) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{
		RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte(key), RangeEnd: []byte(end)}}}
}

func opRange(key, end string) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{
		RequestRange: &pb.RangeRequest{Key: []byte(key), RangeEnd: []byte(end)}}}
}
