package security

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"bowline/internal/rpc"
	"bowline/internal/rpc/electionpb"
	"bowline/internal/rpc/lockpb"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// Who may make a call. Nobody has no token, reader and writer may read and write [k, l),
// admin is a user that holds the role root, and certified is known by its certificate and
// may do both to [k, l).
const (
	nobody = 1 << iota
	reader
	writer
	admin
	root
	certified

	users     = reader | writer | admin | root | certified
	everybody = nobody | users
	admins    = admin | root
	readers   = reader | certified | admins
	writers   = writer | certified | admins
	both      = certified | admins
)

type caller struct {
	bit  int
	name string
}

var callers = []caller{{nobody, ""}, {reader, "reader"}, {writer, "writer"}, {admin, "admin"}, {root, "root"}, {certified, "certified"}}

// accessRow is a call, who may make it, and how it is made. It may well fail for other
// reasons.
type accessRow struct {
	method string
	what   string
	who    int
	call   func(context.Context, grpc.ClientConnInterface) error
}

// unaryRow makes a row of a call with one answer.
func unaryRow[C, Q, A any](who int, what string, client func(grpc.ClientConnInterface) C,
	call func(C, context.Context, Q, ...grpc.CallOption) (A, error), req Q, method string) accessRow {
	return accessRow{method, what, who, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		_, err := call(client(conn), ctx, req)
		return err
	}}
}

// first is the error with which a stream begins, if it does.
func first[M any](recv func() (M, error), err error) error {
	if err != nil {
		return err
	}
	if _, err = recv(); errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

var k = []byte("k")

func keyRows() []accessRow {
	kv, lease := pb.NewKVClient, pb.NewLeaseClient
	txn := &pb.TxnRequest{
		Compare: []*pb.Compare{{Key: k, Target: pb.Compare_VERSION, TargetUnion: &pb.Compare_Version{Version: 77}}},
		Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: k}}}},
	}
	return []accessRow{
		unaryRow(readers, "", kv, pb.KVClient.Range, &pb.RangeRequest{Key: k}, "/etcdserverpb.KV/Range"),
		unaryRow(readers, "serializable", kv, pb.KVClient.Range, &pb.RangeRequest{Key: k, Serializable: true}, "/etcdserverpb.KV/Range"),
		unaryRow(admins, "one key too many", kv, pb.KVClient.Range, &pb.RangeRequest{Key: k, RangeEnd: []byte("l\x00"), CountOnly: true}, "/etcdserverpb.KV/Range"),
		unaryRow(writers, "", kv, pb.KVClient.Put, &pb.PutRequest{Key: k}, "/etcdserverpb.KV/Put"),
		unaryRow(both, "that shows the old value", kv, pb.KVClient.Put, &pb.PutRequest{Key: k, PrevKv: true}, "/etcdserverpb.KV/Put"),
		unaryRow(writers, "", kv, pb.KVClient.DeleteRange, &pb.DeleteRangeRequest{Key: []byte("k2")}, "/etcdserverpb.KV/DeleteRange"),
		unaryRow(both, "that shows the old value", kv, pb.KVClient.DeleteRange, &pb.DeleteRangeRequest{Key: []byte("k2"), PrevKv: true}, "/etcdserverpb.KV/DeleteRange"),
		unaryRow(both, "in a branch that does not run", kv, pb.KVClient.Txn, txn, "/etcdserverpb.KV/Txn"),
		unaryRow(readers, "that reads", kv, pb.KVClient.Txn, &pb.TxnRequest{Compare: txn.Compare}, "/etcdserverpb.KV/Txn"),
		unaryRow(everybody, "of nothing", kv, pb.KVClient.Txn, &pb.TxnRequest{}, "/etcdserverpb.KV/Txn"),
		unaryRow(admins, "", kv, pb.KVClient.Compact, &pb.CompactionRequest{Revision: 1 << 40}, "/etcdserverpb.KV/Compact"),
		{"/etcdserverpb.KV/RangeStream", "", readers, func(ctx context.Context, conn grpc.ClientConnInterface) error {
			s, err := kv(conn).RangeStream(ctx, &pb.RangeRequest{Key: k})
			return first(s.Recv, err)
		}},
		{"/etcdserverpb.Watch/Watch", "", readers, watchOnce},
		unaryRow(users, "", lease, pb.LeaseClient.LeaseGrant, &pb.LeaseGrantRequest{TTL: 60}, "/etcdserverpb.Lease/LeaseGrant"),
		unaryRow(users, "unknown", lease, pb.LeaseClient.LeaseRevoke, &pb.LeaseRevokeRequest{ID: 99}, "/etcdserverpb.Lease/LeaseRevoke"),
		unaryRow(users, "", lease, pb.LeaseClient.LeaseTimeToLive, &pb.LeaseTimeToLiveRequest{ID: 7}, "/etcdserverpb.Lease/LeaseTimeToLive"),
		unaryRow(readers, "with keys", lease, pb.LeaseClient.LeaseTimeToLive, &pb.LeaseTimeToLiveRequest{ID: 7, Keys: true}, "/etcdserverpb.Lease/LeaseTimeToLive"),
		unaryRow(readers, "", lease, pb.LeaseClient.LeaseLeases, &pb.LeaseLeasesRequest{}, "/etcdserverpb.Lease/LeaseLeases"),
		{"/etcdserverpb.Lease/LeaseKeepAlive", "", writers, func(ctx context.Context, conn grpc.ClientConnInterface) error {
			s, err := lease(conn).LeaseKeepAlive(ctx)
			if err != nil {
				return err
			}
			return first(s.Recv, s.Send(&pb.LeaseKeepAliveRequest{ID: 7}))
		}},
	}
}

// watchOnce creates a watch and returns the reason why it was refused.
func watchOnce(ctx context.Context, conn grpc.ClientConnInterface) error {
	s, err := pb.NewWatchClient(conn).Watch(ctx)
	if err != nil {
		return err
	}
	if err := s.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: k}}}); err != nil {
		return err
	}
	resp, err := s.Recv()
	if err == nil && resp.Canceled {
		_, text, _ := strings.Cut(resp.CancelReason, "desc = ")
		err = errors.New(text)
	}
	return err
}

func clusterRows() []accessRow {
	c, m := pb.NewClusterClient, pb.NewMaintenanceClient
	return []accessRow{
		unaryRow(admins, "", c, pb.ClusterClient.MemberAdd, &pb.MemberAddRequest{PeerURLs: []string{"x"}}, "/etcdserverpb.Cluster/MemberAdd"),
		unaryRow(admins, "", c, pb.ClusterClient.MemberRemove, &pb.MemberRemoveRequest{ID: 1}, "/etcdserverpb.Cluster/MemberRemove"),
		unaryRow(admins, "", c, pb.ClusterClient.MemberUpdate, &pb.MemberUpdateRequest{ID: 1, PeerURLs: []string{"http://x:1"}}, "/etcdserverpb.Cluster/MemberUpdate"),
		unaryRow(admins, "", c, pb.ClusterClient.MemberPromote, &pb.MemberPromoteRequest{ID: 1}, "/etcdserverpb.Cluster/MemberPromote"),
		unaryRow(users, "", c, pb.ClusterClient.MemberList, &pb.MemberListRequest{}, "/etcdserverpb.Cluster/MemberList"),
		unaryRow(users, "shown", m, pb.MaintenanceClient.Alarm, &pb.AlarmRequest{}, "/etcdserverpb.Maintenance/Alarm"),
		unaryRow(admins, "raised", m, pb.MaintenanceClient.Alarm, &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE}, "/etcdserverpb.Maintenance/Alarm"),
		unaryRow(admins, "lifted", m, pb.MaintenanceClient.Alarm, &pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE}, "/etcdserverpb.Maintenance/Alarm"),
		unaryRow(admins, "of no kind", m, pb.MaintenanceClient.Alarm, &pb.AlarmRequest{Action: 9}, "/etcdserverpb.Maintenance/Alarm"),
		unaryRow(users, "", m, pb.MaintenanceClient.Status, &pb.StatusRequest{}, "/etcdserverpb.Maintenance/Status"),
		unaryRow(admins, "", m, pb.MaintenanceClient.Defragment, &pb.DefragmentRequest{}, "/etcdserverpb.Maintenance/Defragment"),
		unaryRow(admins, "", m, pb.MaintenanceClient.Hash, &pb.HashRequest{}, "/etcdserverpb.Maintenance/Hash"),
		unaryRow(admins, "", m, pb.MaintenanceClient.HashKV, &pb.HashKVRequest{}, "/etcdserverpb.Maintenance/HashKV"),
		unaryRow(admins, "", m, pb.MaintenanceClient.MoveLeader, &pb.MoveLeaderRequest{TargetID: 1}, "/etcdserverpb.Maintenance/MoveLeader"),
		unaryRow(admins, "", m, pb.MaintenanceClient.Downgrade, &pb.DowngradeRequest{Version: "3.6"}, "/etcdserverpb.Maintenance/Downgrade"),
		{"/etcdserverpb.Maintenance/Snapshot", "", admins, func(ctx context.Context, conn grpc.ClientConnInterface) error {
			s, err := m(conn).Snapshot(ctx, &pb.SnapshotRequest{})
			return first(s.Recv, err)
		}},
	}
}

func authRows() []accessRow {
	a := pb.NewAuthClient
	perm := &authpb.Permission{Key: []byte("x")}
	return []accessRow{
		unaryRow(admins, "", a, pb.AuthClient.AuthEnable, &pb.AuthEnableRequest{}, "/etcdserverpb.Auth/AuthEnable"),
		unaryRow(admins, "", a, pb.AuthClient.AuthDisable, &pb.AuthDisableRequest{}, "/etcdserverpb.Auth/AuthDisable"),
		unaryRow(everybody, "", a, pb.AuthClient.AuthStatus, &pb.AuthStatusRequest{}, "/etcdserverpb.Auth/AuthStatus"),
		unaryRow(everybody, "", a, pb.AuthClient.Authenticate, &pb.AuthenticateRequest{Name: "reader", Password: "pw-reader"}, "/etcdserverpb.Auth/Authenticate"),
		unaryRow(admins, "", a, pb.AuthClient.UserAdd, &pb.AuthUserAddRequest{Name: "reader"}, "/etcdserverpb.Auth/UserAdd"),
		unaryRow(reader|admins, "oneself", a, pb.AuthClient.UserGet, &pb.AuthUserGetRequest{Name: "reader"}, "/etcdserverpb.Auth/UserGet"),
		unaryRow(admins, "who is not there", a, pb.AuthClient.UserGet, &pb.AuthUserGetRequest{Name: "ghost"}, "/etcdserverpb.Auth/UserGet"),
		unaryRow(admins, "", a, pb.AuthClient.UserList, &pb.AuthUserListRequest{}, "/etcdserverpb.Auth/UserList"),
		unaryRow(admins, "", a, pb.AuthClient.UserDelete, &pb.AuthUserDeleteRequest{Name: "ghost"}, "/etcdserverpb.Auth/UserDelete"),
		unaryRow(admins, "even one's own", a, pb.AuthClient.UserChangePassword, &pb.AuthUserChangePasswordRequest{Name: "ghost", Password: "x"}, "/etcdserverpb.Auth/UserChangePassword"),
		unaryRow(admins, "", a, pb.AuthClient.UserGrantRole, &pb.AuthUserGrantRoleRequest{User: "ghost", Role: "root"}, "/etcdserverpb.Auth/UserGrantRole"),
		unaryRow(admins, "", a, pb.AuthClient.UserRevokeRole, &pb.AuthUserRevokeRoleRequest{Name: "ghost", Role: "root"}, "/etcdserverpb.Auth/UserRevokeRole"),
		unaryRow(admins, "", a, pb.AuthClient.RoleAdd, &pb.AuthRoleAddRequest{Name: "read"}, "/etcdserverpb.Auth/RoleAdd"),
		unaryRow(readers, "one's own", a, pb.AuthClient.RoleGet, &pb.AuthRoleGetRequest{Role: "read"}, "/etcdserverpb.Auth/RoleGet"),
		unaryRow(admins, "that is not there", a, pb.AuthClient.RoleGet, &pb.AuthRoleGetRequest{Role: "ghost"}, "/etcdserverpb.Auth/RoleGet"),
		unaryRow(admins, "", a, pb.AuthClient.RoleList, &pb.AuthRoleListRequest{}, "/etcdserverpb.Auth/RoleList"),
		unaryRow(admins, "", a, pb.AuthClient.RoleDelete, &pb.AuthRoleDeleteRequest{Role: "ghost"}, "/etcdserverpb.Auth/RoleDelete"),
		unaryRow(admins, "", a, pb.AuthClient.RoleGrantPermission, &pb.AuthRoleGrantPermissionRequest{Name: "ghost", Perm: perm}, "/etcdserverpb.Auth/RoleGrantPermission"),
		unaryRow(admins, "", a, pb.AuthClient.RoleRevokePermission, &pb.AuthRoleRevokePermissionRequest{Role: "ghost"}, "/etcdserverpb.Auth/RoleRevokePermission"),
	}
}

func queueRows() []accessRow {
	l, e, h := lockpb.NewLockClient, electionpb.NewElectionClient, healthpb.NewHealthClient
	return []accessRow{
		unaryRow(both, "", l, lockpb.LockClient.Lock, &lockpb.LockRequest{Name: []byte("k/lock"), Lease: 7}, "/v3lockpb.Lock/Lock"),
		unaryRow(writers, "", l, lockpb.LockClient.Unlock, &lockpb.UnlockRequest{Key: []byte("k/other")}, "/v3lockpb.Lock/Unlock"),
		unaryRow(both, "", e, electionpb.ElectionClient.Campaign, &electionpb.CampaignRequest{Name: []byte("k/campaign"), Lease: 7}, "/v3electionpb.Election/Campaign"),
		unaryRow(readers, "", e, electionpb.ElectionClient.Leader, &electionpb.LeaderRequest{Name: []byte("k/election")}, "/v3electionpb.Election/Leader"),
		unaryRow(both, "", e, electionpb.ElectionClient.Proclaim, &electionpb.ProclaimRequest{Leader: &electionpb.LeaderKey{Key: k}}, "/v3electionpb.Election/Proclaim"),
		unaryRow(both, "", e, electionpb.ElectionClient.Resign, &electionpb.ResignRequest{Leader: &electionpb.LeaderKey{Key: k}}, "/v3electionpb.Election/Resign"),
		{"/v3electionpb.Election/Observe", "", readers, func(ctx context.Context, conn grpc.ClientConnInterface) error {
			s, err := e(conn).Observe(ctx, &electionpb.LeaderRequest{Name: []byte("k/election")})
			return first(s.Recv, err)
		}},
		unaryRow(everybody, "", h, healthpb.HealthClient.Check, &healthpb.HealthCheckRequest{}, "/grpc.health.v1.Health/Check"),
		unaryRow(everybody, "", h, healthpb.HealthClient.List, &healthpb.HealthListRequest{}, "/grpc.health.v1.Health/List"),
		{"/grpc.health.v1.Health/Watch", "", everybody, func(ctx context.Context, conn grpc.ClientConnInterface) error {
			s, err := h(conn).Watch(ctx, &healthpb.HealthCheckRequest{})
			return first(s.Recv, err)
		}},
	}
}

func accessRows() []accessRow {
	return slices.Concat(keyRows(), clusterRows(), queueRows(), authRows())
}

// methods are those of all calls that the server has.
func methods() (all []string) {
	for service, info := range rpc.New(rpc.Config{Metrics: rpc.NewMetrics(false)}).GetServiceInfo() {
		for _, m := range info.Methods {
			all = append(all, fmt.Sprintf("/%s/%s", service, m.Name))
		}
	}
	return all
}

// TestEveryCall makes every call that the server has as callers of every kind. A call
// without a row, in the server or here, fails the test.
func TestEveryCall(t *testing.T) {
	rows := accessRows()
	known := map[string]bool{}
	for _, row := range rows {
		known[row.method] = true
	}
	for _, method := range methods() {
		if !known[method] {
			t.Errorf("%s has no row: say who may make it", method)
		}
		if rpc.AccessOf(method) == rpc.AccessUnknown {
			t.Errorf("%s has no row in the server's own table", method)
		}
	}
	r := startAuth(t, nil)
	r.prepareCallers()
	r.makeCalls(rows, callers, func(bit int) grpc.ClientConnInterface {
		if bit == certified {
			return r.named
		}
		return r.plain
	})
}

// makeCalls makes the calls of all rows as all who, over connections of theirs.
func (r *authRig) makeCalls(rows []accessRow, who []caller, over func(bit int) grpc.ClientConnInterface) {
	r.t.Helper()
	for _, row := range rows {
		for _, c := range who {
			ctx, cancel := context.WithTimeout(r.as(c.name), 5*time.Second)
			err := row.call(ctx, over(c.bit))
			cancel()
			allowed := row.who&c.bit != 0
			if allowed == refused(err) || status.Code(err) == codes.DeadlineExceeded {
				r.t.Errorf("%s %s by %q: %v, want it allowed: %v", row.method, row.what, c.name, err, allowed)
			}
			if !allowed && c.bit == nobody != strings.Contains(fmt.Sprint(err), "user name is empty") {
				r.t.Errorf("%s %s by %q is refused with %v", row.method, row.what, c.name, err)
			}
			if row.method == "/etcdserverpb.Auth/AuthDisable" && err == nil {
				r.enable()
				r.login("reader", "writer", "admin")
			}
		}
	}
}

// prepareCallers makes users of every kind, and a lease, 7, that is attached to a key.
func (r *authRig) prepareCallers() {
	r.t.Helper()
	r.addRole("read", authpb.Permission_READ, "k", "l")
	r.addRole("write", authpb.Permission_WRITE, "k", "l")
	r.addUser("reader", "read")
	r.addUser("writer", "write")
	r.addUser("admin", "root")
	r.addUser("certified", "read", "write")
	_, err := pb.NewLeaseClient(r.plain).LeaseGrant(r.t.Context(), &pb.LeaseGrantRequest{ID: 7, TTL: 3600})
	r.must(err)
	r.must(r.put("", "k1", "v", 7))
	r.must(r.put("", "k/election/a", "v", 0))
	r.enable()
	r.login("reader", "writer", "admin")
}
