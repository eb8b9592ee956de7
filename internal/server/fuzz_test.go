package server

import (
	"context"
	"errors"
	"math"
	"testing"

	"bowline/internal/engine"
	"bowline/internal/fsm"
	"bowline/internal/mvcc"
	"bowline/internal/node"
	"bowline/internal/wire"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// fuzzMachine applies what the checks let through.
type fuzzMachine struct {
	t      testing.TB
	fsm    *fsm.FSM
	result fsm.Result
	index  uint64
}

func newFuzzMachine(t testing.TB) *fuzzMachine {
	e, err := engine.Open("db", engine.Options{FS: vfs.NewMem(), CacheBytes: 1 << 20, MemTableBytes: 128 << 10})
	if err != nil {
		t.Fatal(err)
	}
	m := &fuzzMachine{t: t}
	m.fsm, err = fsm.Open(fsm.Config{
		Engine: e, Deliver: func(_ uint64, r fsm.Result) { m.result = r }, Publish: func(int64, []mvcc.Event, bool) {},
		LeaseGranted: func(int64, int64) {}, LeaseRevoked: func(int64) {}, EmptyEntry: func(uint64) {}, Fatal: func(error) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.fsm.Check(context.Background()); err != nil {
			t.Error(err)
		}
		e.Close()
	})
	return m
}

// apply applies a request and returns the refusal.
func (m *fuzzMachine) apply(req *pb.InternalRaftRequest) error {
	m.index++
	req.Header = &pb.RequestHeader{ID: m.index}
	data, err := proto.Marshal(req)
	if err != nil {
		m.t.Fatal(err)
	}
	if err := m.fsm.Apply([]*raftpb.Entry{{Index: proto.Uint64(m.index), Term: proto.Uint64(1), Data: data}}, nil); err != nil {
		m.t.Fatalf("%v: %v", req, err)
	}
	return m.result.Err
}

// FuzzTxn: the checks of a transaction do not panic, cost is what its puts cost, and
// what they let through is applied or refused as a whole for a reason of the state.
func FuzzTxn(f *testing.F) {
	key := []byte("k")
	put := func(p *pb.PutRequest) *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: p}}
	}
	del := func(key, end string) *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte(key), RangeEnd: []byte(end)}}}
	}
	nest := func(then, otherwise *pb.RequestOp) *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: &pb.TxnRequest{
			Success: []*pb.RequestOp{then}, Failure: []*pb.RequestOp{otherwise}}}}
	}
	for _, txn := range []*pb.TxnRequest{
		{},
		{Success: []*pb.RequestOp{del("a", "\x00"), put(&pb.PutRequest{Key: key, IgnoreValue: true})}},
		{Success: []*pb.RequestOp{nest(put(&pb.PutRequest{Key: key}), put(&pb.PutRequest{Key: key})), del("x", "y")}},
		{Success: []*pb.RequestOp{nest(put(&pb.PutRequest{Key: key}), nil), nest(del("k", ""), nil)}},
		{Compare: []*pb.Compare{{Key: key, RangeEnd: []byte{0}, Target: 3, Result: 2}}, Failure: []*pb.RequestOp{
			{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: key, RangeEnd: []byte("l"), Revision: 1, SortOrder: 2, SortTarget: 4}}},
			put(&pb.PutRequest{Key: key, Lease: 9})}},
		{Success: []*pb.RequestOp{{}}},
	} {
		data, err := proto.Marshal(txn)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		txn := new(pb.TxnRequest)
		if proto.Unmarshal(data, txn) != nil {
			return
		}
		if cost := txnCost(txn); (cost > 0) != mvcc.HasPut(txn) {
			t.Fatalf("%v costs %d", txn, cost)
		}
		if checkTxn(txn, 128) != nil {
			return
		}
		m := newFuzzMachine(t)
		for _, k := range []string{"a", "k", "k2"} {
			if err := m.apply(&pb.InternalRaftRequest{Put: &pb.PutRequest{Key: []byte(k), Value: []byte("v")}}); err != nil {
				t.Fatal(err)
			}
		}
		before := m.fsm.Store().Revision()
		if mvcc.ReadOnly(txn) {
			if _, err := m.fsm.Store().View().ReadTxn(t.Context(), txn); !ofTheState(err) {
				t.Fatalf("%v: %v", txn, err)
			}
			return
		}
		err := m.apply(&pb.InternalRaftRequest{Txn: txn})
		if !ofTheState(err) {
			t.Fatalf("%v: %v", txn, err)
		}
		if after := m.fsm.Store().Revision(); after > before+1 || err != nil && after != before {
			t.Fatalf("%v (%v) takes the store from revision %d to %d", txn, err, before, after)
		}
		resp := new(pb.TxnResponse)
		if err := proto.Unmarshal(m.result.Body, resp); err != nil {
			t.Fatalf("%v is answered with %x: %v", txn, m.result.Body, err)
		}
	})
}

// ofTheState tells a refusal that depends on what is stored.
func ofTheState(err error) bool {
	return err == nil || errors.Is(err, mvcc.ErrLeaseNotFound) || errors.Is(err, mvcc.ErrKeyNotFound) ||
		errors.Is(err, mvcc.ErrFutureRevision) || errors.Is(err, mvcc.ErrCompacted)
}

// FuzzRange: the checks of a range do not panic, and what they let through is
// answered, whole and in chunks alike.
func FuzzRange(f *testing.F) {
	for _, r := range []*pb.RangeRequest{
		{Key: []byte("k")}, {Key: []byte{0}, RangeEnd: []byte{0}, Limit: 2}, {Key: []byte("a"), RangeEnd: []byte("k2"), Revision: 3, CountOnly: true},
		{Key: []byte("a"), RangeEnd: []byte{0}, SortOrder: 2, SortTarget: 3, Limit: math.MinInt64, MinModRevision: 3, KeysOnly: true},
	} {
		data, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	m := newFuzzMachine(f)
	for _, k := range []string{"a", "k", "k2", "k", "k3"} {
		if err := m.apply(&pb.InternalRaftRequest{Put: &pb.PutRequest{Key: []byte(k), Value: []byte("v")}}); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := new(pb.RangeRequest)
		if proto.Unmarshal(data, r) != nil || checkRange(r) != nil {
			return
		}
		view := m.fsm.Store().View()
		s := &Server{cfg: Config{MaxRequestBytes: 64}, store: m.fsm.Store(), fsm: m.fsm, node: stillNode{}}
		r.Serializable = true
		a, err := s.Range(t.Context(), r)
		if !ofTheState(err) {
			t.Fatalf("%v: %v", r, err)
		}
		whole := new(pb.RangeResponse)
		if err == nil {
			if err := proto.Unmarshal(a.Bytes(), whole); err != nil {
				t.Fatal(err)
			}
			a.Release()
		}
		if checkStream(r) != nil || r.SortTarget != pb.RangeRequest_KEY {
			return // a target without an order passes, but chunks come by key
		}
		together := new(pb.RangeResponse)
		streamErr := s.RangeStream(t.Context(), r, collect(t, together))
		if (streamErr == nil) != (err == nil) {
			t.Fatalf("%v: %v, as a stream %v", r, err, streamErr)
		}
		if err == nil && !proto.Equal(whole, together) {
			t.Fatalf("%v at %d:\n%v\nas a stream\n%v", r, view.Revision(), whole, together)
		}
	})
}

// stillNode is a node that nobody asks for anything but its status.
type stillNode struct{ Node }

func (stillNode) Status() node.Status { return node.Status{} }

// collect puts the chunks of a stream together.
func collect(t *testing.T, into *pb.RangeResponse) func(*wire.Answer) error {
	return func(a *wire.Answer) error {
		defer a.Release()
		chunk := new(pb.RangeStreamResponse)
		if err := proto.Unmarshal(a.Bytes(), chunk); err != nil {
			t.Fatal(err)
		}
		proto.Merge(into, chunk.RangeResponse)
		return nil
	}
}
