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

	// Only the leader takes the request, so it has to be found first. That an
	// endpoint is down matters only if the leader is not among the others.
	var unreachable error
	for _, ep := range s.Endpoints() {
		client, err := s.dialEndpoint(ctx, ep)
		if err != nil {
			return err
		}
		defer client.Close()
		status, err := client.Status(ctx, ep)
		if err != nil {
			unreachable = err
			continue
		}
		leader := status.Header.GetMemberId()
		if leader != status.Leader {
			continue
		}
		resp, err := client.MoveLeader(ctx, target)
		if err != nil {
			return err
		}
		return s.Print(answerWithoutFields((*pb.MoveLeaderResponse)(resp),
			"Leadership transferred from %s to %s", hexID(leader), hexID(target)))
	}
	if unreachable != nil {
		return unreachable
	}
	return cli.BadArgs("no leader endpoint given at %v", s.Endpoints())
}
