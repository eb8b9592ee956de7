package ctl

import (
	"context"
	"io"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"bowline/internal/cli"
)

// putOptions is the command put.
type putOptions struct {
	lease       string
	prevKV      bool
	ignoreValue bool
	ignoreLease bool
}

func newPut(env *Env) *cobra.Command {
	o := &putOptions{}
	cmd := &cobra.Command{
		Use:   "put [options] <key> <value> (<value> can also be given from stdin)",
		Short: "Puts a key and its value into the store",
		Long: `Puts a key and its value into the store.

A value that begins with '-' would be taken for a flag; put '--' before it:

$ put <key> -- <value>
$ put -- <key> <value>

Without <value>, and without '--ignore-value', all of standard input is the value:

$ cat file | put <key>`,
		RunE: env.action(o),
	}
	o.addFlags(cmd.Flags())
	return cmd
}

func (o *putOptions) addFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.lease, "lease", "0", "ID of the lease to attach the key to, in hexadecimal")
	fs.BoolVar(&o.prevKV, "prev-kv", false, "return the key-value that was there before")
	fs.BoolVar(&o.ignoreValue, "ignore-value", false, "keep the value that the key has")
	fs.BoolVar(&o.ignoreLease, "ignore-lease", false, "keep the lease that the key has")
}

func (o *putOptions) run(ctx context.Context, env *Env, args []string) error {
	op, err := o.op(args, env.stdin())
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
	return s.Print(putResult((*pb.PutResponse)(resp.Put())))
}

// op checks the arguments and returns the operation. A value that is not among
// them is read from input, if there is one.
func (o *putOptions) op(args []string, input io.Reader) (clientv3.Op, error) {
	usage := cli.BadArgs("put command needs 1 argument and input from stdin or 2 arguments")
	if len(args) == 0 {
		return clientv3.Op{}, usage
	}
	var value string
	switch {
	case o.ignoreValue && len(args) > 1:
		return clientv3.Op{}, cli.BadArgs("put command needs only 1 argument when 'ignore-value' is set")
	case o.ignoreValue:
	case len(args) > 1:
		value = args[1]
	case input == nil:
		return clientv3.Op{}, usage
	default:
		all, err := io.ReadAll(input)
		if err != nil || len(all) == 0 {
			return clientv3.Op{}, usage
		}
		value = string(all)
	}

	lease, err := strconv.ParseInt(o.lease, 16, 64)
	if err != nil {
		return clientv3.Op{}, cli.BadArgs("bad lease ID (%w), expecting ID in Hex", err)
	}
	var opts []clientv3.OpOption
	if lease != 0 {
		opts = append(opts, clientv3.WithLease(clientv3.LeaseID(lease)))
	}
	if o.prevKV {
		opts = append(opts, clientv3.WithPrevKV())
	}
	if o.ignoreValue {
		opts = append(opts, clientv3.WithIgnoreValue())
	}
	if o.ignoreLease {
		opts = append(opts, clientv3.WithIgnoreLease())
	}
	return clientv3.OpPut(args[0], value, opts...), nil
}

func putResult(resp *pb.PutResponse) cli.Result {
	return cli.Result{
		JSON:  resp,
		Proto: resp,
		Simple: func(w *cli.TextWriter) {
			w.Linef("OK")
			if resp.GetPrevKv() != nil {
				textKV(w, resp.PrevKv)
			}
		},
		Fields: func(w *cli.FieldWriter) {
			writeHeader(w, resp.GetHeader())
			if resp.GetPrevKv() != nil {
				writeKV(w, "Prev", resp.PrevKv)
			}
		},
	}
}
