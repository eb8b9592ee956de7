package ctl

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"

	"bowline/internal/cli"
)

// compaction is the command compaction.
type compaction struct {
	physical bool
}

func newCompaction(env *Env) *cobra.Command {
	o := &compaction{}
	cmd := &cobra.Command{Use: "compaction [options] <revision>", Short: "Drops the history before a revision", RunE: env.action(o)}
	cmd.Flags().BoolVar(&o.physical, "physical", false, "wait until the old revisions are removed from the store")
	return cmd
}

func (o *compaction) run(ctx context.Context, env *Env, args []string) error {
	if len(args) != 1 {
		return cli.BadArgs("compaction command needs 1 argument")
	}
	rev, err := strconv.ParseInt(args[0], 10, 64)
	if err != nil {
		return err
	}
	s, err := env.connect(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	ctx, cancel := s.limit(ctx)
	defer cancel()
	var opts []clientv3.CompactOption
	if o.physical {
		opts = append(opts, clientv3.WithCompactPhysical())
	}
	if _, err := s.Compact(ctx, rev, opts...); err != nil {
		return err
	}
	return s.PrintText(cli.Text("compacted revision %d", rev))
}
