package proxy

import (
	"bytes"
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// leases is what the proxy itself does of the Lease service.
type leases struct {
	pb.UnimplementedLeaseServer
	keepers *keepers
	client  pb.LeaseClient
	prefix  []byte
}

func (l *leases) LeaseKeepAlive(stream pb.Lease_LeaseKeepAliveServer) error {
	return l.keepers.serve(stream)
}

// LeaseTimeToLive shows, of a lease's keys, those in the namespace. It is passed on where there is none.
func (l *leases) LeaseTimeToLive(ctx context.Context, r *pb.LeaseTimeToLiveRequest) (*pb.LeaseTimeToLiveResponse, error) {
	answer, err := l.client.LeaseTimeToLive(onBehalf(ctx), r)
	if err != nil {
		return nil, err
	}
	var own [][]byte
	for _, key := range answer.Keys {
		if inside, ok := bytes.CutPrefix(key, l.prefix); ok {
			own = append(own, inside)
		}
	}
	answer.Keys = own
	return answer, nil
}
