package utl

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"bowline/internal/exchange"
)

func newDefrag(env *Env) *cobra.Command {
	var dataDir string
	cmd := &cobra.Command{
		Use:   "defrag",
		Short: "Gives the free space of a stopped member's store back to the file system",
		RunE: action(func(ctx context.Context, _ []string) error {
			began := time.Now()
			if err := exchange.Defragment(ctx, dataDir, env.timeout, zap.NewNop()); err != nil {
				return fmt.Errorf("Failed to defragment etcd data[%s] (%w)", dataDir, err)
			}
			newLogger(env.Err).Info("defragmented", zap.String("data-dir", dataDir), zap.Duration("took", time.Since(began)))
			return nil
		}),
	}
	cmd.Flags().StringVar(&dataDir, "data-dir", "", "data directory of a stopped member")
	require(cmd, "data-dir")
	return cmd
}

// require makes a flag necessary.
func require(cmd *cobra.Command, flags ...string) {
	for _, flag := range flags {
		if err := cmd.MarkFlagRequired(flag); err != nil {
			panic(err) // the flag does not exist: a mistake in the command
		}
	}
}
