package rpc

import (
	"encoding/json"
	"testing"

	"bowline/internal/audit"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// TestRequestsAreDescribed: what an audit log says of each kind of request.
func TestRequestsAreDescribed(t *testing.T) {
	op := func(q *pb.TxnRequest) *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: q}}
	}
	put := &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("p"), Value: []byte("secret"), Lease: 1}}}
	read := &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte("a"), RangeEnd: []byte("b")}}}
	del := &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte("d")}}}
	bottomless := &pb.TxnRequest{}
	for range maxTxnLevels {
		bottomless = &pb.TxnRequest{Success: []*pb.RequestOp{op(bottomless)}}
	}
	for _, c := range []struct {
		req  any
		want string // of the record, what is not empty
	}{
		{&pb.PutRequest{Key: []byte("k"), Value: []byte("secret"), Lease: 31}, `{"keys":[{"do":"put","key":"k"}],"subject":"lease 1f"}`},
		{&pb.TxnRequest{Compare: []*pb.Compare{{Key: []byte("c")}}, Success: []*pb.RequestOp{put, read}, Failure: []*pb.RequestOp{op(&pb.TxnRequest{Success: []*pb.RequestOp{del, {}}})}},
			`{"keys":[{"do":"compare","key":"c"},{"do":"put","key":"p"},{"do":"range","key":"a","end":"b"},{"do":"delete","key":"d"}]}`},
		{bottomless, `{"omitted":1}`},
		{&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{CancelRequest: &pb.WatchCancelRequest{WatchId: 3}}}, `{"subject":"cancel watch 3"}`},
		{&pb.CompactionRequest{Revision: 4}, `{"subject":"revision 4"}`},
		{&pb.LeaseGrantRequest{ID: 17, TTL: 60}, `{"subject":"lease 11"}`},
		{&pb.LeaseRevokeRequest{ID: 17}, `{"subject":"lease 11"}`},
		{&pb.LeaseKeepAliveRequest{ID: 17}, `{"subject":"lease 11"}`},
		{&pb.LeaseTimeToLiveRequest{ID: 17}, `{"subject":"lease 11"}`},
		{&pb.AuthenticateRequest{Name: "u", Password: "secret"}, `{"subject":"user u"}`},
		{&pb.AuthUserAddRequest{Name: "u", Password: "secret"}, `{"subject":"user u"}`},
		{&pb.AuthUserGetRequest{Name: "u"}, `{"subject":"user u"}`},
		{&pb.AuthUserDeleteRequest{Name: "u"}, `{"subject":"user u"}`},
		{&pb.AuthUserChangePasswordRequest{Name: "u", Password: "secret"}, `{"subject":"user u"}`},
		{&pb.AuthUserGrantRoleRequest{User: "u", Role: "r"}, `{"subject":"user u, role r"}`},
		{&pb.AuthUserRevokeRoleRequest{Name: "u", Role: "r"}, `{"subject":"user u, role r"}`},
		{&pb.AuthRoleAddRequest{Name: "r"}, `{"subject":"role r"}`},
		{&pb.AuthRoleGrantPermissionRequest{Name: "r", Perm: &authpb.Permission{PermType: authpb.WRITE, Key: []byte("k")}},
			`{"subject":"role r, WRITE on \"k\" to \"\""}`},
		{&pb.MemberAddRequest{PeerURLs: []string{"http://a", "http://b"}}, `{"subject":"peer URLs http://a,http://b"}`},
		{&pb.MemberRemoveRequest{ID: 31}, `{"subject":"member 1f"}`},
		{&pb.MemberPromoteRequest{ID: 31}, `{"subject":"member 1f"}`},
		{&pb.MoveLeaderRequest{TargetID: 31}, `{"subject":"member 1f"}`},
		{&pb.AlarmRequest{Action: pb.AlarmRequest_GET}, `{"subject":"GET NONE of member 0"}`},
		{&pb.StatusRequest{}, `{}`},
	} {
		var r audit.Record
		describe(&r, c.req)
		got, err := json.Marshal(struct {
			Keys    []audit.Key `json:"keys,omitempty"`
			Omitted int         `json:"omitted,omitempty"`
			Subject string      `json:"subject,omitempty"`
		}{r.Keys, r.Omitted, r.Subject})
		if err != nil || string(got) != c.want {
			t.Errorf("%T is described as %s, want %s (%v)", c.req, got, c.want, err)
		}
	}
}
