package ctl

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"bowline/internal/cli"
)

// defrag is the command defrag.
type defrag struct {
	endpointSet
}

func newDefrag(env *Env) *cobra.Command {
	o := &defrag{}
	cmd := &cobra.Command{Use: "defrag", Short: "Gives the free space of the members' stores back to the file system", RunE: env.action(o)}
	cmd.Flags().BoolVar(&o.cluster, "cluster", false, clusterFlagHelp)
	return cmd
}

func (o *defrag) run(ctx context.Context, env *Env, _ []string) error {
	s, err := env.prepare(ctx)
	if err != nil {
		return err
	}
	endpoints, err := o.list(ctx, s)
	if err != nil {
		return err
	}
	failed := false
	for _, ep := range endpoints {
		start := time.Now()
		err := s.defragment(ctx, ep)
		took := time.Since(start)
		if err != nil {
			failed = true
			fmt.Fprintf(env.Err, "Failed to defragment etcd member[%s]. took %s. (%v)\n", ep, took, err)
			continue
		}
		if err := s.PrintText(cli.Text("Finished defragmenting etcd member[%s]. took %s", ep, took)); err != nil {
			return err
		}
	}
	if failed {
		return cli.Exit(cli.ExitFailure, nil)
	}
	return nil
}

// defragment asks one member to defragment, within the deadline of a short
// command.
func (s *session) defragment(ctx context.Context, endpoint string) error {
	client, err := s.dialEndpoint(ctx, endpoint)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := s.limit(ctx)
	defer cancel()
	_, err = client.Defragment(ctx, endpoint)
	return err
}
