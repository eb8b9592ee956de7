package utl

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"bowline/internal/cli"
	"bowline/internal/exchange"
	"bowline/internal/mvcc"
)

func newHashKV(env *Env) *cobra.Command {
	var rev int64
	cmd := &cobra.Command{
		Use:   "hashkv <filename>",
		Short: "Computes the hash of the key space in a snapshot, as etcdctl endpoint hashkv does",
		Args:  cobra.ExactArgs(1),
		RunE: action(func(ctx context.Context, args []string) error {
			p, err := env.printer()
			if err != nil {
				return err
			}
			h, err := exchange.ReadHash(ctx, args[0], rev, env.timeout)
			if errors.Is(err, mvcc.ErrFutureRevision) || errors.Is(err, mvcc.ErrCompacted) {
				return errors.New(strings.TrimPrefix(err.Error(), "etcdserver: ")) // no server said so
			}
			if err != nil {
				return err
			}
			return p.Print(hashResult(h))
		}),
	}
	cmd.Flags().Int64Var(&rev, "rev", 0, "revision to hash (default: the latest)")
	return cmd
}

func hashResult(h mvcc.Hash) cli.Result {
	row := []string{strconv.FormatUint(uint64(h.Sum), 10), strconv.FormatInt(h.Revision, 10), strconv.FormatInt(h.Compacted, 10)}
	return cli.Result{
		Simple: func(w *cli.TextWriter) { w.Linef("%s", strings.Join(row, ", ")) },
		Fields: func(w *cli.FieldWriter) {
			w.Value("Hash", h.Sum)
			w.Value("Hash revision", h.Revision)
			w.Value("Compact revision", h.Compacted)
		},
		JSON: struct {
			Hash     uint32 `json:"hash"`
			Revision int64  `json:"hashRevision"`
			Compact  int64  `json:"compactRevision"`
		}{h.Sum, h.Revision, h.Compacted},
		Table: &cli.Table{Header: []string{"hash", "hash revision", "compact revision"}, Rows: [][]string{row}},
	}
}
