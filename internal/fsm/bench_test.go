package fsm

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"bowline/internal/engine"
	"bowline/internal/mvcc"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// BenchmarkCompaction compacts 200,000 keys of 512 bytes, a third of which have a
// second version, while nobody writes.
func BenchmarkCompaction(b *testing.B) {
	const keys, value, group = 200_000, 512, 100
	for b.Loop() {
		b.StopTimer()
		r := &rig{t: b, results: map[uint64]Result{}}
		var err error
		r.engine, err = engine.Open(b.TempDir(), engine.Options{FS: vfs.Default})
		r.must(err)
		r.fsm, err = Open(Config{
			Engine: r.engine, MinLeaseTTL: 2, Deliver: func(uint64, Result) {}, Publish: func(int64, []mvcc.Event, bool) {},
			LeaseGranted: func(int64, int64) {}, LeaseRevoked: func(int64) {}, EmptyEntry: func(uint64) {},
			Fatal: func(err error) { b.Error(err) },
		})
		r.must(err)
		rng, text := rand.New(rand.NewPCG(1, 2)), make([]byte, value)
		for i := 0; i < keys*4/3; i += group {
			var reqs []*pb.InternalRaftRequest
			for j := i; j < i+group; j++ {
				n := j
				if j >= keys {
					n = rng.IntN(keys)
				}
				for k := range text {
					text[k] = "abcdefgh"[rng.IntN(8)]
				}
				reqs = append(reqs, put(fmt.Sprintf("/registry/pods/%08d", n), string(text)))
			}
			r.apply(reqs...)
			for _, e := range r.log[i/group*group:] {
				e.Data = nil
			}
		}
		r.apply(compact(r.fsm.store.Revision(), false))
		b.StartTimer()
		r.must(r.fsm.runCompaction(context.Background()))
		b.StopTimer()
		r.close()
		b.StartTimer()
	}
}
