package rpc

import (
	"fmt"
	"slices"
	"strings"

	"bowline/internal/audit"
	"bowline/internal/rpc/electionpb"
	"bowline/internal/rpc/lockpb"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// describe tells what a request is about, but no values, passwords or tokens.
func describe(r *audit.Record, req any) {
	switch q := req.(type) {
	case *pb.RangeRequest:
		r.Add("range", q.Key, q.RangeEnd)
	case *pb.PutRequest:
		r.Add("put", q.Key, nil)
		if q.Lease != 0 {
			r.Subject = leaseName(q.Lease)
		}
	case *pb.DeleteRangeRequest:
		r.Add("delete", q.Key, q.RangeEnd)
	case *pb.TxnRequest:
		describeTxn(r, q, maxTxnLevels)
	case *pb.WatchRequest:
		switch {
		case q.GetCreateRequest() != nil:
			r.Add("watch", q.GetCreateRequest().Key, q.GetCreateRequest().RangeEnd)
		case q.GetCancelRequest() != nil:
			r.Subject = fmt.Sprintf("cancel watch %d", q.GetCancelRequest().WatchId)
		default:
			r.Subject = "progress"
		}
	case *lockpb.LockRequest:
		r.Add("lock", q.Name, nil)
	case *lockpb.UnlockRequest:
		r.Add("unlock", q.Key, nil)
	case *electionpb.CampaignRequest:
		r.Add("campaign", q.Name, nil)
	case *electionpb.ProclaimRequest:
		r.Add("proclaim", q.GetLeader().GetKey(), nil)
	case *electionpb.LeaderRequest:
		r.Add("leader", q.Name, nil)
	case *electionpb.ResignRequest:
		r.Add("resign", q.GetLeader().GetKey(), nil)
	default:
		r.Subject = subjectOf(req)
	}
}

// maxTxnLevels is how deep a transaction is described: it is not checked yet.
const maxTxnLevels = 128

func describeTxn(r *audit.Record, q *pb.TxnRequest, levels int) {
	if levels == 0 {
		r.Omitted++
		return
	}
	for _, c := range q.GetCompare() {
		r.Add("compare", c.GetKey(), c.GetRangeEnd())
	}
	for _, op := range slices.Concat(q.GetSuccess(), q.GetFailure()) {
		switch o := op.GetRequest().(type) {
		case *pb.RequestOp_RequestRange:
			r.Add("range", o.RequestRange.GetKey(), o.RequestRange.GetRangeEnd())
		case *pb.RequestOp_RequestPut:
			r.Add("put", o.RequestPut.GetKey(), nil)
		case *pb.RequestOp_RequestDeleteRange:
			r.Add("delete", o.RequestDeleteRange.GetKey(), o.RequestDeleteRange.GetRangeEnd())
		case *pb.RequestOp_RequestTxn:
			describeTxn(r, o.RequestTxn, levels-1)
		}
	}
}

// What the names and IDs in requests are called.
type (
	named    interface{ GetName() string }
	ofLease  interface{ GetID() int64 }
	ofMember interface{ GetID() uint64 }
)

func leaseName(id int64) string { return fmt.Sprintf("lease %x", id) }

// subjectOf is what a request is about that is not about keys.
func subjectOf(req any) string {
	switch q := req.(type) {
	case *pb.CompactionRequest:
		return fmt.Sprintf("revision %d", q.Revision)
	case *pb.LeaseGrantRequest, *pb.LeaseRevokeRequest, *pb.LeaseKeepAliveRequest, *pb.LeaseTimeToLiveRequest:
		return leaseName(q.(ofLease).GetID())

	case *pb.AuthenticateRequest, *pb.AuthUserAddRequest, *pb.AuthUserGetRequest, *pb.AuthUserDeleteRequest,
		*pb.AuthUserChangePasswordRequest:
		return "user " + q.(named).GetName()
	case *pb.AuthUserGrantRoleRequest:
		return "user " + q.User + ", role " + q.Role
	case *pb.AuthUserRevokeRoleRequest:
		return "user " + q.Name + ", role " + q.Role
	case *pb.AuthRoleAddRequest:
		return "role " + q.Name
	case *pb.AuthRoleGetRequest:
		return "role " + q.Role
	case *pb.AuthRoleDeleteRequest:
		return "role " + q.Role
	case *pb.AuthRoleGrantPermissionRequest:
		return fmt.Sprintf("role %s, %v on %q to %q", q.Name, q.GetPerm().GetPermType(), q.GetPerm().GetKey(), q.GetPerm().GetRangeEnd())
	case *pb.AuthRoleRevokePermissionRequest:
		return fmt.Sprintf("role %s, on %q to %q", q.Role, q.Key, q.RangeEnd)

	case *pb.MemberAddRequest:
		return "peer URLs " + strings.Join(q.PeerURLs, ",")
	case *pb.MemberRemoveRequest, *pb.MemberPromoteRequest:
		return fmt.Sprintf("member %x", q.(ofMember).GetID())
	case *pb.MemberUpdateRequest:
		return fmt.Sprintf("member %x, peer URLs %s", q.ID, strings.Join(q.PeerURLs, ","))
	case *pb.MoveLeaderRequest:
		return fmt.Sprintf("member %x", q.TargetID)
	case *pb.AlarmRequest:
		return fmt.Sprintf("%v %v of member %x", q.Action, q.Alarm, q.MemberID)
	case *pb.DowngradeRequest:
		return fmt.Sprintf("%v %s", q.Action, q.Version)
	}
	return ""
}
