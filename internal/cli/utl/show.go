package utl

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"bowline/internal/archive"
	"bowline/internal/cli"
	"bowline/internal/exchange"
)

// show is the command show.
type show struct {
	exchange.Selection
	walDir, key, prefix string
	kinds               []string
}

func newShow(env *Env) *cobra.Command {
	o := &show{}
	cmd := &cobra.Command{
		Use:   "show <data-dir | snapshot | archive>",
		Short: "Prints the records in a stopped member's directory, a snapshot or an archive, one a line",
		Long: `Prints the records in a stopped member's directory, of Bowline or of etcd, in a snapshot file, or in an archive: a directory,
s3://BUCKET/PREFIX, or one piece of it. One record a line; with -w json each line is an object. Passwords and their hashes are left out.

Of a directory the log comes first. An entry that was replaced by another leader stands before the one that replaced it. Of an
archive it is the pieces, all entries in them, and the state in the newest checkpoint.

A filter leaves out all that has nothing which it asks for: --from-rev leaves versions alone, --from entries, --key versions, nodes of
API v2 and the entries that change such a key.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("key") {
				o.Key = []byte(o.key)
			} else if cmd.Flags().Changed("prefix") {
				o.Key, o.Prefix = []byte(o.prefix), true
			}
			return action(func(ctx context.Context, args []string) error { return o.run(ctx, env, args[0]) })(cmd, args)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&o.walDir, "wal-dir", "", "directory of the log, if it is not below the data directory")
	fs.StringSliceVar(&o.kinds, "kind", nil, "kinds of records to print: "+kindNames()+" (default all)")
	fs.StringVar(&o.key, "key", "", "key, or path of API v2, whose records to print")
	fs.StringVar(&o.prefix, "prefix", "", "what the keys, or paths, begin with whose records to print")
	fs.Int64Var(&o.FromRevision, "from-rev", 0, "first revision to print")
	fs.Int64Var(&o.ToRevision, "to-rev", 0, "last revision to print")
	fs.Uint64Var(&o.FromIndex, "from", 0, "first entry to print")
	fs.Uint64Var(&o.ToIndex, "to", 0, "last entry to print")
	fs.Int64Var(&o.Limit, "limit", 0, "how many records to print at most, 0 for all")
	fs.BoolVar(&o.Values, "values", false, "print values, too")
	cmd.MarkFlagsMutuallyExclusive("key", "prefix")
	return cmd
}

func kindNames() string {
	var names []string
	for _, k := range exchange.Kinds() {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}

func (o *show) run(ctx context.Context, env *Env, place string) (err error) {
	p, err := env.printer()
	if err != nil {
		return err
	}
	if p.Format != cli.FormatSimple && p.Format != cli.FormatJSON {
		return cli.Exitf(cli.ExitBadFeature, "%s not supported as output format", p.Format)
	}
	for _, name := range o.kinds {
		if !slices.Contains(exchange.Kinds(), exchange.Kind(name)) {
			return cli.BadArgs("--kind: %q is none of %s", name, kindNames())
		}
		o.Kinds = append(o.Kinds, exchange.Kind(name))
	}
	if min(o.FromRevision, o.ToRevision, o.Limit) < 0 {
		return cli.BadArgs("--from-rev, --to-rev and --limit must not be negative")
	}
	out := lines{w: bufio.NewWriterSize(p.Out, lineBuffer), json: p.Format == cli.FormatJSON}
	s := exchange.NewShower(ctx, o.Selection, out.print)
	info, statErr := os.Stat(place)
	switch {
	case archive.IsPlace(place):
		err = archive.Show(ctx, place, s)
	case statErr != nil:
		err = statErr
	case info.IsDir():
		err = s.Member(place, o.walDir, env.timeout)
	default:
		err = s.Snapshot(place, env.timeout)
	}
	if errors.Is(err, exchange.ErrEnough) {
		err = nil
	}
	if err = errors.Join(err, out.w.Flush()); isClosedPipe(err) {
		return nil
	}
	return err
}

// isClosedPipe tells that nobody reads on.
func isClosedPipe(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe)
}

// lineBuffer is how much waits to be written.
const lineBuffer = 64 << 10

// lines writes a record a line.
type lines struct {
	w    *bufio.Writer
	json bool
}

func (l *lines) print(r exchange.Shown) error {
	if l.json {
		return json.NewEncoder(l.w).Encode(r)
	}
	_, err := l.w.WriteString(r.String() + "\n")
	return err
}
