package testkit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

// Leader waits until a majority of the voters name the same leader in the same
// term, and that one answers.
func (c *Cluster) Leader(ctx context.Context) (*Server, error) {
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	for {
		if leader := c.leader(ctx); leader != nil {
			return leader, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("no leader that a majority knows: %w\n%s", ctx.Err(), c.Logs(3))
		case <-poll.C:
		}
	}
}

func (c *Cluster) leader(ctx context.Context) *Server {
	type reign struct{ leader, term uint64 }
	supporters := map[reign]int{}
	byID := map[uint64]*Server{}
	voters := len(c.Members)
	asked, answers := c.statuses(ctx)
	for i, status := range answers {
		switch {
		case status == nil:
		case status.IsLearner:
			voters--
		default:
			byID[status.Header.MemberId] = asked[i]
			supporters[reign{status.Leader, status.RaftTerm}]++
		}
	}
	for r, n := range supporters {
		if n > voters/2 && byID[r.leader] != nil {
			return byID[r.leader]
		}
	}
	return nil
}

// SameHashes compares the whole history of all voters that run, at one revision
// that each of them has reached. It waits while they cannot be compared, since
// one does not answer or has not carried out a compaction that another has; that
// they differ is told at once.
func (c *Cluster) SameHashes(ctx context.Context) error {
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	for {
		equal, err := c.compareHashes(ctx)
		if equal || errors.As(err, new(*Difference)) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("hashes cannot be compared: %w", errors.Join(ctx.Err(), err))
		case <-poll.C:
		}
	}
}

// Difference says that two members hold different histories.
type Difference struct {
	Members  [2]string
	Hashes   [2]uint32
	Revision int64
}

// Error implements error.
func (d *Difference) Error() string {
	return fmt.Sprintf("at revision %d the hash of %s is %08x, that of %s %08x",
		d.Revision, d.Members[0], d.Hashes[0], d.Members[1], d.Hashes[1])
}

func (c *Cluster) compareHashes(ctx context.Context) (equal bool, err error) {
	voters, revision, err := c.reached(ctx)
	if err != nil {
		return false, err
	}
	var first *etcdserverpb.HashKVResponse
	for _, m := range voters {
		hash, err := m.hash(ctx, revision)
		switch {
		case err != nil:
			return false, fmt.Errorf("%s: %w", m.Name, err)
		case first == nil:
			first = hash
		case hash.CompactRevision != first.CompactRevision:
			return false, fmt.Errorf("%s is compacted at %d, %s at %d",
				voters[0].Name, first.CompactRevision, m.Name, hash.CompactRevision)
		case hash.Hash != first.Hash:
			return false, &Difference{[2]string{voters[0].Name, m.Name}, [2]uint32{first.Hash, hash.Hash}, revision}
		}
	}
	return true, nil
}

// reached lists the voters that run and the newest revision that all of them
// have: a linearizable read tells for each what it has applied at least.
func (c *Cluster) reached(ctx context.Context) (voters []*Server, revision int64, err error) {
	asked, answers := c.statuses(ctx)
	for i, status := range answers {
		if status == nil {
			return nil, 0, fmt.Errorf("%s does not tell its status", asked[i].Name)
		}
		if status.IsLearner {
			continue
		}
		read, err := asked[i].read(ctx)
		if err != nil {
			return nil, 0, fmt.Errorf("%s: %w", asked[i].Name, err)
		}
		voters = append(voters, asked[i])
		if revision == 0 || read < revision {
			revision = read
		}
	}
	if len(voters) == 0 {
		return nil, 0, errors.New("no voter runs")
	}
	return voters, revision, nil
}

// read makes a linearizable read and returns the revision at which it was made.
func (s *Server) read(ctx context.Context) (revision int64, err error) {
	err = s.call(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
		resp, err := etcdserverpb.NewKVClient(conn).Range(ctx, &etcdserverpb.RangeRequest{Key: []byte{0}})
		revision = resp.GetHeader().GetRevision()
		return err
	})
	return revision, err
}

func (s *Server) hash(ctx context.Context, revision int64) (hash *etcdserverpb.HashKVResponse, err error) {
	err = s.call(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
		hash, err = etcdserverpb.NewMaintenanceClient(conn).HashKV(ctx, &etcdserverpb.HashKVRequest{Revision: revision})
		return err
	})
	return hash, err
}
