package ctl

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"bowline/internal/cli"
)

// moveLeader is the command move-leader.
type moveLeader struct{}

func newMoveLeader(env *Env) *cobra.Command {
	return &cobra.Command{Use: "move-leader <transferee-member-id>", Short: "Makes another member the leader", RunE: env.action(moveLeader{})}
}

func (moveLeader) run(ctx context.Context, env *Env, args []string) error {
	if len(args) != 1 {
		return cli.BadArgs("move-leader command needs 1 argument")
	}
	target, err := strconv.ParseUint(args[0], 16, 64)
	if err != nil {
		return cli.Exit(cli.ExitBadArgs, err)
	}
	s, err := env.connect(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	ctx, cancel := s.limit(ctx)
	defer cancel()

	leader, err := s.findLeader(ctx)
	if err != nil {
		return err
	}
	client, err := s.dialEndpoint(ctx, leader.endpoint)
	if err != nil {
		return err
	}
	defer client.Close()
	resp, err := client.MoveLeader(ctx, target)
	if err != nil {
		return err
	}
	return s.Print(answerWithoutFields((*pb.MoveLeaderResponse)(resp),
		"Leadership transferred from %s to %s", hexID(leader.id), hexID(target)))
}

// candidate is one endpoint's answer to the question whether the leader is there.
type candidate struct {
	endpoint string
	id       uint64
	leads    bool
	err      error
}

// findLeader finds the endpoint of the leader, since only the leader takes the
// request. All are asked at the same time: one that does not answer is heeded only
// if the leader is not among the others.
func (s *session) findLeader(ctx context.Context) (candidate, error) {
	ctx, cancel := context.WithCancel(ctx)
	endpoints := s.Endpoints()
	answers := make(chan candidate)
	for _, ep := range endpoints {
		go func() { answers <- s.askForLeader(ctx, ep) }()
	}
	var leader candidate
	var unreachable error
	for range endpoints {
		switch c := <-answers; {
		case c.leads:
			leader = c
			cancel() // the others need not answer, but are waited for
		case c.err != nil:
			unreachable = c.err
		}
	}
	cancel()
	switch {
	case leader.leads:
		return leader, nil
	case unreachable != nil:
		return leader, unreachable
	}
	return leader, cli.BadArgs("no leader endpoint given at %v", endpoints)
}

func (s *session) askForLeader(ctx context.Context, endpoint string) candidate {
	c := candidate{endpoint: endpoint}
	client, err := s.dialQuietly(ctx, endpoint)
	if err != nil {
		c.err = err
		return c
	}
	defer client.Close()
	status, err := client.Status(ctx, endpoint)
	if err != nil {
		c.err = err
		return c
	}
	c.id = status.Header.GetMemberId()
	c.leads = c.id == status.Leader
	return c
}
