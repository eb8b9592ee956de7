package rpc

import (
	"context"
	"fmt"

	"bowline/internal/server"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Unbuilt is a call of which this version lacks the capability, or a part of it.
type Unbuilt struct {
	// Method is its full name, like /etcdserverpb.Auth/RoleAdd.
	Method string
	// Answers is what it answers now, "" if it is always refused.
	Answers string
	// WaitsFor is the capability; the refusal names it.
	WaitsFor string
}

// The capabilities that calls wait for.
const (
	accessControl = "access control"
	downgrades    = "lowering the cluster version"
)

// unbuiltCalls is the table of them all. A call without an answer of its own is
// refused by the interceptor; the others refuse by themselves what is left.
var unbuiltCalls = []Unbuilt{
	{"/etcdserverpb.Auth/AuthEnable", "without a user root, that there is none", accessControl},
	{"/etcdserverpb.Auth/AuthDisable", "success, since it is not enabled", accessControl},
	{"/etcdserverpb.Auth/Authenticate", "that authentication is not enabled", accessControl},
	{"/etcdserverpb.Auth/UserGet", "", accessControl},
	{"/etcdserverpb.Auth/UserList", "", accessControl},
	{"/etcdserverpb.Auth/UserDelete", "", accessControl},
	{"/etcdserverpb.Auth/UserChangePassword", "", accessControl},
	{"/etcdserverpb.Auth/UserGrantRole", "", accessControl},
	{"/etcdserverpb.Auth/UserRevokeRole", "", accessControl},
	{"/etcdserverpb.Auth/RoleAdd", "", accessControl},
	{"/etcdserverpb.Auth/RoleGet", "", accessControl},
	{"/etcdserverpb.Auth/RoleList", "", accessControl},
	{"/etcdserverpb.Auth/RoleDelete", "", accessControl},
	{"/etcdserverpb.Auth/RoleGrantPermission", "", accessControl},
	{"/etcdserverpb.Auth/RoleRevokePermission", "", accessControl},
	{"/etcdserverpb.Maintenance/Downgrade", "to validate and cancel; to enable, if the version is wrong", downgrades},
}

// UnbuiltCalls lists the calls that this version cannot carry out, or not wholly.
func UnbuiltCalls() []Unbuilt { return append([]Unbuilt(nil), unbuiltCalls...) }

// refusalOf is what a method is always refused with, nil if it is not.
func refusalOf(method string) error {
	for _, u := range unbuiltCalls {
		if u.Method == method && u.Answers == "" {
			return toStatus(fmt.Errorf("%w: %s", server.ErrUnbuilt, u.WaitsFor))
		}
	}
	return nil
}

func (a *auth) AuthEnable(context.Context, *pb.AuthEnableRequest) (*pb.AuthEnableResponse, error) {
	return checked[*pb.AuthEnableResponse](nil, a.server.AuthEnable())
}

func (a *auth) AuthDisable(context.Context, *pb.AuthDisableRequest) (*pb.AuthDisableResponse, error) {
	return &pb.AuthDisableResponse{Header: a.server.HeaderAt(a.server.Revision())}, nil
}

func (a *auth) Authenticate(context.Context, *pb.AuthenticateRequest) (*pb.AuthenticateResponse, error) {
	return nil, toStatus(server.ErrAuthNotEnabled)
}
