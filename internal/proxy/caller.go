package proxy

import (
	"context"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// caller is what a client says of itself with a call. Those who say the same are the same for the cluster.
type caller struct {
	token, authorization string
	// leader demands that the member which serves the call knows a leader.
	leader string
}

const authorizationKey = "authorization"

// callerOf is who makes the call that ctx belongs to.
func callerOf(ctx context.Context) caller {
	md, _ := metadata.FromIncomingContext(ctx)
	first := func(key string) string {
		if values := md.Get(key); len(values) > 0 {
			return values[0]
		}
		return ""
	}
	return caller{first(rpctypes.TokenFieldNameGRPC), first(authorizationKey), first(rpctypes.MetadataRequireLeaderKey)}
}

// nobody tells that the caller has shown nothing that tells who it is.
func (c caller) nobody() bool { return c.token == "" && c.authorization == "" }

// needsLeader tells whether streams are to be cut when there is no leader.
func (c caller) needsLeader() bool { return c.leader == rpctypes.MetadataHasLeader }

// speak is a context for calls on behalf of the caller.
func (c caller) speak(ctx context.Context) context.Context {
	md := metadata.MD{}
	for key, value := range map[string]string{
		rpctypes.TokenFieldNameGRPC: c.token, authorizationKey: c.authorization, rpctypes.MetadataRequireLeaderKey: c.leader,
	} {
		if value != "" {
			md.Set(key, value)
		}
	}
	return metadata.NewOutgoingContext(ctx, md)
}

// onBehalf is ctx, of a call that came in, for calls that go out because of it.
func onBehalf(ctx context.Context) context.Context { return callerOf(ctx).speak(ctx) }

// passing tells whether it is worth to ask the cluster again after this error: what was refused once will be refused
// again, while members that cannot be reached may come back.
func (c caller) passing(err error) bool {
	s, ok := status.FromError(err)
	if !ok {
		return true
	}
	switch s.Code() {
	case codes.Unauthenticated, codes.PermissionDenied, codes.InvalidArgument, codes.FailedPrecondition, codes.Unimplemented:
		return false
	}
	return !c.needsLeader() || s.Message() != rpctypes.ErrorDesc(rpctypes.ErrGRPCNoLeader)
}
