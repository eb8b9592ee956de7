package ctl

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"go.uber.org/zap/zapcore"

	"bowline/internal/cli"
	"bowline/internal/cli/utl"
)

// What is done with a snapshot without a server is etcdutl's. etcdctl could do it
// before there was an etcdutl, and that is how runbooks have it.

// snapshotRestore is the command snapshot restore.
type snapshotRestore struct{ utl.Restore }

func newSnapshotRestore(env *Env) *cobra.Command {
	o := &snapshotRestore{}
	cmd := &cobra.Command{
		Use:   utl.RestoreUse,
		Short: "Makes the data directory of a new cluster's member of a snapshot",
		RunE:  env.action(o),
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

func (o *snapshotRestore) run(ctx context.Context, env *Env, args []string) error {
	if err := env.deprecated("restore"); err != nil {
		return err
	}
	return o.Run(ctx, utl.NewEnv(env.Out, env.Err), args)
}

// snapshotStatus is the command snapshot status.
type snapshotStatus struct{}

func newSnapshotStatus(env *Env) *cobra.Command {
	return &cobra.Command{
		Use:   "status <filename>",
		Short: "Verifies a snapshot and tells what is in it",
		RunE:  env.action(snapshotStatus{}),
	}
}

func (snapshotStatus) run(ctx context.Context, env *Env, args []string) error {
	if err := env.deprecated("status"); err != nil {
		return err
	}
	return utl.Status(ctx, args, utl.DefaultTimeout, func() (*cli.Printer, error) {
		format, err := cli.ParseFormat(env.globals.writeOut)
		return &cli.Printer{Out: env.Out, Format: format}, err
	})
}

// deprecated tells of the command's new place, as etcdctl 3.5 does, and applies the
// environment.
func (env *Env) deprecated(command string) error {
	fmt.Fprintf(env.Err, "Deprecated: Use `etcdutl snapshot %s` instead.\n\n", command)
	return env.applyEnvironment(newLogger(env.Err, zapcore.WarnLevel))
}
