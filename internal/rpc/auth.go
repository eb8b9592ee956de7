package rpc

import (
	"context"

	"bowline/internal/server"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// auth is the Auth service.
type auth struct {
	pb.UnimplementedAuthServer
	server *server.Server
}

// change carries out a request that goes through the log, and decodes its answer.
func change[M proto.Message](ctx context.Context, a *auth, m M, req *pb.InternalRaftRequest) (M, error) {
	answer, err := a.server.ChangeAccess(ctx, req)
	return into(m, answer, err)
}

func (a *auth) AuthEnable(ctx context.Context, r *pb.AuthEnableRequest) (*pb.AuthEnableResponse, error) {
	return change(ctx, a, new(pb.AuthEnableResponse), &pb.InternalRaftRequest{AuthEnable: r})
}

func (a *auth) AuthDisable(ctx context.Context, r *pb.AuthDisableRequest) (*pb.AuthDisableResponse, error) {
	return change(ctx, a, new(pb.AuthDisableResponse), &pb.InternalRaftRequest{AuthDisable: r})
}

func (a *auth) AuthStatus(ctx context.Context, _ *pb.AuthStatusRequest) (*pb.AuthStatusResponse, error) {
	return checked(a.server.AuthStatus(ctx))
}

func (a *auth) Authenticate(ctx context.Context, r *pb.AuthenticateRequest) (*pb.AuthenticateResponse, error) {
	answer, err := a.server.Authenticate(ctx, r)
	return into(new(pb.AuthenticateResponse), answer, err)
}

func (a *auth) UserAdd(ctx context.Context, r *pb.AuthUserAddRequest) (*pb.AuthUserAddResponse, error) {
	answer, err := a.server.UserAdd(ctx, r)
	return into(new(pb.AuthUserAddResponse), answer, err)
}

func (a *auth) UserGet(ctx context.Context, r *pb.AuthUserGetRequest) (*pb.AuthUserGetResponse, error) {
	return checked(a.server.UserGet(ctx, r.Name))
}

func (a *auth) UserList(ctx context.Context, _ *pb.AuthUserListRequest) (*pb.AuthUserListResponse, error) {
	return checked(a.server.UserList(ctx))
}

func (a *auth) UserDelete(ctx context.Context, r *pb.AuthUserDeleteRequest) (*pb.AuthUserDeleteResponse, error) {
	return change(ctx, a, new(pb.AuthUserDeleteResponse), &pb.InternalRaftRequest{AuthUserDelete: r})
}

func (a *auth) UserChangePassword(ctx context.Context, r *pb.AuthUserChangePasswordRequest) (*pb.AuthUserChangePasswordResponse, error) {
	answer, err := a.server.UserChangePassword(ctx, r)
	return into(new(pb.AuthUserChangePasswordResponse), answer, err)
}

func (a *auth) UserGrantRole(ctx context.Context, r *pb.AuthUserGrantRoleRequest) (*pb.AuthUserGrantRoleResponse, error) {
	return change(ctx, a, new(pb.AuthUserGrantRoleResponse), &pb.InternalRaftRequest{AuthUserGrantRole: r})
}

func (a *auth) UserRevokeRole(ctx context.Context, r *pb.AuthUserRevokeRoleRequest) (*pb.AuthUserRevokeRoleResponse, error) {
	return change(ctx, a, new(pb.AuthUserRevokeRoleResponse), &pb.InternalRaftRequest{AuthUserRevokeRole: r})
}

func (a *auth) RoleAdd(ctx context.Context, r *pb.AuthRoleAddRequest) (*pb.AuthRoleAddResponse, error) {
	return change(ctx, a, new(pb.AuthRoleAddResponse), &pb.InternalRaftRequest{AuthRoleAdd: r})
}

func (a *auth) RoleGet(ctx context.Context, r *pb.AuthRoleGetRequest) (*pb.AuthRoleGetResponse, error) {
	return checked(a.server.RoleGet(ctx, r.Role))
}

func (a *auth) RoleList(ctx context.Context, _ *pb.AuthRoleListRequest) (*pb.AuthRoleListResponse, error) {
	return checked(a.server.RoleList(ctx))
}

func (a *auth) RoleDelete(ctx context.Context, r *pb.AuthRoleDeleteRequest) (*pb.AuthRoleDeleteResponse, error) {
	return change(ctx, a, new(pb.AuthRoleDeleteResponse), &pb.InternalRaftRequest{AuthRoleDelete: r})
}

func (a *auth) RoleGrantPermission(ctx context.Context, r *pb.AuthRoleGrantPermissionRequest) (*pb.AuthRoleGrantPermissionResponse, error) {
	return change(ctx, a, new(pb.AuthRoleGrantPermissionResponse), &pb.InternalRaftRequest{AuthRoleGrantPermission: r})
}

func (a *auth) RoleRevokePermission(ctx context.Context, r *pb.AuthRoleRevokePermissionRequest) (*pb.AuthRoleRevokePermissionResponse, error) {
	return change(ctx, a, new(pb.AuthRoleRevokePermissionResponse), &pb.InternalRaftRequest{AuthRoleRevokePermission: r})
}
