package fsm

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"bowline/internal/mvcc"
	"bowline/internal/wire"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

const patience = 30 * time.Second

func await(t *testing.T, done <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("%s takes too long", what)
	}
}

// TestPhysicalCompactionWaits for the removal, also when it is refused because the
// same removal is under way.
func TestPhysicalCompactionWaits(t *testing.T) {
	r := newRig(t)
	for i := range 1000 {
		r.apply(put("k", fmt.Sprint(i)))
	}
	r.apply(compact(900, true), compact(900, true), compact(900, false), compact(5000, true))
	first, again, plain, future := r.results[1001], r.results[1002], r.results[1003], r.results[1004]
	if first.Err != nil || !errors.Is(again.Err, mvcc.ErrCompacted) || !errors.Is(plain.Err, mvcc.ErrCompacted) ||
		!errors.Is(future.Err, mvcc.ErrFutureRevision) {
		t.Fatal(first.Err, again.Err, plain.Err, future.Err)
	}
	if plain.Done != nil {
		t.Error("a plain compaction waits")
	}
	select {
	case <-first.Done:
		t.Fatal("done before it has begun")
	default:
	}
	r.start()
	await(t, first.Done, "the removal")
	await(t, again.Done, "the removal, asked for twice")
	await(t, future.Done, "what waits though it is refused")
	if got := r.fsm.Store().CompactionFinished(); got != 900 {
		t.Errorf("finished %d", got)
	}
	// With nothing left to remove there is nothing to wait for.
	r.apply(compact(900, true))
	await(t, r.results[1005].Done, "nothing")
	// 900 is kept, and what came after it.
	if n := len(storedRevisions(r)); n != 102 {
		t.Errorf("%d versions are left", n)
	}
}

func storedRevisions(r *rig) []mvcc.Revision {
	var revs []mvcc.Revision
	r.must(mvcc.EachVersion(r.engine, func(v mvcc.Version) error {
		revs = append(revs, v.Revision)
		return nil
	}))
	return revs
}

// TestCompactionResumesAfterCrash and leaves what it leaves without one.
func TestCompactionResumesAfterCrash(t *testing.T) {
	r := newRig(t)
	for i := range 3000 {
		r.apply(put(fmt.Sprintf("k%d", i%7), fmt.Sprint(i)))
	}
	r.apply(compact(2900, true))
	walk, err := r.fsm.store.WalkCompaction()
	r.must(err)
	r.fsm.cfg.CompactRecords = 1000
	_, _, err = r.fsm.compactStep(t.Context(), walk, r.fsm.newBreath(0)) // a part of it
	r.must(err)
	r.must(walk.Close())
	r.must(r.engine.Flush())
	r.crash()
	if !r.fsm.Store().Compacting() {
		t.Fatal("the compaction is forgotten")
	}
	r.start()
	r.apply(compact(2900, true)) // refused, but waits
	await(t, r.results[3002].Done, "the rest of the removal")
	if n := len(storedRevisions(r)); n != 7+(3001-2900) {
		t.Errorf("%d versions are left", n)
	}
}

// TestReadersDuringCompaction reads at revisions that a compaction overtakes: each
// answer is right, or says that the revision is gone.
func TestReadersDuringCompaction(t *testing.T) {
	r := newRig(t)
	r.start()
	const keys = 50
	ctx, cancel := context.WithCancel(context.Background())
	var readers sync.WaitGroup
	defer readers.Wait()
	defer cancel()
	store := r.fsm.Store()
	for range keys {
		r.apply(put(fmt.Sprintf("k%02d", len(r.log)%keys), "0"))
	}
	for i := range 3 {
		readers.Go(func() {
			for n := int64(i); ctx.Err() == nil; n++ {
				current, compacted := store.Revisions()
				rev := max(compacted, keys+1) + n%(current-max(compacted, keys+1)+1)
				if err := readAt(ctx, store, rev, keys); err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 2000 {
		reqs := []*pb.InternalRaftRequest{put(fmt.Sprintf("k%02d", i%keys), fmt.Sprint(i))}
		if i%50 == 49 {
			reqs = append(reqs, compact(store.Revision()-10, false))
		}
		r.apply(reqs...)
	}
	r.apply(compact(store.Revision(), true))
	await(t, r.results[uint64(len(r.log))].Done, "the last removal")
	if n := len(storedRevisions(r)); n != keys {
		t.Errorf("%d versions are left", n)
	}
}

// readAt reads in several ways at a revision at which all keys live.
func readAt(ctx context.Context, store *mvcc.Store, rev int64, keys int64) error {
	for _, req := range []*pb.RangeRequest{
		{Key: []byte("k"), RangeEnd: []byte("l"), Revision: rev},
		{Key: []byte("k"), RangeEnd: []byte("l"), Revision: rev, CountOnly: true},
		{Key: []byte("k"), RangeEnd: []byte("l"), Revision: rev, Limit: 3},
	} {
		a := new(wire.Answer)
		err := store.View().Range(ctx, req, a)
		var resp pb.RangeResponse
		if err == nil {
			err = wireUnmarshal(a, &resp)
		}
		a.Release()
		if errors.Is(err, mvcc.ErrCompacted) || errors.Is(err, mvcc.ErrViewStale) {
			continue
		}
		if err != nil {
			return err
		}
		want := keys
		if req.Limit > 0 {
			want = req.Limit
		}
		if resp.Count != keys || !req.CountOnly && int64(len(resp.Kvs)) != want {
			return fmt.Errorf("%v: count %d, %d keys", req, resp.Count, len(resp.Kvs))
		}
		for _, kv := range resp.Kvs {
			if kv.ModRevision > rev {
				return fmt.Errorf("%v: %v", req, kv)
			}
		}
	}
	last := rev - 1
	err := store.Changes(ctx, []byte("k"), []byte("l"), rev, rev+5, func(e mvcc.Event) bool {
		if e.Revision.Main != last+1 {
			last = -2
			return false
		}
		last++
		return true
	})
	if last == -2 {
		return fmt.Errorf("a gap in the changes from %d", rev)
	}
	if err != nil && !errors.Is(err, mvcc.ErrCompacted) {
		return err
	}
	if _, _, err := store.HashKV(ctx, rev); err != nil && !errors.Is(err, mvcc.ErrCompacted) {
		return err
	}
	return nil
}

// TestCompactionAtASetPace makes the steps that the settings ask for.
func TestCompactionAtASetPace(t *testing.T) {
	r := newRig(t)
	r.fsm.cfg.CompactRecords, r.fsm.cfg.CompactRest = 10, time.Millisecond
	for i := range 200 {
		r.apply(put("k", fmt.Sprint(i)))
	}
	r.apply(compact(200, false))
	begin := time.Now()
	if _, err := r.fsm.removeObsolete(t.Context(), r.fsm.newBreath(compactRest)); err != nil {
		t.Fatal(err)
	}
	const steps = 20 // of 10 records each, with a rest after each but the last
	if n := r.fsm.Stats().CompactionSteps.Snapshot().Count; n != steps {
		t.Errorf("%d steps, want %d", n, steps)
	}
	if took := time.Since(begin); took < (steps-1)*time.Millisecond {
		t.Errorf("it took %v", took)
	}
	if n := len(storedRevisions(r)); n != 2 {
		t.Errorf("%d versions are left", n)
	}
}
