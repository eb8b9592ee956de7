package ctl

import (
	"bufio"
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"bowline/internal/cli"
)

// txnOptions is the command txn.
type txnOptions struct {
	interactive bool
}

func newTxn(env *Env) *cobra.Command {
	o := &txnOptions{}
	cmd := &cobra.Command{
		Use:   "txn [options]",
		Short: "Runs several requests in one transaction",
		Long: `Reads a transaction from standard input and runs it.

It has three sections, each ended by an empty line: comparisons, requests for
the case that all of them hold, and requests for the case that one does not.

mod("key1") > "0"

put key1 "overwrote-key1"

put key1 "created-key1"
put key2 "some extra key"

Comparisons are TARGET("KEY") OP "VALUE", with the targets version, create, mod,
value and lease, and the operators =, !=, < and >. Requests are the commands
get, put and del with their flags.`,
		RunE: env.action(o),
	}
	cmd.Flags().BoolVarP(&o.interactive, "interactive", "i", false, "name each section before reading it")
	return cmd
}

func (o *txnOptions) run(ctx context.Context, env *Env, args []string) error {
	if len(args) != 0 {
		return cli.BadArgs("txn command does not accept argument")
	}
	reader := &txnReader{ctx: ctx, env: env, in: env.stdin()}
	section := func(title string) {
		if o.interactive {
			fmt.Fprintln(env.Out, title)
		}
	}
	section("compares:")
	compares, err := reader.compares()
	if err != nil {
		return err
	}
	section("success requests (get, put, del):")
	success, err := reader.requests()
	if err != nil {
		return err
	}
	section("failure requests (get, put, del):")
	failure, err := reader.requests()
	if err != nil {
		return err
	}

	s, err := env.connect(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	resp, err := s.Txn(ctx).If(compares...).Then(success...).Else(failure...).Commit()
	if err != nil {
		return err
	}
	return s.Print(txnResult((*pb.TxnResponse)(resp)))
}

// txnReader reads the sections of a transaction.
type txnReader struct {
	ctx context.Context
	env *Env
	in  *bufio.Reader
}

// each calls parse for every line up to the empty one that ends the section.
func (r *txnReader) each(parse func(line string) error) error {
	for {
		line, err := readLine(r.in)
		if err != nil {
			return cli.Exit(cli.ExitInvalidInput, err)
		}
		if line == "" {
			return nil
		}
		if err := parse(line); err != nil {
			return err
		}
	}
}

func (r *txnReader) compares() (cmps []clientv3.Cmp, err error) {
	err = r.each(func(line string) error {
		cmp, err := parseCompare(line)
		cmps = append(cmps, cmp)
		return err
	})
	return cmps, err
}

func (r *txnReader) requests() (ops []clientv3.Op, err error) {
	err = r.each(func(line string) error {
		op, err := r.request(line)
		ops = append(ops, op)
		return err
	})
	return ops, err
}

// request reads one get, put or del with the flags of that command.
func (r *txnReader) request(line string) (clientv3.Op, error) {
	words, err := splitLine(line)
	if err != nil {
		return clientv3.Op{}, cli.Exitf(cli.ExitInvalidInput, "invalid txn request: %s (%w)", line, err)
	}
	if len(words) < 2 {
		return clientv3.Op{}, cli.Exitf(cli.ExitInvalidInput, "invalid txn compare request: %s", line)
	}
	switch name, rest := words[0], words[1:]; name {
	case "put":
		o := &putOptions{}
		args, err := r.parseFlags(line, newPut(r.env), o.addFlags, rest)
		if err != nil {
			return clientv3.Op{}, err
		}
		return o.op(args, nil)
	case "get":
		o := &getOptions{}
		args, err := r.parseFlags(line, newGet(r.env), o.addFlags, rest)
		if err != nil {
			return clientv3.Op{}, err
		}
		key, opts, err := o.request(args)
		return clientv3.OpGet(key, opts...), err
	case "del":
		o := &delOptions{}
		args, err := r.parseFlags(line, newDel(r.env), o.addFlags, rest)
		if err != nil {
			return clientv3.Op{}, err
		}
		return o.op(r.ctx, r.env, args)
	}
	return clientv3.Op{}, cli.Exitf(cli.ExitInvalidInput, "invalid txn request: %s", line)
}

// parseFlags parses the words after a request's name; an unknown flag shows
// the usage of the request.
func (r *txnReader) parseFlags(line string, cmd *cobra.Command, addFlags func(*pflag.FlagSet), words []string) ([]string, error) {
	fs := pflag.NewFlagSet(cmd.Name(), pflag.ContinueOnError)
	fs.Usage = func() {}
	addFlags(fs)
	if err := fs.Parse(words); err != nil {
		fmt.Fprintln(r.env.Err, cmd.UsageString())
		return nil, cli.Exit(cli.ExitInvalidInput, errors.New("invalid txn request: "+line))
	}
	return fs.Args(), nil
}

// txnResult shows a transaction's outcome: the branch that was taken, then each
// answer as its own command would show it.
func txnResult(resp *pb.TxnResponse) cli.Result {
	return cli.Result{
		Proto: resp,
		JSON:  newTxnJSON(resp),
		Simple: func(w *cli.TextWriter) {
			if resp.GetSucceeded() {
				w.Linef("SUCCESS")
			} else {
				w.Linef("FAILURE")
			}
			for _, r := range resp.GetResponses() {
				w.Linef("")
				if result := opResult(r); result.Simple != nil {
					result.Simple(w)
				}
			}
		},
		Fields: func(w *cli.FieldWriter) {
			writeHeader(w, resp.GetHeader())
			w.Value("Succeeded", resp.GetSucceeded())
			for _, r := range resp.GetResponses() {
				if result := opResult(r); result.Fields != nil {
					result.Fields(w)
				}
			}
		},
	}
}

// opResult is the result of one operation of a transaction.
func opResult(op *pb.ResponseOp) cli.Result {
	switch r := op.GetResponse().(type) {
	case *pb.ResponseOp_ResponsePut:
		return putResult(r.ResponsePut)
	case *pb.ResponseOp_ResponseRange:
		return rangeResult(r.ResponseRange, false)
	case *pb.ResponseOp_ResponseDeleteRange:
		return delResult(r.ResponseDeleteRange)
	case *pb.ResponseOp_ResponseTxn:
		return txnResult(r.ResponseTxn)
	}
	return cli.Result{}
}

// txnJSON is the JSON form of a transaction's answer. The generated type would
// name the alternatives by their Go names.
type txnJSON struct {
	Header    *pb.ResponseHeader `json:"header,omitempty"`
	Succeeded bool               `json:"succeeded,omitempty"`
	Responses []opJSON           `json:"responses,omitempty"`
}

type opJSON struct {
	Response struct {
		Range       *pb.RangeResponse       `json:"response_range,omitempty"`
		Put         *pb.PutResponse         `json:"response_put,omitempty"`
		DeleteRange *pb.DeleteRangeResponse `json:"response_delete_range,omitempty"`
		Txn         *txnJSON                `json:"response_txn,omitempty"`
	}
}

func newTxnJSON(resp *pb.TxnResponse) *txnJSON {
	if resp == nil {
		return nil
	}
	j := &txnJSON{Header: resp.GetHeader(), Succeeded: resp.GetSucceeded()}
	for _, r := range resp.GetResponses() {
		var op opJSON
		op.Response.Range = r.GetResponseRange()
		op.Response.Put = r.GetResponsePut()
		op.Response.DeleteRange = r.GetResponseDeleteRange()
		op.Response.Txn = newTxnJSON(r.GetResponseTxn())
		j.Responses = append(j.Responses, op)
	}
	return j
}
