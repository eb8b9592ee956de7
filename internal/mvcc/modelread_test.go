package mvcc

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"bowline/internal/wire"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// Ways of reading that a run compares with the model.

func (r *modelRun) actRange(t *rapid.T) { r.sameRange(r.d.rangeRequest()) }

func (r *modelRun) sameRange(req *pb.RangeRequest) {
	want, wantErr := r.m.get(req)
	a := new(wire.Answer)
	defer a.Release()
	err := r.store.View().Range(context.Background(), req, a)
	if !errors.Is(err, wantErr) || err != nil && wantErr == nil {
		r.t.Fatalf("range %v: %v, want %v", req, err, wantErr)
	}
	if err == nil {
		r.sameMessage(req, a.Bytes(), want)
	}
}

func (r *modelRun) sameMessage(req any, got []byte, want proto.Message) {
	raw, err := proto.Marshal(want)
	r.must(err)
	if !bytes.Equal(got, raw) {
		m := want.ProtoReflect().New().Interface()
		err := proto.Unmarshal(got, m)
		r.t.Fatalf("%v:\n got %v %v\nwant %v", req, m, err, want)
	}
}

// actStream compares a chunked answer, put together again, with the whole one.
func (r *modelRun) actStream(t *rapid.T) {
	req := r.d.rangeRequest()
	req.SortOrder, req.SortTarget = 0, 0
	req.MinModRevision, req.MaxModRevision, req.MinCreateRevision, req.MaxCreateRevision = 0, 0, 0, 0
	want, wantErr := r.m.get(req)
	var got []byte
	var ended bool
	chunk := rapid.SampledFrom([]int{1, 100, 1 << 20}).Draw(t, "chunk")
	err := r.store.View().Stream(context.Background(), req, chunk, func(a *wire.Answer, last bool) error {
		if ended {
			r.t.Fatalf("stream %v: a chunk after the last", req)
		}
		ended = last
		got = append(got, a.Bytes()...)
		a.Release()
		return nil
	})
	if !errors.Is(err, wantErr) || err != nil && wantErr == nil {
		r.t.Fatalf("stream %v: %v, want %v", req, err, wantErr)
	}
	if err == nil {
		r.sameMessage(req, got, want)
	}
}

func (r *modelRun) actReadTxn(t *rapid.T) {
	txn := r.d.txn(0)
	onlyRanges := func(op *pb.RequestOp) bool { return op.GetRequestRange() == nil }
	txn.Success, txn.Failure = slices.DeleteFunc(txn.Success, onlyRanges), slices.DeleteFunc(txn.Failure, onlyRanges)
	if !ReadOnly(txn) {
		t.Fatal("not read-only")
	}
	want, wantErr := r.m.readTxn(txn)
	body, err := r.store.View().ReadTxn(context.Background(), txn)
	if !errors.Is(err, wantErr) || err != nil && wantErr == nil {
		t.Fatalf("%v: %v, want %v", txn, err, wantErr)
	}
	if err == nil {
		r.sameMessage(txn, body, want)
	}
}

func (r *modelRun) actChanges(t *rapid.T) {
	key, end := r.d.bounds()
	from, to := max(r.d.revision(), 0), max(r.d.revision(), 0)
	want, wantErr := r.m.history(key, end, from, to)
	var got []Event
	err := r.store.Changes(context.Background(), key, end, from, to, func(e Event) bool {
		got = append(got, e)
		return true
	})
	if !errors.Is(err, wantErr) || err != nil && wantErr == nil {
		t.Fatalf("changes of %q-%q from %d: %v, want %v", key, end, from, err, wantErr)
	}
	if err == nil {
		r.sameEvents("history", r.certain(got), r.certain(want))
	}
}

// certain leaves out what a compaction removes of its own revision, at a time
// nobody knows: versions that the same revision has replaced again.
func (r *modelRun) certain(events []Event) []Event {
	kept := r.m.retained(r.m.compacted)
	return slices.DeleteFunc(slices.Clone(events), func(e Event) bool {
		return e.Revision.Main == r.m.compacted && !slices.ContainsFunc(kept, func(v *modelVersion) bool { return v.rev == e.Revision })
	})
}

func (r *modelRun) sameEvents(what string, got, want []Event) {
	same := slices.EqualFunc(got, want, func(a, b Event) bool {
		return a.Revision == b.Revision && a.Kind == b.Kind && a.Prev == b.Prev && bytes.Equal(a.Key, b.Key) && bytes.Equal(a.KV, b.KV)
	})
	if !same {
		r.t.Fatalf("%s events:\n got %+v\nwant %+v", what, got, want)
	}
}

// actLook compares what is read of single versions and leases.
func (r *modelRun) actLook(t *rapid.T) {
	if len(r.m.all) > 0 {
		v := rapid.SampledFrom(r.m.all).Draw(t, "version")
		got, err := r.store.Version([]byte(v.key), v.rev)
		r.must(err)
		gone := v.deleted || v.rev.Main <= r.m.compacted && !slices.Contains(r.m.retained(r.m.compacted), v)
		if got != nil || !gone {
			r.sameMessage(v.rev, got, v.kv)
		}
		if v.deleted && got != nil {
			t.Fatalf("%v is a deletion", v.rev)
		}
	}
	for _, id := range []int64{1, 2, -3} {
		var got []string
		r.must(r.store.AttachedKeys(id, func(key []byte) error {
			got = append(got, string(key))
			return nil
		}))
		if want := r.m.attached(id); !slices.Equal(got, want) {
			t.Fatalf("lease %d holds %q, want %q", id, got, want)
		}
	}
}

func (r *modelRun) actHash(t *rapid.T) { r.sameHash(r.d.revision()) }

func (r *modelRun) sameHash(rev int64) {
	stored := r.m.retained(r.store.CompactionFinished())
	if at := max(rev, 0); r.store.Compacting() && len(r.m.at(at)) == 0 || rev == 0 && len(r.m.live) == 0 {
		return // leftovers of an unfinished compaction count here, in etcd too
	}
	want, wantErr := r.m.hashKV(stored, rev)
	got, current, err := r.store.HashKV(context.Background(), rev)
	if !errors.Is(err, wantErr) || err != nil && wantErr == nil {
		r.t.Fatalf("hash at %d: %v, want %v", rev, err, wantErr)
	}
	if got != want || current != r.m.current {
		r.t.Fatalf("hash at %d is %+v (current %d), want %+v (%d)", rev, got, current, want, r.m.current)
	}
}
