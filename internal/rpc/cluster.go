package rpc

import (
	"context"

	"bowline/internal/server"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// clusterService is the Cluster service.
type clusterService struct {
	pb.UnimplementedClusterServer
	server *server.Server
}

// keyAutoPromote is the metadata key by which a client asks that a learner be
// promoted when it has caught up, and by which this server says that it will be. The
// request itself has no field for it.
const keyAutoPromote = "bowline-auto-promote"

func (c *clusterService) MemberAdd(ctx context.Context, r *pb.MemberAddRequest) (*pb.MemberAddResponse, error) {
	v := metadata.ValueFromIncomingContext(ctx, keyAutoPromote)
	auto := r.IsLearner && len(v) > 0 && v[0] == "1"
	resp, err := c.server.MemberAdd(ctx, server.MemberAddition{PeerURLs: r.PeerURLs, Learner: r.IsLearner, AutoPromote: auto})
	if err == nil && auto {
		if err := grpc.SetHeader(ctx, metadata.Pairs(keyAutoPromote, "1")); err != nil {
			return nil, err
		}
	}
	return checked(resp, err)
}

func (c *clusterService) MemberRemove(ctx context.Context, r *pb.MemberRemoveRequest) (*pb.MemberRemoveResponse, error) {
	return checked(c.server.MemberRemove(ctx, r.ID))
}

func (c *clusterService) MemberUpdate(ctx context.Context, r *pb.MemberUpdateRequest) (*pb.MemberUpdateResponse, error) {
	return checked(c.server.MemberUpdate(ctx, r.ID, r.PeerURLs))
}

func (c *clusterService) MemberPromote(ctx context.Context, r *pb.MemberPromoteRequest) (*pb.MemberPromoteResponse, error) {
	return checked(c.server.MemberPromote(ctx, r.ID))
}

func (c *clusterService) MemberList(ctx context.Context, r *pb.MemberListRequest) (*pb.MemberListResponse, error) {
	return checked(c.server.MemberList(ctx, r.Linearizable))
}
