package utl

import (
	"context"
	"fmt"

	"bowline/internal/cli"

	"github.com/spf13/cobra"
)

// etcdVersion is the version of etcd whose tool this is compatible with, and
// apiVersion that of the API. Scripts compare them.
const (
	etcdVersion = "3.7.1"
	apiVersion  = "3.7"
)

func newVersion(env *Env) *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Shows the version of etcdutl", RunE: action(func(context.Context, []string) error {
		fmt.Fprintln(env.Out, "etcdutl version:", etcdVersion)
		fmt.Fprintln(env.Out, "API version:", apiVersion)
		return nil
	})}
}

// newCompletion writes the scripts that complete command lines in a shell.
func newCompletion(env *Env) *cobra.Command {
	return &cobra.Command{
		Use:                   "completion [bash|zsh|fish|powershell]",
		Short:                 "Writes a completion script for a shell",
		DisableFlagsInUseLine: true,
		ValidArgs:             cli.Shells(),
		Args:                  cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := cli.WriteCompletion(cmd.Root(), args[0], env.Out); err != nil {
				return &runError{err}
			}
			return nil
		},
	}
}
