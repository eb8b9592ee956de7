package utl

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"bowline/internal/cli"
	"bowline/internal/exchange"
)

func newCheck(env *Env) *cobra.Command {
	var walDir string
	cmd := &cobra.Command{
		Use:   "check <data-dir>",
		Short: "Looks for damage in the log and the store of a stopped member",
		Long: `Looks for damage in the log and the store of a stopped member, of Bowline or of etcd, and tells what is wrong and where.

It exits with 1 if anything is. The directory is left as it is, but for what a start would tidy up.`,
		Args: cobra.ExactArgs(1),
		RunE: action(func(ctx context.Context, args []string) error {
			p, err := env.printer()
			if err != nil {
				return err
			}
			r, err := exchange.Check(ctx, args[0], walDir, env.timeout)
			if err != nil {
				return err
			}
			if err := p.Print(reportResult(&r)); err != nil {
				return err
			}
			if n := len(r.Problems); n > 0 {
				return fmt.Errorf("%d problems found", n)
			}
			return nil
		}),
	}
	cmd.Flags().StringVar(&walDir, "wal-dir", "", "directory of the log, if it is not below the data directory")
	return cmd
}

func reportResult(r *exchange.Report) cli.Result {
	kind, state := "Bowline", &r.State
	if r.Etcd {
		kind = "etcd"
	}
	problems := make([]string, len(r.Problems))
	for i, err := range r.Problems {
		problems[i] = err.Error()
	}
	torn := ""
	if fix := r.Log.Repaired; fix != nil {
		torn = fmt.Sprintf("%s at offset %d: %s", fix.File, fix.Offset, fix.Reason)
	}
	return cli.Result{
		Simple: func(w *cli.TextWriter) {
			w.Linef("directory of %s, member %x of cluster %x", kind, r.Log.Metadata.NodeID, r.Log.Metadata.ClusterID)
			w.Linef("log: entries %d to %d, term %d, committed %d", r.Log.FirstIndex, r.Log.LastIndex, r.Log.HardState.Term, r.Log.HardState.Commit)
			if torn != "" {
				w.Linef("log: an unfinished write at its end, which a start cuts off: %s", torn)
			}
			w.Linef("store: entry %d applied, revision %d, compacted %d, %d keys, %d leases, %d members, cluster version %s",
				state.Applied.Index, state.Revision, state.Compacted, state.Keys, state.Leases, state.Members, state.ClusterVersion)
			for _, problem := range problems {
				w.Linef("problem: %s", problem)
			}
			if len(problems) == 0 {
				w.Linef("no problems found")
			}
		},
		JSON: map[string]any{
			"kind": kind, "memberID": r.Log.Metadata.NodeID, "clusterID": r.Log.Metadata.ClusterID,
			"firstIndex": r.Log.FirstIndex, "lastIndex": r.Log.LastIndex, "term": r.Log.HardState.Term, "commit": r.Log.HardState.Commit, "torn": torn,
			"applied": state.Applied.Index, "revision": state.Revision, "compactRevision": state.Compacted, "keys": state.Keys,
			"leases": state.Leases, "members": state.Members, "clusterVersion": state.ClusterVersion, "problems": problems,
		},
	}
}
