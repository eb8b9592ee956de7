package rpc

import (
	"context"
	"fmt"
	"strings"

	"bowline/internal/audit"
	"bowline/internal/rpc/electionpb"
	"bowline/internal/rpc/lockpb"
	"bowline/internal/wire"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// audit writes a call down, if that is wanted. stream is "" for a unary call.
func (m *member) audit(ctx context.Context, method, stream string, req, resp any, err error) {
	if !m.Audit.On() || strings.HasPrefix(method, "/grpc.health.") {
		return
	}
	s := status.Convert(err)
	_, call, _ := strings.Cut(method, ".")
	r := &audit.Record{Call: call, Stream: stream, CommonName: commonName(ctx), Remote: remoteOf(ctx), Code: s.Code().String(),
		Error: s.Message(), Revision: revisionOf(resp)}
	if stream == streamMessage && method != pb.Watch_Watch_FullMethodName {
		r.Code = "" // what became of it is told by the stream's end
	}
	if id, err := m.Server.Identify(ctx); err == nil {
		r.User = id.User
	}
	describe(r, req)
	m.Audit.Write(r)
}

// What a record of a stream is about.
const (
	streamMessage = "message"
	streamEnd     = "end"
)

// remoteOf is the address that a call comes from. The JSON gateway, which calls from
// within the process, tells for whom; anybody else who says so is not believed.
func remoteOf(ctx context.Context) string {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return ""
	}
	if via := metadata.ValueFromIncomingContext(ctx, "x-forwarded-for"); len(via) > 0 && p.Addr.Network() == "pipe" {
		all := strings.Split(via[len(via)-1], ",") // those before the last are what its client has said
		return strings.TrimSpace(all[len(all)-1])
	}
	return p.Addr.String()
}

// AuditWatch writes down what was asked on a stream of watches, and why it was refused.
func (m *member) AuditWatch(ctx context.Context, req *pb.WatchRequest, refused error) {
	m.audit(ctx, pb.Watch_Watch_FullMethodName, streamMessage, req, nil, refused)
}

type withHeader interface{ GetHeader() *pb.ResponseHeader }

func revisionOf(resp any) int64 {
	switch a := resp.(type) {
	case *wire.Answer:
		return a.Revision()
	case withHeader:
		return a.GetHeader().GetRevision()
	}
	return 0
}

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
	case *pb.CompactionRequest:
		r.Subject = fmt.Sprintf("revision %d", q.Revision)
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
	for _, ops := range [][]*pb.RequestOp{q.GetSuccess(), q.GetFailure()} {
		for _, op := range ops {
			switch {
			case op.GetRequestRange() != nil:
				r.Add("range", op.GetRequestRange().Key, op.GetRequestRange().RangeEnd)
			case op.GetRequestPut() != nil:
				r.Add("put", op.GetRequestPut().Key, nil)
			case op.GetRequestDeleteRange() != nil:
				r.Add("delete", op.GetRequestDeleteRange().Key, op.GetRequestDeleteRange().RangeEnd)
			case op.GetRequestTxn() != nil:
				describeTxn(r, op.GetRequestTxn(), levels-1)
			}
		}
	}
}

func leaseName(id int64) string { return fmt.Sprintf("lease %x", id) }

// subjectOf is what a request that is not about keys is about.
func subjectOf(req any) string {
	switch q := req.(type) {
	case *pb.LeaseGrantRequest:
		return leaseName(q.ID)
	case *pb.LeaseRevokeRequest:
		return leaseName(q.ID)
	case *pb.LeaseKeepAliveRequest:
		return leaseName(q.ID)
	case *pb.LeaseTimeToLiveRequest:
		return leaseName(q.ID)
	case *pb.AuthenticateRequest:
		return "user " + q.Name
	case *pb.AuthUserAddRequest:
		return "user " + q.Name
	case *pb.AuthUserGetRequest:
		return "user " + q.Name
	case *pb.AuthUserDeleteRequest:
		return "user " + q.Name
	case *pb.AuthUserChangePasswordRequest:
		return "user " + q.Name
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
	}
	return subjectOfMember(req)
}

func subjectOfMember(req any) string {
	switch q := req.(type) {
	case *pb.MemberAddRequest:
		return "peer URLs " + strings.Join(q.PeerURLs, ",")
	case *pb.MemberRemoveRequest:
		return fmt.Sprintf("member %x", q.ID)
	case *pb.MemberUpdateRequest:
		return fmt.Sprintf("member %x, peer URLs %s", q.ID, strings.Join(q.PeerURLs, ","))
	case *pb.MemberPromoteRequest:
		return fmt.Sprintf("member %x", q.ID)
	case *pb.AlarmRequest:
		return fmt.Sprintf("%v %v of member %x", q.Action, q.Alarm, q.MemberID)
	case *pb.MoveLeaderRequest:
		return fmt.Sprintf("member %x", q.TargetID)
	case *pb.DowngradeRequest:
		return fmt.Sprintf("%v %s", q.Action, q.Version)
	}
	return ""
}
