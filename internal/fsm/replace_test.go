package fsm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"bowline/internal/lease"
	"bowline/internal/mvcc"
	"bowline/internal/wire"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3/raftpb"
)

// checkpoint copies what r's engine holds to a directory on another disk.
func (r *rig) checkpoint(to *vfs.MemFS, dir string) {
	r.t.Helper()
	r.must(r.engine.Flush())
	r.must(r.engine.Checkpoint("checkpoint"))
	ok, err := vfs.Clone(r.fs, to, "checkpoint", dir, vfs.CloneSync)
	if r.must(err); !ok {
		r.t.Fatal("there is no checkpoint")
	}
	r.must(r.fs.RemoveAll("checkpoint"))
}

// replace exchanges r's state by the one in dir.
func (r *rig) replace(dir string, commit func() error) error {
	next, err := r.engine.OpenNext(dir)
	r.must(err)
	if err := r.fsm.Replace(next, commit); err != nil {
		r.must(next.Close())
		return err
	}
	r.dir = dir
	return nil
}

func committed() error { return nil }

// inMemory is what an FSM keeps beside the engine, as values that can be compared.
func inMemory(f *FSM) map[string]any {
	current, compacted := f.store.Revisions()
	scheduled, finished := f.store.CompactionMarks()
	leases := slices.SortedFunc(f.leases.All(), func(a, b lease.Lease) int { return int(a.ID - b.ID) })
	return map[string]any{
		"position": f.position, "applied": f.Applied(), "leases": leases, "members": f.Members().Members(),
		"removed": f.Members().RemovedIDs(), "alarms": fmt.Sprint(f.Alarms()), "version": f.ClusterVersion(),
		"users": fmt.Sprint(f.Rules().UserNames(), f.Rules().RoleNames()), "auth revision": f.AuthRevision(), "current": current, "compacted": compacted,
		"scheduled": scheduled, "finished": finished, "keys": f.store.Keys(), "hashes": len(f.store.CompactionHashes()),
	}
}

func member(kind raftpb.ConfChangeType, id uint64) *raftpb.ConfChange {
	return &raftpb.ConfChange{Type: &kind, NodeId: &id, Id: &id,
		Context: fmt.Appendf(nil, `{"id":%d,"peerURLs":["http://m%d:2380"]}`, id, id)}
}

// TestReplaceEqualsAFreshStart lets a machine fall behind another with the same
// log, hands it the other's state, and goes on: it then is what a machine opened on
// that state is, and stays equal to the other.
func TestReplaceEqualsAFreshStart(t *testing.T) {
	for seed := range 10 {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(uint64(seed), 2))
			ahead, behind, fresh := newRig(t), newRig(t), newRig(t)
			behind.start()
			work := func(n int) {
				for range n {
					ahead.apply(randomRequest(rng, ahead.fsm.Store().Revision()))
				}
			}
			work(rng.IntN(50))
			behind.must(behind.fsm.Apply(ahead.log, behind))
			for round := range 3 {
				work(1 + rng.IntN(150))
				id := uint64(10 + round)
				ahead.must(ahead.fsm.Apply(ahead.proposeConfChange(member(raftpb.ConfChangeAddNode, id)), ahead))
				if round > 0 {
					ahead.must(ahead.fsm.Apply(ahead.proposeConfChange(member(raftpb.ConfChangeRemoveNode, id-1)), ahead))
				}
				ahead.apply(&pb.InternalRaftRequest{Put: &pb.PutRequest{Key: []byte("last")}})
				dir := fmt.Sprintf("state-%d", round)
				ahead.checkpoint(behind.fs, dir)
				ahead.checkpoint(fresh.fs, dir)
				behind.said = nil
				behind.must(behind.replace(dir, committed))
				if want := fmt.Sprintf("publish %d complete=false", ahead.fsm.Store().Revision()); !slices.Contains(behind.said, want) {
					t.Errorf("round %d: it said %q, not %q", round, behind.said, want)
				}
				// What still waited to be applied when the state came passes without effect.
				behind.must(behind.fsm.Apply(ahead.log[len(ahead.log)-3:], behind))
				if len(behind.said) != 1 {
					t.Errorf("round %d: it said %q", round, behind.said)
				}

				fresh.close()
				fresh.dir = dir
				fresh.open()
				behind.fsm.Stop() // whatever compaction is left
				behind.started = false
				for a, b := range map[*rig]*rig{ahead: fresh, behind: ahead} {
					b.drain()
					a.drain()
					if a, b := a.state(), b.state(); !maps.Equal(a, b) {
						t.Fatalf("round %d: %d records are not the same as %d", round, len(a), len(b))
					}
				}
				if a, b := inMemory(behind.fsm), inMemory(fresh.fsm); !reflect.DeepEqual(withoutHashes(a), withoutHashes(b)) {
					t.Fatalf("round %d: replaced\n%v\nfresh\n%v", round, a, b)
				}
				behind.check()
				work(rng.IntN(40))
				behind.must(behind.fsm.Apply(ahead.log, behind))
				behind.start()
			}
			a, _, err := ahead.fsm.Store().HashKV(context.Background(), 0)
			ahead.must(err)
			if b, _, err := behind.fsm.Store().HashKV(context.Background(), 0); err != nil || a != b {
				t.Errorf("hash %+v %v, want %+v", b, err, a)
			}
		})
	}
}

func withoutHashes(m map[string]any) map[string]any {
	delete(m, "hashes") // drain takes one or not
	return m
}

// drain carries out what is left of a compaction.
func (r *rig) drain() {
	r.t.Helper()
	_, err := r.fsm.removeObsolete(context.Background(), r.fsm.newBreath(compactRest))
	r.must(err)
}

// TestReplaceRefused: what is older, or cannot be put on record, changes nothing.
func TestReplaceRefused(t *testing.T) {
	r, other := newRig(t), newRig(t)
	r.apply(put("a", "1"), put("a", "2"))
	other.apply(put("b", "1"))
	other.checkpoint(r.fs, "older")
	if err := r.replace("older", committed); err == nil {
		t.Error("an older state was installed")
	}
	other.apply(put("b", "2"), put("b", "3"))
	other.checkpoint(r.fs, "newer")
	full := errors.New("disk full")
	if err := r.replace("newer", func() error { return full }); !errors.Is(err, full) {
		t.Errorf("a state was installed that is not on record: %v", err)
	}
	if r.fsm.Applied() != 2 || r.fsm.Store().Revision() != 3 {
		t.Errorf("at %d, revision %d", r.fsm.Applied(), r.fsm.Store().Revision())
	}
	r.apply(put("a", "3"))
	r.crash()
	r.must(r.fsm.Apply(r.log, r))
	if err := r.replace("newer", committed); err == nil {
		t.Error("a state of the same index was installed")
	}
}

// TestReplaceWhileReading: readers see one state after the other, never a mixture:
// at every revision the keys a and b have the same value.
func TestReplaceWhileReading(t *testing.T) {
	ahead, behind := newRig(t), newRig(t)
	both := func(i int) {
		set := func(key string) *pb.RequestOp {
			return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: put(key, fmt.Sprint(i)).Put}}
		}
		ahead.apply(&pb.InternalRaftRequest{Txn: &pb.TxnRequest{Success: []*pb.RequestOp{set("a"), set("b")}}})
	}
	both(0)
	behind.must(behind.fsm.Apply(ahead.log, behind))
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		last := int64(0)
		for {
			select {
			case <-stop:
				return
			default:
			}
			v := behind.fsm.Store().View()
			got, err := readBoth(v)
			if errors.Is(err, mvcc.ErrViewStale) {
				continue
			}
			if err != nil || v.Revision() < last {
				t.Errorf("%s at revision %d after %d: %v", got, v.Revision(), last, err)
				return
			}
			last = v.Revision()
		}
	}()
	for i := range 10 {
		for range 20 {
			both(i)
		}
		ahead.apply(compact(ahead.fsm.Store().Revision()-1, false))
		ahead.drain()
		dir := fmt.Sprintf("state-%d", i)
		ahead.checkpoint(behind.fs, dir)
		behind.must(behind.replace(dir, committed))
	}
	close(stop)
	<-done
}

// readBoth reads a and b, together and one by one, and compares.
func readBoth(v mvcc.View) (string, error) {
	var seen []string
	for _, req := range []*pb.RangeRequest{{Key: []byte("a"), RangeEnd: []byte("c")}, {Key: []byte("a")}, {Key: []byte("b")}} {
		a := new(wire.Answer)
		if err := v.Range(context.Background(), req, a); err != nil {
			return "", err
		}
		var resp pb.RangeResponse
		if err := wireUnmarshal(a, &resp); err != nil {
			return "", err
		}
		for _, kv := range resp.Kvs {
			seen = append(seen, string(kv.Value))
		}
	}
	if len(seen) != 4 || seen[0] != seen[1] || seen[1] != seen[2] || seen[2] != seen[3] {
		return "", fmt.Errorf("a and b are %q", seen)
	}
	return seen[0], nil
}
