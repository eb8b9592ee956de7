package rpc

import (
	"encoding/json"
	"sync/atomic"
	"testing"

	"bowline/internal/audit"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// FuzzRequests: whatever comes as a message is decoded or refused, and what was decoded
// can be described for the audit log within bounds, without what must stay secret.
func FuzzRequests(f *testing.F) {
	const secret = "s3cr3t-value"
	for i, m := range []proto.Message{
		&pb.RangeRequest{Key: []byte("k"), RangeEnd: []byte{0}},
		&pb.PutRequest{Key: []byte("k"), Value: []byte(secret), Lease: -1},
		&pb.TxnRequest{Success: []*pb.RequestOp{opPut(&pb.PutRequest{Key: []byte{0xff}, Value: []byte(secret)}), {}}},
		&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: []byte("k")}}},
		&pb.AuthenticateRequest{Name: "u", Password: secret},
		&pb.AuthRoleGrantPermissionRequest{Name: "r"},
		&pb.MemberAddRequest{PeerURLs: []string{"http://a:1"}},
		&pb.AlarmRequest{Action: 9, Alarm: 9},
	} {
		data, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), data)
	}
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) {
		kinds := []proto.Message{new(pb.RangeRequest), new(pb.PutRequest), new(pb.TxnRequest), new(pb.WatchRequest),
			new(pb.AuthenticateRequest), new(pb.AuthRoleGrantPermissionRequest), new(pb.MemberAddRequest), new(pb.AlarmRequest),
			new(pb.DeleteRangeRequest), new(pb.LeaseGrantRequest), new(pb.CompactionRequest)}
		m := kinds[int(kind)%len(kinds)]
		c := codec{new(atomic.Int64), new(atomic.Int64)}
		if c.Unmarshal(mem.BufferSlice{mem.SliceBuffer(data)}, &request{msg: m}) != nil {
			return
		}
		var r audit.Record
		describe(&r, m)
		line, err := json.Marshal(&r)
		if err != nil {
			t.Fatal(err)
		}
		if put, ok := m.(*pb.PutRequest); ok && len(r.Keys) != 1 {
			t.Errorf("%v is described by %s", put, line)
		}
		const most = 6 * 2 * 1024 * 256 // of keys; a control character takes six
		if bound := most + 8*len(data) + 4096; len(line) > bound {
			t.Errorf("%d bytes are described by %d", len(data), len(line))
		}
	})
}
