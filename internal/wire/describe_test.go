package wire

import (
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// normal takes out the spaces with which protobuf keeps its text unstable.
func normal(s string) string { return strings.Join(strings.Fields(s), " ") }

func TestDescribeTellsWhatWasAsked(t *testing.T) {
	put := &pb.PutRequest{Key: []byte("a\n"), Value: []byte("1234"), Lease: 7, PrevKv: true, IgnoreLease: true}
	op := &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: put}}
	get := &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte("k")}}}
	inner := &pb.TxnRequest{Success: []*pb.RequestOp{op}}
	txn := &pb.TxnRequest{
		Compare: []*pb.Compare{
			{Key: []byte("c"), Target: pb.Compare_VALUE, TargetUnion: &pb.Compare_Value{Value: []byte("123")}},
			{Key: []byte("m"), RangeEnd: []byte("n"), Target: pb.Compare_MOD, TargetUnion: &pb.Compare_ModRevision{ModRevision: 5}},
		},
		Success: []*pb.RequestOp{op, get},
		Failure: []*pb.RequestOp{{Request: &pb.RequestOp_RequestTxn{RequestTxn: inner}}},
	}
	header := &pb.RequestHeader{ID: 9}
	for _, c := range []struct {
		m    proto.Message
		want string
	}{
		{put, `key:"a\n" value_size:4 lease:7 prev_kv:true ignore_lease:true`},
		{&pb.RangeRequest{Key: []byte("a"), Limit: 2}, `key:"a" limit:2`},
		{txn, `compare:<result:EQUAL target:VALUE key:"c" value_size:3 target:MOD key:"m" mod_revision:5 range_end:"n"> ` +
			`success:<request_put:<key:"a\n" value_size:4 lease:7 prev_kv:true ignore_lease:true> request_range:{key:"k"}> ` +
			`failure:<request_txn:<compare:<> success:<request_put:<key:"a\n" value_size:4 lease:7 prev_kv:true ignore_lease:true>> failure:<>>>`},
		{&pb.InternalRaftRequest{Header: header, Put: &pb.PutRequest{Key: []byte("k")}}, `header:<ID:9> put:<key:"k" value_size:0>`},
		{&pb.InternalRaftRequest{Header: header, LeaseGrant: &pb.LeaseGrantRequest{TTL: 5, ID: 255}},
			`header:<ID:9> lease_grant:<ttl:5-second id:00000000000000ff>`},
		{&pb.InternalRaftRequest{Header: header, LeaseRevoke: &pb.LeaseRevokeRequest{ID: 255}},
			`header:<ID:9> lease_revoke:<id:00000000000000ff>`},
		{&pb.InternalRaftRequest{ID: 3, Compaction: &pb.CompactionRequest{Revision: 4}}, `header:<ID:3> compaction:{revision:4}`},
	} {
		if got := normal(Describe(c.m)); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestDescribeKeepsSecrets(t *testing.T) {
	const secret = "hush"
	put := &pb.PutRequest{Key: []byte("k"), Value: []byte(secret)}
	txn := &pb.TxnRequest{
		Compare: []*pb.Compare{{Key: []byte("c"), Target: pb.Compare_VALUE, TargetUnion: &pb.Compare_Value{Value: []byte(secret)}}},
		Failure: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: put}}},
	}
	user := &pb.AuthUserAddRequest{Name: "n", Password: secret, HashedPassword: secret}
	change := &pb.AuthUserChangePasswordRequest{Name: "n", Password: secret, HashedPassword: secret}
	for _, m := range []proto.Message{
		put, txn, user, change, &pb.AuthenticateRequest{Name: "n", Password: secret},
		&pb.InternalRaftRequest{Put: put}, &pb.InternalRaftRequest{Txn: txn},
		&pb.InternalRaftRequest{AuthUserAdd: user}, &pb.InternalRaftRequest{AuthUserChangePassword: change},
		&pb.InternalRaftRequest{Authenticate: &pb.InternalAuthenticateRequest{Name: "n", Password: secret, SimpleToken: secret}},
	} {
		if s := Describe(m); strings.Contains(s, secret) {
			t.Errorf("%T is described with its secret: %s", m, s)
		}
	}
}
