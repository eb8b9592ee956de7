package exchange

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"bowline/internal/engine"
	"bowline/internal/fsm"
	"bowline/internal/mvcc"

	bolt "go.etcd.io/bbolt"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// withMark is a snapshot of the fixtures in which a compaction has been scheduled, and
// not been carried out.
func withMark(t *testing.T, name string, scheduled int64) string {
	t.Helper()
	file := unpackSnapshot(t, name)
	must(t, os.Truncate(file, 94208)) // without its digest
	db, err := bolt.Open(file, 0o600, nil)
	must(t, err)
	must(t, db.Update(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("meta")).Put([]byte("scheduledCompactRev"), compactMark(scheduled))
	}))
	must(t, db.Close())
	return file
}

// TestRestoreFinishesCompaction: what a scheduled compaction had left to remove is not
// restored, and the hashes are those of the file.
func TestRestoreFinishesCompaction(t *testing.T) {
	for _, scheduled := range []int64{380, 399, 405, 412, 413} {
		t.Run(fmt.Sprint(scheduled), func(t *testing.T) {
			source := withMark(t, "snapshot-3.7", scheduled)
			want, err := ReadHash(t.Context(), source, 0, time.Second)
			must(t, err)
			dir := filepath.Join(t.TempDir(), "data")
			_, err = Restore(t.Context(), RestoreOptions{Source: source, SkipDigest: true, DataDir: dir, Name: "a", Members: initialOf("a")})
			must(t, err)
			m := openMember(t, dir)
			s := m.fsm.Store()
			if got, _, err := s.HashKV(t.Context(), 0); err != nil || got != want {
				t.Errorf("hash %+v, %v, want %+v", got, err, want)
			}
			if scheduled, finished := s.CompactionMarks(); scheduled != finished || scheduled != want.Compacted {
				t.Errorf("scheduled %d, finished %d", scheduled, finished)
			}
			superseded := 0
			newest := make(map[string]bool)
			must(t, mvcc.EachVersion(m.engine, func(v mvcc.Version) error { // newest first
				key := string(v.KV[2 : 2+v.KV[1]])
				if v.Revision.Main <= scheduled {
					if newest[key] || v.Kind == mvcc.KindDelete && v.Revision.Main < scheduled {
						superseded++
					}
					newest[key] = true
				}
				return nil
			}))
			if superseded > 0 {
				t.Errorf("%d versions are left that the compaction removes", superseded)
			}
			m.compareKeys(t, loadManifest(t, "snapshot-3.7"))
		})
	}
}

// history applies random requests.
type history struct {
	t      *testing.T
	f      *fsm.FSM
	index  uint64
	random *rand.Rand
}

func (h *history) apply(r *pb.InternalRaftRequest) {
	h.t.Helper()
	h.index++
	r.Header = &pb.RequestHeader{ID: h.index}
	data, err := proto.Marshal(r)
	must(h.t, err)
	must(h.t, h.f.Apply([]*raftpb.Entry{{Index: proto.Uint64(h.index), Term: proto.Uint64(1), Data: data}}, agreed{}))
}

func (h *history) key() []byte { return fmt.Appendf(nil, "k%02d\x00", h.random.IntN(40)) }

func (h *history) put() *pb.PutRequest {
	size := h.random.IntN(100)
	if h.random.IntN(50) == 0 {
		size = 1 << 20
	}
	return &pb.PutRequest{Key: h.key(), Value: make([]byte, size), Lease: int64(h.random.IntN(4))}
}

func (h *history) step() {
	switch h.random.IntN(10) {
	case 0, 1, 2, 3, 4:
		h.apply(&pb.InternalRaftRequest{Put: h.put()})
	case 5:
		h.apply(&pb.InternalRaftRequest{DeleteRange: &pb.DeleteRangeRequest{Key: h.key()}})
	case 6:
		key := h.key()
		h.apply(&pb.InternalRaftRequest{DeleteRange: &pb.DeleteRangeRequest{Key: key, RangeEnd: append(key[:2:2], 0xff)}})
	case 7:
		key := h.key()
		remove := &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: key}}}
		inner := &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: &pb.TxnRequest{Success: []*pb.RequestOp{remove}}}}
		again := &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: key, Value: []byte("again")}}}
		h.apply(&pb.InternalRaftRequest{Txn: &pb.TxnRequest{Success: []*pb.RequestOp{inner, again, {Request: &pb.RequestOp_RequestPut{RequestPut: h.put()}}}}})
	case 8:
		h.apply(&pb.InternalRaftRequest{LeaseGrant: &pb.LeaseGrantRequest{ID: 1 + int64(h.random.IntN(3)), TTL: 1000}})
	case 9:
		if current, compacted := h.f.Store().Revisions(); h.random.IntN(4) == 0 && current > compacted+20 {
			h.apply(&pb.InternalRaftRequest{Compaction: &pb.CompactionRequest{Revision: current - 15}})
		} else {
			h.apply(&pb.InternalRaftRequest{LeaseRevoke: &pb.LeaseRevokeRequest{ID: 1 + int64(h.random.IntN(3))}})
		}
	}
}

// TestRandomHistories go out to a file and come back the same, at all revisions.
func TestRandomHistories(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			e, err := engine.Open(filepath.Join(t.TempDir(), "e"), engine.Options{})
			must(t, err)
			defer e.Close()
			f, err := fsm.Open(fsm.Config{Engine: e, Deliver: func(uint64, fsm.Result) {}, Publish: func(int64, []mvcc.Event, bool) {},
				LeaseGranted: func(int64, int64) {}, LeaseRevoked: func(int64) {}, EmptyEntry: func(uint64) {}})
			must(t, err)
			if seed%2 == 0 { // otherwise no compaction is ever carried out
				f.Start()
				defer f.Stop()
			}
			h := &history{t: t, f: f, random: rand.New(rand.NewPCG(seed, seed))}
			for range 400 {
				h.step()
			}
			x := f.Export()
			file, err := WriteImage(t.Context(), t.TempDir(), x)
			must(t, err)
			defer file.Close()
			must(t, x.Close())
			source := copyOf(t, file)
			dir := filepath.Join(t.TempDir(), "data")
			_, err = Restore(t.Context(), RestoreOptions{Source: source, DataDir: dir, Name: "a", Members: initialOf("a")})
			must(t, err)
			m := openMember(t, dir)
			current, compacted := f.Store().Revisions()
			for rev := max(compacted, 1); rev <= current; rev++ {
				want, err := ReadHash(t.Context(), source, rev, time.Second)
				must(t, err)
				if got, _, err := m.fsm.Store().HashKV(t.Context(), rev); err != nil || got != want {
					t.Fatalf("hash at %d of %d..%d: %+v, %v, want %+v", rev, compacted, current, got, err, want)
				}
			}
			if m.fsm.Store().Keys() != f.Store().Keys() || m.fsm.Leases().Len() != f.Leases().Len() {
				t.Errorf("%d keys and %d leases, want %d and %d", m.fsm.Store().Keys(), m.fsm.Leases().Len(), f.Store().Keys(), f.Leases().Len())
			}
		})
	}
}
