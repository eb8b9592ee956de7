package utl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"bowline/internal/cli"
)

// Env is what a command may touch besides its arguments and files.
type Env struct {
	Out, Err io.Writer

	writeOut string
	// timeout is how long a directory in use is waited for; 0 is for ever.
	timeout time.Duration
}

// OSEnv is the environment of the process.
func OSEnv() *Env { return NewEnv(os.Stdout, os.Stderr) }

// NewEnv is an environment with the defaults of the global flags.
func NewEnv(out, err io.Writer) *Env {
	return &Env{Out: out, Err: err, writeOut: string(cli.FormatSimple), timeout: DefaultTimeout}
}

// Run executes one command line, without the program's name, and returns the exit
// status.
func Run(ctx context.Context, env *Env, args []string) int {
	root := newRoot(env)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	var ran *runError
	switch {
	case err == nil:
		return cli.ExitOK
	case errors.As(err, &ran):
		return cli.Report(env.Err, ran.err)
	}
	// What is wrong with a command line is told twice, as it always was: scripts look
	// at the last line, people at the first.
	fmt.Fprintln(env.Err, "Error:", err)
	if strings.HasPrefix(err.Error(), "unknown command") {
		fmt.Fprintf(env.Err, "Run '%s --help' for usage.\n", cmd.CommandPath())
	} else {
		fmt.Fprintln(env.Err, cmd.UsageString())
	}
	fmt.Fprintln(env.Err, "Error:", err)
	return cli.ExitFailure
}

// runError is an error of a command that was started, as opposed to one in the
// command line.
type runError struct{ err error }

func (e *runError) Error() string { return e.err.Error() }

// action adapts a command to cobra.
func action(run func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := run(cmd.Context(), args); err != nil {
			return &runError{err}
		}
		return nil
	}
}

const (
	// DefaultTimeout is how long a directory in use is waited for.
	DefaultTimeout = 10 * time.Second
	rootUse        = "etcdutl"
)

func newRoot(env *Env) *cobra.Command {
	root := &cobra.Command{
		Use:           rootUse,
		Short:         "Works on backups and on the data directories of stopped members.",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetOut(env.Out)
	root.SetErr(env.Err)
	root.CompletionOptions.DisableDefaultCmd = true
	flags := root.PersistentFlags()
	flags.StringVarP(&env.writeOut, "write-out", "w", "simple", "set the output format (fields, json, protobuf, simple, table)")
	flags.DurationVar(&env.timeout, "timeout", DefaultTimeout, "how long to wait for a directory in use, 0 for ever")
	if err := root.RegisterFlagCompletionFunc("write-out", cobra.FixedCompletions(cli.FormatNames, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag is declared above
	}
	snapshot := &cobra.Command{Use: "snapshot", Short: "Reads and restores snapshots"}
	snapshot.AddCommand(newRestore(env), newStatus(env))
	root.AddCommand(snapshot, newRestoreMoment(env), newBackup(env), newCheck(env), newShow(env), newDefrag(env), newHashKV(env), newMigrate(env), newVersion(env), newCompletion(env))
	return root
}

// printer is the printer that --write-out asks for.
func (env *Env) printer() (*cli.Printer, error) {
	format, err := cli.ParseFormat(env.writeOut)
	if err != nil {
		return nil, err
	}
	return &cli.Printer{Out: env.Out, Format: format}, nil
}

// newLogger writes lines for people.
func newLogger(w io.Writer) *zap.Logger {
	cfg := zap.NewDevelopmentEncoderConfig()
	cfg.EncodeTime = func(t time.Time, enc zapcore.PrimitiveArrayEncoder) {
		enc.AppendString(t.UTC().Format(time.RFC3339))
	}
	cfg.EncodeLevel = zapcore.LowercaseLevelEncoder
	core := zapcore.NewCore(zapcore.NewConsoleEncoder(cfg), zapcore.Lock(zapcore.AddSync(w)), zapcore.InfoLevel)
	return zap.New(core, zap.AddCaller())
}

func init() {
	// cobra keeps this switch in a package variable: "sn st" means "snapshot status".
	cobra.EnablePrefixMatching = true
}
