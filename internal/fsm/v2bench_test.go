package fsm

import (
	"fmt"
	"testing"

	"bowline/internal/engine"
	"bowline/internal/mvcc"
	"bowline/internal/wire"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// BenchmarkV2Put applies writes of a thousand keys of API v2.
func BenchmarkV2Put(b *testing.B) {
	e, err := engine.Open(b.TempDir(), engine.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	f, err := Open(Config{
		Engine: e, Deliver: func(uint64, Result) {}, Publish: func(int64, []mvcc.Event, bool) {},
		LeaseGranted: func(int64, int64) {}, LeaseRevoked: func(int64) {}, EmptyEntry: func(uint64) {},
		Fatal: func(err error) { b.Error(err) },
	})
	if err != nil {
		b.Fatal(err)
	}
	keys := make([]string, 1000)
	for i := range keys {
		keys[i] = fmt.Sprintf("/1/x%d", i)
	}
	b.ReportAllocs()
	for index := uint64(1); b.Loop(); index++ {
		r := wire.V2Request{ID: index, Method: wire.V2Put, Path: keys[index%1000], Value: "hello", Time: int64(index)}
		entry := &raftpb.Entry{Index: proto.Uint64(index), Term: proto.Uint64(1), Data: r.Entry()}
		if err := f.Apply([]*raftpb.Entry{entry}, nil); err != nil {
			b.Fatal(err)
		}
	}
}
