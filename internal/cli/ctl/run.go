package ctl

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"bowline/internal/cli"
)

// v2Commands are the commands that only API v2 has.
var v2Commands = []string{
	"backup", "cluster-health", "exec-watch", "import", "ls", "mk", "mkdir",
	"rm", "rmdir", "set", "setdir", "update", "updatedir",
}

// Run executes one command line of API v3, without the program's name, and returns
// the exit status. ETCDCTL_API=2 is package ctlv2's.
func Run(ctx context.Context, env *Env, args []string) int {
	switch api := env.getenv("ETCDCTL_API"); api {
	case "", "3":
	default:
		fmt.Fprintln(env.Err, "unsupported API version", api)
		return cli.ExitFailure
	}

	root := newRoot(env)
	root.SetArgs(args)
	if len(args) > 0 && strings.HasPrefix(args[0], cobra.ShellCompRequestCmd) {
		// The shell completes global flags, although help texts do not show them.
		root.PersistentFlags().VisitAll(func(f *pflag.Flag) { f.Hidden = false })
	}
	if _, _, err := root.Find(args); err != nil {
		if name := firstArgument(args); slices.Contains(v2Commands, name) {
			return cli.Report(env.Err, fmt.Errorf("%q is a command of API v2: run it with ETCDCTL_API=2", name))
		}
	}
	cmd, err := root.ExecuteContextC(ctx)
	return env.report(cmd, err)
}

// report ends a run: errors of a command are one line, errors in the command
// line come with the usage of the command that was meant.
func (env *Env) report(cmd *cobra.Command, err error) int {
	var ran *runError
	var usage *usageError
	switch {
	case err == nil:
		return cli.ExitOK
	case errors.As(err, &ran):
		return cli.Report(env.Err, ran.err)
	case errors.As(err, &usage):
		fmt.Fprintln(env.Err, "Error:", err)
		fmt.Fprintln(env.Err, cmd.UsageString())
	default:
		fmt.Fprintln(env.Err, "Error:", err)
		fmt.Fprintf(env.Err, "Run '%s --help' for usage.\n", cmd.CommandPath())
	}
	return cli.ExitFailure
}

// runError is an error of a command that was started, as opposed to one in
// the command line.
type runError struct{ err error }

func (e *runError) Error() string { return e.err.Error() }

// usageError is a command line that the parser refused.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }

// firstArgument returns the first word of the command line that is neither a
// global flag nor the value of one: the command's name.
func firstArgument(args []string) string {
	var g globals
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	g.addFlags(fs)
	fs.SetInterspersed(false)
	if fs.Parse(args) != nil {
		return ""
	}
	return fs.Arg(0)
}

// command is the behaviour of one command; its options are its fields.
type command interface {
	run(ctx context.Context, env *Env, args []string) error
}

// action adapts a command to cobra.
func (env *Env) action(c command) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		env.flags = cmd.InheritedFlags()
		if err := c.run(cmd.Context(), env, args); err != nil {
			return &runError{err}
		}
		return nil
	}
}

// The groups of the root's help.
const (
	groupKV      = "kv"
	groupCluster = "cluster"
	groupConc    = "concurrency"
	groupAuth    = "auth"
	groupUtil    = "utility"
)

func newRoot(env *Env) *cobra.Command {
	root := &cobra.Command{
		Use:           "etcdctl",
		Short:         "A command line client for etcd, API v3.",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetIn(env.In)
	root.SetOut(env.Out)
	root.SetErr(env.Err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	env.globals.addFlags(root.PersistentFlags())
	// Declared now, or "-h get" would take get for the value of -h.
	root.InitDefaultHelpFlag()
	hideFlags(root.Flags())
	hideFlags(root.PersistentFlags())
	registerCompletion(root, "write-out", cli.FormatNames)

	root.AddGroup(
		&cobra.Group{ID: groupKV, Title: "Key-value commands"},
		&cobra.Group{ID: groupCluster, Title: "Cluster maintenance commands"},
		&cobra.Group{ID: groupConc, Title: "Concurrency commands"},
		&cobra.Group{ID: groupAuth, Title: "Authentication commands"},
		&cobra.Group{ID: groupUtil, Title: "Utility commands"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add(groupKV, newCompaction(env), newDel(env), newGet(env), newLease(env), newPut(env), newTxn(env), newWatch(env))
	add(groupCluster, newAlarm(env), newDefrag(env), newDowngrade(env), newEndpoint(env), newMember(env), newMoveLeader(env), newSnapshot(env))
	add(groupConc, newElect(env), newLock(env))
	add(groupAuth, newAuth(env), newRole(env), newUser(env))
	add(groupUtil, newCheck(env), newCompletion(env), newDiff(env), newMakeMirror(env), newMigrate(env), newOptions(env), newVersion(env))
	help := newHelp(env)
	help.GroupID = groupUtil
	root.SetHelpCommand(help)

	root.SetHelpTemplate(root.HelpTemplate() + `Use "etcdctl options" for a list of global command-line options (applies to all commands).
`)
	return root
}

// hideFlags keeps flags out of help texts; the command "options" lists the
// global ones.
func hideFlags(fs *pflag.FlagSet) {
	fs.VisitAll(func(f *pflag.Flag) { f.Hidden = true })
}

// registerCompletion offers the values of a flag to the shell.
func registerCompletion(cmd *cobra.Command, flag string, values []string) {
	err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic(err) // the flag does not exist: a mistake in the table of commands
	}
}

// newGroup is a command that only holds others. Called without one of them it
// shows its help and succeeds.
func newGroup(use, short string, commands ...*cobra.Command) *cobra.Command {
	group := &cobra.Command{Use: use, Short: short}
	group.AddCommand(commands...)
	return group
}

func init() {
	// cobra keeps this switch in a package variable: "mem l" means "member list".
	cobra.EnablePrefixMatching = true
}
