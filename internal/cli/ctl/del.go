package ctl

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"bowline/internal/cli"
)

// delOptions is the command del.
type delOptions struct {
	keyRange
	prevKV bool
	ranged bool
}

// rangeWarningDelay is how long one can change one's mind about deleting a
// range without --range.
const rangeWarningDelay = 2 * time.Second

func newDel(env *Env) *cobra.Command {
	o := &delOptions{}
	cmd := &cobra.Command{
		Use:   "del [options] <key> [range_end]",
		Short: "Deletes a key or a range of keys [key, range_end)",
		RunE:  env.action(o),
	}
	o.addFlags(cmd.Flags())
	return cmd
}

func (o *delOptions) addFlags(fs *pflag.FlagSet) {
	o.keyRange.addFlags(fs, "delete")
	fs.BoolVar(&o.prevKV, "prev-kv", false, "return the deleted key-values")
	fs.BoolVar(&o.ranged, "range", false, "delete [key, range_end) without a warning")
}

func (o *delOptions) run(ctx context.Context, env *Env, args []string) error {
	op, err := o.op(ctx, env, args)
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
	resp, err := s.Do(ctx, op)
	if err != nil {
		return err
	}
	return s.Print(delResult((*pb.DeleteRangeResponse)(resp.Del())))
}

// op checks the arguments and returns the operation. A range that was not
// asked for with --range draws a warning and a pause first: a second key given
// by mistake deletes everything between.
func (o *delOptions) op(ctx context.Context, env *Env, args []string) (clientv3.Op, error) {
	if len(args) == 0 || len(args) > 2 {
		return clientv3.Op{}, cli.BadArgs("del command needs one argument as key and an optional argument as range_end")
	}
	if err := o.keyRange.check(args); err != nil {
		return clientv3.Op{}, err
	}
	if len(args) == 2 && !o.ranged {
		fmt.Fprintf(env.Err, "Warning: Keys between %q and %q will be deleted. Please interrupt the command within next 2 seconds to cancel. You can provide `--range` flag to avoid the delay.\n", args[0], args[1])
		select {
		case <-env.After(rangeWarningDelay):
		case <-ctx.Done():
			return clientv3.Op{}, ctx.Err()
		}
	}
	key, opts := o.keyRange.resolve(args)
	if o.prevKV {
		opts = append(opts, clientv3.WithPrevKV())
	}
	return clientv3.OpDelete(key, opts...), nil
}

func delResult(resp *pb.DeleteRangeResponse) cli.Result {
	return cli.Result{
		JSON:  resp,
		Proto: resp,
		Simple: func(w *cli.TextWriter) {
			w.Linef("%d", resp.GetDeleted())
			for _, kv := range resp.GetPrevKvs() {
				textKV(w, kv)
			}
		},
		Fields: func(w *cli.FieldWriter) {
			writeHeader(w, resp.GetHeader())
			w.Value("Deleted", resp.GetDeleted())
			for _, kv := range resp.GetPrevKvs() {
				writeKV(w, "Prev", kv)
			}
		},
	}
}
