package ctl

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"bowline/internal/cli"
)

// getOptions is the command get.
type getOptions struct {
	keyRange
	limit       int64
	rev         int64
	keysOnly    bool
	countOnly   bool
	valueOnly   bool
	stream      bool
	order       string
	sortBy      string
	consistency string

	minCreateRev, maxCreateRev int64
	minModRev, maxModRev       int64
}

func newGet(env *Env) *cobra.Command {
	o := &getOptions{}
	cmd := &cobra.Command{
		Use:   "get [options] <key> [range_end]",
		Short: "Gets a key or a range of keys",
		RunE:  env.action(o),
	}
	o.addFlags(cmd.Flags())
	registerCompletion(cmd, "consistency", []string{"l", "s"})
	registerCompletion(cmd, "order", []string{"ASCEND", "DESCEND"})
	registerCompletion(cmd, "sort-by", []string{"CREATE", "KEY", "MODIFY", "VALUE", "VERSION"})
	return cmd
}

func (o *getOptions) addFlags(fs *pflag.FlagSet) {
	o.keyRange.addFlags(fs, "get")
	fs.Int64Var(&o.limit, "limit", 0, "most results to return (0: all)")
	fs.Int64Var(&o.rev, "rev", 0, "revision to read at (0: the latest)")
	fs.BoolVar(&o.keysOnly, "keys-only", false, "get keys without values")
	fs.BoolVar(&o.countOnly, "count-only", false, "get only the number of keys")
	fs.BoolVar(&o.valueOnly, "print-value-only", false, "write values only (simple format)")
	fs.BoolVar(&o.stream, "stream", false, "receive the range as a stream")
	fs.StringVar(&o.order, "order", "", "order of the results: ASCEND or DESCEND")
	fs.StringVar(&o.sortBy, "sort-by", "", "what to sort by: CREATE, KEY, MODIFY, VALUE or VERSION")
	fs.StringVar(&o.consistency, "consistency", "l", "linearizable (l) or serializable (s)")
	fs.Int64Var(&o.minCreateRev, "min-create-rev", 0, "leave out keys created before this revision")
	fs.Int64Var(&o.maxCreateRev, "max-create-rev", 0, "leave out keys created after this revision")
	fs.Int64Var(&o.minModRev, "min-mod-rev", 0, "leave out keys last modified before this revision")
	fs.Int64Var(&o.maxModRev, "max-mod-rev", 0, "leave out keys last modified after this revision")
}

func (o *getOptions) run(ctx context.Context, env *Env, args []string) error {
	key, opts, err := o.request(args)
	if err != nil {
		return err
	}
	s, err := env.connect(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	ctx, cancel := s.limit(ctx)
	defer cancel()
	resp, err := o.get(ctx, s, key, opts)
	if err != nil {
		return err
	}
	if o.countOnly && s.Format != cli.FormatFields {
		return cli.BadArgs("--count-only is only for `--write-out=fields`")
	}
	if o.valueOnly && s.Format != cli.FormatSimple {
		return cli.BadArgs("print-value-only is only for `--write-out=simple`")
	}
	return s.Print(rangeResult((*pb.RangeResponse)(resp), o.valueOnly))
}

func (o *getOptions) get(ctx context.Context, s *session, key string, opts []clientv3.OpOption) (*clientv3.GetResponse, error) {
	if !o.stream {
		return s.Get(ctx, key, opts...)
	}
	stream, err := s.GetStream(ctx, key, opts...)
	if err != nil {
		return nil, err
	}
	return clientv3.GetStreamToGetResponse(stream)
}

// request checks the arguments and returns what to ask the server for.
func (o *getOptions) request(args []string) (string, []clientv3.OpOption, error) {
	if len(args) == 0 {
		return "", nil, cli.BadArgs("get command needs one argument as key and an optional argument as range_end")
	}
	if err := o.keyRange.check(args); err != nil {
		return "", nil, err
	}
	if o.keysOnly && o.countOnly {
		return "", nil, cli.BadArgs("`--keys-only` and `--count-only` cannot be set at the same time, choose one")
	}
	key, opts := o.keyRange.resolve(args)
	switch o.consistency {
	case "s":
		opts = append(opts, clientv3.WithSerializable())
	case "l":
	default:
		return "", nil, cli.Exitf(cli.ExitBadFeature, "unknown consistency flag %q", o.consistency)
	}
	sort, err := o.sort()
	if err != nil {
		return "", nil, err
	}
	revs, err := o.revisionFilters()
	if err != nil {
		return "", nil, err
	}
	opts = append(opts, clientv3.WithLimit(o.limit), sort)
	opts = append(opts, revs...)
	if o.rev > 0 {
		opts = append(opts, clientv3.WithRev(o.rev))
	}
	if o.keysOnly {
		opts = append(opts, clientv3.WithKeysOnly())
	}
	if o.countOnly {
		opts = append(opts, clientv3.WithCountOnly())
	}
	return key, opts, nil
}

// sort combines --order and --sort-by: a target without an order is ascending.
func (o *getOptions) sort() (clientv3.OpOption, error) {
	targets := map[string]clientv3.SortTarget{
		"": clientv3.SortByKey, "KEY": clientv3.SortByKey, "CREATE": clientv3.SortByCreateRevision,
		"MODIFY": clientv3.SortByModRevision, "VALUE": clientv3.SortByValue, "VERSION": clientv3.SortByVersion,
	}
	orders := map[string]clientv3.SortOrder{
		"": clientv3.SortNone, "ASCEND": clientv3.SortAscend, "DESCEND": clientv3.SortDescend,
	}
	order, ok := orders[strings.ToUpper(o.order)]
	if !ok {
		return nil, cli.Exitf(cli.ExitBadFeature, "bad sort order %s", o.order)
	}
	target, ok := targets[strings.ToUpper(o.sortBy)]
	if !ok {
		return nil, cli.Exitf(cli.ExitBadFeature, "bad sort target %s", o.sortBy)
	}
	if o.sortBy != "" && o.order == "" {
		order = clientv3.SortAscend
	}
	return clientv3.WithSort(target, order), nil
}

func (o *getOptions) revisionFilters() ([]clientv3.OpOption, error) {
	if o.maxCreateRev > 0 && o.minCreateRev > o.maxCreateRev {
		return nil, cli.Exitf(cli.ExitBadFeature, "getMinCreateRev(=%v) > getMaxCreateRev(=%v)", o.minCreateRev, o.maxCreateRev)
	}
	if o.maxModRev > 0 && o.minModRev > o.maxModRev {
		return nil, cli.Exitf(cli.ExitBadFeature, "getMinModRev(=%v) > getMaxModRev(=%v)", o.minModRev, o.maxModRev)
	}
	var opts []clientv3.OpOption
	for _, filter := range []struct {
		rev    int64
		option func(int64) clientv3.OpOption
	}{
		{o.minCreateRev, clientv3.WithMinCreateRev}, {o.maxCreateRev, clientv3.WithMaxCreateRev},
		{o.minModRev, clientv3.WithMinModRev}, {o.maxModRev, clientv3.WithMaxModRev},
	} {
		if filter.rev > 0 {
			opts = append(opts, filter.option(filter.rev))
		}
	}
	return opts, nil
}

// rangeResult shows the key-values of a range.
func rangeResult(resp *pb.RangeResponse, valueOnly bool) cli.Result {
	return cli.Result{
		JSON:  resp,
		Proto: resp,
		Simple: func(w *cli.TextWriter) {
			for _, kv := range resp.GetKvs() {
				if !valueOnly {
					w.Bytes(kv.GetKey())
				}
				w.Bytes(kv.GetValue())
			}
		},
		Fields: func(w *cli.FieldWriter) {
			writeHeader(w, resp.GetHeader())
			for _, kv := range resp.GetKvs() {
				writeKV(w, "", kv)
			}
			w.Value("More", resp.GetMore())
			w.Value("Count", resp.GetCount())
		},
	}
}
