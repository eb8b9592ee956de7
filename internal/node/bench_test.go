package node

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"bowline/internal/wal"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/raft/v3/raftpb"
)

// benchApplier wakes the proposer whose number leads the payload.
type benchApplier struct {
	waiters []chan struct{}
}

func (a *benchApplier) Apply(entries []*raftpb.Entry, _ ConfChanger) error {
	for _, e := range entries {
		if data := e.GetData(); len(data) > 0 {
			a.waiters[binary.LittleEndian.Uint32(data)] <- struct{}{}
		}
	}
	return nil
}

func benchNode(b *testing.B, opts wal.Options, apply Applier) *Node {
	log, err := wal.Create(opts, wal.Metadata{NodeID: 1, ClusterID: 2})
	if err != nil {
		b.Fatal(err)
	}
	must(b, log.Close())
	log, recovered, err := wal.Open(opts, 0)
	must(b, err)
	n, err := Start(Config{
		ID: 1, Log: log, Recovered: recovered, ConfState: &raftpb.ConfState{Voters: []uint64{1}}, PreVote: true, Apply: apply,
		OnFatal: func(err error) { b.Error(err) },
	})
	must(b, err)
	waitFor(b, n, func(s Status) bool { return n.readIndex.Load() != 0 })
	b.Cleanup(func() {
		n.Stop()
		must(b, log.Close())
	})
	return n
}

// BenchmarkPropose measures a write from the proposal to the call of the Applier: no engine, no sync that costs.
func BenchmarkPropose(b *testing.B) {
	for _, disk := range []string{"mem", "real"} {
		for _, proposers := range []int{1, 100} {
			b.Run(fmt.Sprintf("disk=%s/proposers=%d", disk, proposers), func(b *testing.B) {
				opts := wal.Options{FS: vfs.NewMem(), Dir: "wal"}
				if disk == "real" {
					opts = wal.Options{Dir: b.TempDir() + "/wal"}
				}
				apply := &benchApplier{}
				for range proposers {
					apply.waiters = append(apply.waiters, make(chan struct{}, 1))
				}
				n := benchNode(b, opts, apply)
				data := make([]byte, 600)
				var left atomic.Int64
				left.Store(int64(b.N))
				var wg sync.WaitGroup
				b.ReportAllocs()
				b.ResetTimer()
				start := processorTime()
				for p := range proposers {
					wg.Go(func() {
						mine := append([]byte(nil), data...)
						binary.LittleEndian.PutUint32(mine, uint32(p))
						for left.Add(-1) >= 0 {
							n.ProposeAsync(mine, func(err error) { b.Error(err) })
							<-apply.waiters[p]
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(processorTime()-start)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

// BenchmarkReadIndex measures the fast path, which a linearizable get on a single voter takes.
func BenchmarkReadIndex(b *testing.B) {
	n := benchNode(b, wal.Options{FS: vfs.NewMem(), Dir: "wal"}, &benchApplier{})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := n.ReadIndex(context.Background()); err != nil {
				b.Error(err)
			}
		}
	})
}
