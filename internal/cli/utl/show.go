package utl

import (
	"context"
	"math"

	"github.com/spf13/cobra"

	"bowline/internal/cli"
	"bowline/internal/exchange"
)

func newShow(env *Env) *cobra.Command {
	var walDir string
	var from, to uint64
	cmd := &cobra.Command{
		Use:   "show <data-dir>",
		Short: "Prints the log of a stopped member, one entry a line",
		Long: `Prints the log of a stopped member, of Bowline or of etcd, one entry a line, without values and passwords.

With -w json each line is an object. An entry that was replaced by another leader stands before the one that replaced it.`,
		Args: cobra.ExactArgs(1),
		RunE: action(func(_ context.Context, args []string) error {
			p, err := env.printer()
			if err != nil {
				return err
			}
			r, err := exchange.ShowLog(args[0], walDir, from, to, func(e exchange.ShownEntry) error { return p.Print(entryResult(e)) })
			if err != nil {
				return err
			}
			if p.Format != cli.FormatSimple {
				return nil
			}
			return p.Print(cli.Text("state: term %d, vote %x, committed %d; snapshot mark at entry %d of term %d",
				r.HardState.Term, r.HardState.Vote, r.HardState.Commit, r.Snapshot.Index, r.Snapshot.Term))
		}),
	}
	cmd.Flags().StringVar(&walDir, "wal-dir", "", "directory of the log, if it is not below the data directory")
	cmd.Flags().Uint64Var(&from, "from", 0, "first entry to print")
	cmd.Flags().Uint64Var(&to, "to", math.MaxUint64, "last entry to print")
	return cmd
}

func entryResult(e exchange.ShownEntry) cli.Result {
	return cli.Result{
		Simple: func(w *cli.TextWriter) {
			w.Linef("%d term %d %s, %d bytes: %s", e.Index, e.Term, e.Type, e.Size, e.Text)
		},
		JSON: e,
	}
}
