package ctl

import (
	"context"

	"github.com/spf13/cobra"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"bowline/internal/cli"
)

func newDowngrade(env *Env) *cobra.Command {
	return newGroup("downgrade", "Downgrade related commands",
		&cobra.Command{Use: "cancel", Short: "Cancels the downgrade under way",
			RunE: env.action(downgradeCancel{})},
		&cobra.Command{Use: "enable <TARGET_VERSION>", Short: "Allows the cluster to be downgraded",
			RunE: env.action(downgradeTo{"enable", clientv3.DowngradeEnable})},
		&cobra.Command{Use: "validate <TARGET_VERSION>", Short: "Checks whether the cluster could be downgraded",
			RunE: env.action(downgradeTo{"validate", clientv3.DowngradeValidate})},
	)
}

// downgradeTo is the commands downgrade validate and downgrade enable.
type downgradeTo struct {
	name   string
	action clientv3.DowngradeAction
}

func (o downgradeTo) run(ctx context.Context, env *Env, args []string) error {
	switch {
	case len(args) == 0:
		return cli.BadArgs("TARGET_VERSION not provided")
	case len(args) > 1:
		return cli.BadArgs("too many arguments")
	case args[0] == "":
		return cli.BadArgs("target version not provided")
	}
	return runDowngrade(ctx, env, o.name, o.action, args[0])
}

// downgradeCancel is the command downgrade cancel.
type downgradeCancel struct{}

func (downgradeCancel) run(ctx context.Context, env *Env, _ []string) error {
	return runDowngrade(ctx, env, "cancel", clientv3.DowngradeCancel, "")
}

func runDowngrade(ctx context.Context, env *Env, name string, action clientv3.DowngradeAction, target string) error {
	s, err := env.connect(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	ctx, cancel := s.limit(ctx)
	defer cancel()
	resp, err := s.Downgrade(ctx, action, target)
	if err != nil {
		return err
	}
	return s.Print(answerWithoutFields((*pb.DowngradeResponse)(resp),
		"Downgrade %s success, cluster version %s", name, resp.Version))
}
