package ctl

import (
	"context"
	"errors"
	"fmt"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// condition is how a member looks to a client.
type condition struct {
	member *pb.Member
	// alive says that the member answers, be it with a refusal.
	alive bool
	// err is why the member cannot serve a linearizable read; nil if it can.
	err error
}

// census asks members at the URLs that they have published, all at the same time.
func (s *session) census(ctx context.Context, members []*pb.Member) []condition {
	all := make([]condition, len(members))
	var wg sync.WaitGroup
	for i, m := range members {
		wg.Go(func() { all[i] = s.examine(ctx, m) })
	}
	wg.Wait()
	return all
}

// examine tries a member's URLs until one of them leads to a member that serves.
func (s *session) examine(ctx context.Context, m *pb.Member) condition {
	c := condition{member: m, err: errors.New("it has published no client URL")}
	for _, url := range m.ClientURLs {
		var alive bool
		alive, c.err = s.examineAt(ctx, url, m.ID)
		c.alive = c.alive || alive
		if c.err == nil {
			break
		}
	}
	return c
}

func (s *session) examineAt(ctx context.Context, url string, id uint64) (alive bool, err error) {
	client, err := s.dialQuietly(ctx, url)
	if err != nil {
		return answered(err), err
	}
	defer client.Close()
	ctx, cancel := s.limit(ctx)
	defer cancel()
	st, err := client.Status(ctx, url)
	if err != nil {
		return answered(err), err
	}
	if at := st.Header.GetMemberId(); at != id {
		return false, fmt.Errorf("at %s is another member, %s", url, hexID(at))
	}
	return true, readThrough(ctx, client)
}

// readThrough reads through consensus. That the key may not be read is as good
// an answer as any.
func readThrough(ctx context.Context, client *clientv3.Client) error {
	_, err := client.Get(ctx, "health")
	if errors.Is(err, rpctypes.ErrPermissionDenied) {
		return nil
	}
	return err
}

// answered tells whether an error is what a server has said, and not its silence.
func answered(err error) bool {
	if errors.As(err, new(rpctypes.EtcdError)) {
		return true
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return false
	}
	var said interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &said) {
		return false
	}
	switch said.GRPCStatus().Code() {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return false
	}
	return true
}
