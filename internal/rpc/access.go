package rpc

import (
	"context"
	"path"
	"strings"

	"bowline/internal/server"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// Access is what a call asks of its caller while access is controlled.
type Access int

const (
	// AccessUnknown is that of a call that stands in no table; nobody may make it.
	AccessUnknown Access = iota
	// AccessOpen asks nothing.
	AccessOpen
	// AccessIdentity asks who it is, whoever it is.
	AccessIdentity
	// AccessAdministrator asks for an administrator.
	AccessAdministrator
	// AccessByRequest depends on the request, and package server decides.
	AccessByRequest
)

// accessOf says for every call what it asks. A call that is missing is refused.
var accessOf = map[string]Access{
	"/grpc.health.v1.Health/Check": AccessOpen,
	"/grpc.health.v1.Health/List":  AccessOpen,
	"/grpc.health.v1.Health/Watch": AccessOpen,

	"/etcdserverpb.KV/Range":       AccessByRequest,
	"/etcdserverpb.KV/RangeStream": AccessByRequest,
	"/etcdserverpb.KV/Put":         AccessByRequest,
	"/etcdserverpb.KV/DeleteRange": AccessByRequest,
	"/etcdserverpb.KV/Txn":         AccessByRequest,
	"/etcdserverpb.KV/Compact":     AccessAdministrator,
	"/etcdserverpb.Watch/Watch":    AccessByRequest,

	"/etcdserverpb.Lease/LeaseGrant":      AccessByRequest,
	"/etcdserverpb.Lease/LeaseRevoke":     AccessByRequest,
	"/etcdserverpb.Lease/LeaseKeepAlive":  AccessByRequest,
	"/etcdserverpb.Lease/LeaseTimeToLive": AccessByRequest,
	"/etcdserverpb.Lease/LeaseLeases":     AccessByRequest,

	"/etcdserverpb.Cluster/MemberAdd":     AccessAdministrator,
	"/etcdserverpb.Cluster/MemberRemove":  AccessAdministrator,
	"/etcdserverpb.Cluster/MemberUpdate":  AccessAdministrator,
	"/etcdserverpb.Cluster/MemberPromote": AccessAdministrator,
	"/etcdserverpb.Cluster/MemberList":    AccessIdentity,

	"/etcdserverpb.Maintenance/Alarm":      AccessByRequest,
	"/etcdserverpb.Maintenance/Status":     AccessIdentity,
	"/etcdserverpb.Maintenance/Defragment": AccessAdministrator,
	"/etcdserverpb.Maintenance/Hash":       AccessAdministrator,
	"/etcdserverpb.Maintenance/HashKV":     AccessAdministrator,
	"/etcdserverpb.Maintenance/Snapshot":   AccessAdministrator,
	"/etcdserverpb.Maintenance/MoveLeader": AccessAdministrator,
	"/etcdserverpb.Maintenance/Downgrade":  AccessAdministrator,

	"/etcdserverpb.Auth/AuthEnable":           AccessAdministrator,
	"/etcdserverpb.Auth/AuthDisable":          AccessAdministrator,
	"/etcdserverpb.Auth/AuthStatus":           AccessOpen,
	"/etcdserverpb.Auth/Authenticate":         AccessOpen,
	"/etcdserverpb.Auth/UserAdd":              AccessAdministrator,
	"/etcdserverpb.Auth/UserGet":              AccessByRequest,
	"/etcdserverpb.Auth/UserList":             AccessAdministrator,
	"/etcdserverpb.Auth/UserDelete":           AccessAdministrator,
	"/etcdserverpb.Auth/UserChangePassword":   AccessAdministrator,
	"/etcdserverpb.Auth/UserGrantRole":        AccessAdministrator,
	"/etcdserverpb.Auth/UserRevokeRole":       AccessAdministrator,
	"/etcdserverpb.Auth/RoleAdd":              AccessAdministrator,
	"/etcdserverpb.Auth/RoleGet":              AccessByRequest,
	"/etcdserverpb.Auth/RoleList":             AccessAdministrator,
	"/etcdserverpb.Auth/RoleDelete":           AccessAdministrator,
	"/etcdserverpb.Auth/RoleGrantPermission":  AccessAdministrator,
	"/etcdserverpb.Auth/RoleRevokePermission": AccessAdministrator,

	// Locks and elections are made of reads, writes and leases, which are judged.
	"/v3lockpb.Lock/Lock":             AccessByRequest,
	"/v3lockpb.Lock/Unlock":           AccessByRequest,
	"/v3electionpb.Election/Campaign": AccessByRequest,
	"/v3electionpb.Election/Leader":   AccessByRequest,
	"/v3electionpb.Election/Observe":  AccessByRequest,
	"/v3electionpb.Election/Proclaim": AccessByRequest,
	"/v3electionpb.Election/Resign":   AccessByRequest,
}

// AccessOf tells what a call asks of its caller.
func AccessOf(method string) Access { return accessOf[method] }

// authorize refuses a call whose caller may not make it, whatever it asks for.
func (m *member) authorize(ctx context.Context, method string, req any) error {
	if m.foreign[strings.TrimPrefix(path.Dir(method), "/")] {
		return nil
	}
	a := accessOf[method]
	if alarm, ok := req.(*pb.AlarmRequest); ok {
		// Everybody may see alarms; to raise and to lift them is for administrators.
		if a = AccessAdministrator; alarm.Action == pb.AlarmRequest_GET {
			a = AccessIdentity
		}
	}
	switch a {
	case AccessOpen, AccessByRequest:
		return nil
	case AccessIdentity:
		return toStatus(m.Server.Identified(ctx))
	}
	return toStatus(m.Server.Administrator(ctx))
}

// keyGateway is the metadata that the JSON gateway adds to what it passes on.
const keyGateway = "grpcgateway-accept"

// Caller returns a function that tells what the caller of a call shows of itself: the
// token in its metadata and, with certificates, the common name of the one that it has
// proved to have on this connection. Names come from nowhere else, whatever headers a
// proxy or a client may send; what comes through the JSON gateway, which has a
// certificate of its own, has no name.
func Caller(certificates bool) func(context.Context) server.Credentials {
	return func(ctx context.Context) (c server.Credentials) {
		token := metadata.ValueFromIncomingContext(ctx, rpctypes.TokenFieldNameGRPC)
		if len(token) == 0 {
			token = metadata.ValueFromIncomingContext(ctx, rpctypes.TokenFieldNameSwagger)
		}
		if len(token) > 0 {
			c.Token, c.HasToken = strings.TrimPrefix(token[0], "Bearer "), true
			return c
		}
		if certificates && len(metadata.ValueFromIncomingContext(ctx, keyGateway)) == 0 {
			c.CommonName = commonName(ctx)
		}
		return c
	}
}

func commonName(ctx context.Context) string {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return ""
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return ""
	}
	for _, chain := range info.State.VerifiedChains {
		if len(chain) > 0 {
			return chain[0].Subject.CommonName
		}
	}
	return ""
}
