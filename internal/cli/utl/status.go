package utl

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"bowline/internal/cli"
	"bowline/internal/exchange"
)

func newStatus(env *Env) *cobra.Command {
	return &cobra.Command{
		Use:   "status <filename>",
		Short: "Verifies a snapshot and tells what is in it",
		RunE: action(func(ctx context.Context, args []string) error {
			return Status(ctx, args, env.timeout, env.printer)
		}),
	}
}

// Status is the command snapshot status of both tools.
func Status(ctx context.Context, args []string, timeout time.Duration, printer func() (*cli.Printer, error)) error {
	if len(args) != 1 {
		return cli.BadArgs("snapshot status requires exactly one argument")
	}
	s, err := exchange.ReadStatus(ctx, args[0], timeout)
	if err != nil {
		return err
	}
	p, err := printer()
	if err != nil {
		return err
	}
	return p.Print(statusResult(s))
}

func statusResult(s exchange.Status) cli.Result {
	row := []string{
		strconv.FormatUint(uint64(s.Hash), 16), strconv.FormatInt(s.Revision, 10), strconv.FormatInt(s.Keys, 10),
		humanize.Bytes(uint64(s.Size)), s.Version,
	}
	return cli.Result{
		Simple: func(w *cli.TextWriter) { w.Linef("%s", strings.Join(row, ", ")) },
		Fields: func(w *cli.FieldWriter) {
			w.Value("Hash", s.Hash)
			w.Value("Revision", s.Revision)
			w.Value("Keys", s.Keys)
			w.Value("Size", s.Size)
			w.Value("Version", s.Version)
		},
		JSON: struct {
			Hash      uint32 `json:"hash"`
			Revision  int64  `json:"revision"`
			TotalKey  int64  `json:"totalKey"`
			TotalSize int64  `json:"totalSize"`
			Version   string `json:"version"`
		}{s.Hash, s.Revision, s.Keys, s.Size, s.Version},
		Table: &cli.Table{Header: []string{"hash", "revision", "total keys", "total size", "version"}, Rows: [][]string{row}},
	}
}
