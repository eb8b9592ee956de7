package ctl

import (
	"context"
	"fmt"

	"bowline/internal/cli"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// etcdVersion is the version of etcd whose client this is compatible with, and
// apiVersion that of the API that it speaks. Scripts compare them.
const (
	etcdVersion = "3.7.1"
	apiVersion  = "3.7"
)

// version is the command version.
type version struct{}

func newVersion(env *Env) *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Shows the version of etcdctl", RunE: env.action(version{})}
}

func (version) run(_ context.Context, env *Env, _ []string) error {
	fmt.Fprintln(env.Out, "etcdctl version:", etcdVersion)
	fmt.Fprintln(env.Out, "API version:", apiVersion)
	return nil
}

// options is the command options.
type options struct{}

func newOptions(env *Env) *cobra.Command {
	return &cobra.Command{Use: "options", Short: "Lists the global command-line options", RunE: env.action(options{})}
}

func (options) run(_ context.Context, env *Env, _ []string) error {
	var g globals
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	g.addFlags(fs)
	fmt.Fprintln(env.Out, "The following options can be passed to any command:")
	fmt.Fprintln(env.Out)
	fmt.Fprint(env.Out, fs.FlagUsages())
	return nil
}

// newCompletion writes the scripts that complete command lines in a shell.
func newCompletion(env *Env) *cobra.Command {
	return &cobra.Command{
		Use:   "completion [bash|zsh|fish|powershell]",
		Short: "Writes a completion script for a shell",
		Long: `Writes a script that completes etcdctl's commands and flags in a shell.

bash:        source <(etcdctl completion bash)
zsh:         etcdctl completion zsh > "${fpath[1]}/_etcdctl"
fish:        etcdctl completion fish | source
powershell:  etcdctl completion powershell | Out-String | Invoke-Expression`,
		DisableFlagsInUseLine: true,
		ValidArgs:             cli.Shells(),
		Args: func(cmd *cobra.Command, args []string) error {
			if err := cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs)(cmd, args); err != nil {
				return &usageError{err}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := cli.WriteCompletion(cmd.Root(), args[0], env.Out); err != nil {
				return &runError{err}
			}
			return nil
		},
	}
}

// newHelp shows the help of a command. An unknown topic is not an error.
func newHelp(env *Env) *cobra.Command {
	return &cobra.Command{
		Use:   "help [command]",
		Short: "Shows the help of a command",
		ValidArgsFunction: func(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
			topic, _, err := cmd.Root().Find(args)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var names []cobra.Completion
			for _, sub := range topic.Commands() {
				if sub.IsAvailableCommand() {
					names = append(names, sub.Name())
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			topic, _, err := cmd.Root().Find(args)
			if topic == nil || err != nil {
				fmt.Fprintf(env.Err, "Unknown help topic %#q\n", args)
				fmt.Fprintln(env.Err, cmd.Root().UsageString())
				return nil
			}
			topic.InitDefaultHelpFlag() // so that the help lists -h as well
			return topic.Help()
		},
	}
}
