package rpc

import (
	"fmt"
	"sync/atomic"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// TestDamagedRequestsAreToldOfAsTheyAre: gRPC tells the client, as etcd's does, and
// nothing of ours goes along.
func TestDamagedRequestsAreToldOfAsTheyAre(t *testing.T) {
	c := codec{new(atomic.Int64), new(atomic.Int64)}
	damaged := []byte{0xff}
	for _, m := range []proto.Message{new(pb.PutRequest), new(pb.RangeRequest), new(pb.TxnRequest), new(pb.LeaseGrantRequest)} {
		want := proto.Unmarshal(damaged, m)
		for _, into := range []any{m, &request{msg: m}} {
			got := c.Unmarshal(mem.BufferSlice{mem.SliceBuffer(damaged)}, into)
			if want == nil || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%T: %v, want %v", m, got, want)
			}
		}
	}
}
