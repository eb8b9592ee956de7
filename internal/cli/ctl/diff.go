package ctl

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"

	"bowline/internal/cli"
	"bowline/internal/cli/utl"
	"bowline/internal/exchange"
)

// diff is the command diff.
type diff struct {
	keyRange keyRange
	meta     bool
}

func newDiff(env *Env) *cobra.Command {
	o := &diff{}
	cmd := &cobra.Command{
		Use:   "diff [options] <source> <source> [key] [range_end]",
		Short: "Shows which keys differ between two clusters, snapshot files or revisions",
		Long: `Shows which keys differ between two sources, each of which is a snapshot file or a list of endpoints, and may have a
revision behind an @: backup.db, 10.0.0.1:2379@1200.

A line is a key behind -, if it is in the first source alone, + in the second alone, ~ in both with different values. The exit status is
1 if anything differs.`,
		RunE: env.action(o),
	}
	fs := cmd.Flags()
	fs.BoolVar(&o.keyRange.prefix, "prefix", false, "compare the keys that begin with the key")
	fs.BoolVar(&o.keyRange.fromKey, "from-key", false, "compare the keys from the key on")
	fs.BoolVar(&o.meta, "metadata", false, "compare revisions, versions and leases, too")
	return cmd
}

func (o *diff) run(ctx context.Context, env *Env, args []string) error {
	if len(args) < 2 || len(args) > 4 {
		return cli.BadArgs("diff command needs two sources, and an optional key and range_end")
	}
	if err := o.keyRange.check(args[2:]); err != nil {
		return err
	}
	s, err := env.prepare(ctx)
	if err != nil {
		return err
	}
	first, second := diffSource{session: s}, diffSource{session: s}
	for i, side := range []*diffSource{&first, &second} {
		if err := side.open(ctx, args[i], o, args[2:]); err != nil {
			return err
		}
		defer side.close()
	}
	different := false
	for d, err := range compareKeys(first.keys(ctx), second.keys(ctx), o.meta) {
		if err != nil {
			return err
		}
		different = true
		if err := s.Print(d.result()); err != nil {
			return err
		}
	}
	if different {
		return cli.Exit(cli.ExitFailure, nil)
	}
	return nil
}

// diffSource is one side.
type diffSource struct {
	*session
	file     string // or else client is given
	client   *clientv3.Client
	rev      int64
	from, to string // to is \0 for all that follow
	opts     []clientv3.OpOption
}

func (d *diffSource) open(ctx context.Context, source string, o *diff, key []string) (err error) {
	if len(key) > 0 {
		d.from, d.opts = o.keyRange.resolve(key)
	} else {
		d.from, d.opts = "\x00", []clientv3.OpOption{clientv3.WithFromKey()}
	}
	op := clientv3.OpGet(d.from, d.opts...)
	d.from, d.to = string(op.KeyBytes()), string(op.RangeBytes())
	place, rev, found := strings.Cut(source, "@")
	if found {
		if d.rev, err = strconv.ParseInt(rev, 10, 64); err != nil || d.rev <= 0 {
			return cli.BadArgs("%q: what follows @ must be a revision", source)
		}
	}
	if _, err := os.Stat(place); err == nil {
		d.file = place
		return nil
	}
	if !strings.Contains(place, ":") {
		return cli.BadArgs("%q is no file, and no endpoint", place)
	}
	cfg := d.cfg
	cfg.Endpoints = strings.Split(place, ",")
	d.client, err = d.dial(ctx, cfg)
	return err
}

func (d *diffSource) close() {
	if d.client != nil {
		d.client.Close()
	}
}

// keys are the pairs in order.
func (d *diffSource) keys(ctx context.Context) iter.Seq2[*mvccpb.KeyValue, error] {
	if d.file != "" {
		return d.fileKeys(ctx)
	}
	return d.clusterKeys(ctx)
}

var errEnough = errors.New("nobody wants more")

func (d *diffSource) fileKeys(ctx context.Context) iter.Seq2[*mvccpb.KeyValue, error] {
	return func(yield func(*mvccpb.KeyValue, error) bool) {
		err := exchange.EachKeyAt(ctx, d.file, d.rev, utl.DefaultTimeout, func(record []byte) error {
			kv := new(mvccpb.KeyValue)
			if err := proto.Unmarshal(record, kv); err != nil {
				return err
			}
			if key := string(kv.Key); key != d.from && (key < d.from || d.to == "" || d.to != "\x00" && key >= d.to) {
				return nil
			}
			if !yield(kv, nil) {
				return errEnough
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			yield(nil, err)
		}
	}
}

// diffPage is how many keys are asked for at once.
const diffPage = 1000

func (d *diffSource) clusterKeys(ctx context.Context) iter.Seq2[*mvccpb.KeyValue, error] {
	return func(yield func(*mvccpb.KeyValue, error) bool) {
		from, rev := d.from, d.rev
		for {
			opts := []clientv3.OpOption{clientv3.WithLimit(diffPage), clientv3.WithRev(rev)}
			if d.to != "" {
				opts = append(opts, clientv3.WithRange(d.to))
			}
			page, cancel := d.limit(ctx)
			resp, err := d.client.Get(page, from, opts...)
			cancel()
			if err != nil {
				yield(nil, err)
				return
			}
			rev = resp.Header.Revision
			if d.rev != 0 {
				rev = d.rev
			}
			for _, kv := range resp.Kvs {
				if !yield(kv, nil) {
					return
				}
			}
			if !resp.More || len(resp.Kvs) == 0 {
				return
			}
			from = string(resp.Kvs[len(resp.Kvs)-1].Key) + "\x00"
		}
	}
}

// difference is a key in one source alone, or with another value.
type difference struct {
	Change string           `json:"change"`
	First  *mvccpb.KeyValue `json:"first,omitempty"`
	Second *mvccpb.KeyValue `json:"second,omitempty"`
}

// compareKeys walks two ordered lists side by side.
func compareKeys(first, second iter.Seq2[*mvccpb.KeyValue, error], meta bool) iter.Seq2[difference, error] {
	return func(yield func(difference, error) bool) {
		nextA, stopA := iter.Pull2(first)
		defer stopA()
		nextB, stopB := iter.Pull2(second)
		defer stopB()
		a, errA, moreA := nextA()
		b, errB, moreB := nextB()
		for moreA || moreB {
			if err := errors.Join(errA, errB); err != nil {
				yield(difference{}, err)
				return
			}
			order := 0
			switch {
			case !moreB:
				order = -1
			case !moreA:
				order = 1
			default:
				order = bytes.Compare(a.Key, b.Key)
			}
			var d difference
			switch {
			case order < 0:
				d = difference{Change: "removed", First: a}
			case order > 0:
				d = difference{Change: "added", Second: b}
			case !bytes.Equal(a.Value, b.Value) || meta && !proto.Equal(a, b):
				d = difference{Change: "changed", First: a, Second: b}
			}
			if d.Change != "" && !yield(d, nil) {
				return
			}
			if order <= 0 {
				a, errA, moreA = nextA()
			}
			if order >= 0 {
				b, errB, moreB = nextB()
			}
		}
	}
}

func (d *difference) result() cli.Result {
	sign, key := "~ ", []byte(nil)
	switch d.Change {
	case "removed":
		sign, key = "- ", d.First.Key
	case "added":
		sign, key = "+ ", d.Second.Key
	default:
		key = d.First.Key
	}
	return cli.Result{
		Simple: func(w *cli.TextWriter) {
			w.Linef("%s%s", sign, diffKey(key))
		},
		JSON: d,
	}
}

// diffKey is a key on one line: quoted if it would not be one.
func diffKey(key []byte) string {
	if q := strconv.Quote(string(key)); len(q) != len(key)+2 {
		return q
	}
	return string(key)
}
