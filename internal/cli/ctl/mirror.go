package ctl

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/mirror"

	"bowline/internal/cli"
)

// makeMirror is the command make-mirror.
type makeMirror struct {
	prefix       string
	rev          int64
	destPrefix   string
	noDestPrefix bool
	maxTxnOps    uint

	destCACert            string
	destCert              string
	destKey               string
	destInsecureTransport bool
	destUser              string
	destPassword          string
}

// mirrorReportInterval is how often the number of mirrored operations is shown.
const mirrorReportInterval = 30 * time.Second

func newMakeMirror(env *Env) *cobra.Command {
	o := &makeMirror{}
	cmd := &cobra.Command{Use: "make-mirror [options] <destination>", Short: "Keeps a copy of the keys in another cluster", RunE: env.action(o)}
	fs := cmd.Flags()
	fs.StringVar(&o.prefix, "prefix", "", "prefix of the keys to mirror")
	fs.Int64Var(&o.rev, "rev", 0, "revision to start at, without a copy of what was there before")
	fs.StringVar(&o.destPrefix, "dest-prefix", "", "prefix that takes the place of --prefix in the destination")
	fs.BoolVar(&o.noDestPrefix, "no-dest-prefix", false, "remove --prefix from the keys in the destination")
	fs.UintVar(&o.maxTxnOps, "max-txn-ops", 128, "most operations in a transaction of changes")
	fs.StringVar(&o.destCACert, "dest-cacert", "", "file of the CA certificates that the destination is verified with")
	fs.StringVar(&o.destCert, "dest-cert", "", "file of the client's certificate for the destination")
	fs.StringVar(&o.destKey, "dest-key", "", "file of the client's private key for the destination")
	fs.BoolVar(&o.destInsecureTransport, "dest-insecure-transport", true, "without certificate flags, do not use TLS with the destination")
	fs.StringVar(&o.destUser, "dest-user", "", "user at the destination, name[:password]; without a password it is asked for")
	fs.StringVar(&o.destPassword, "dest-password", "", "password of --dest-user, which then holds the name only")
	return cmd
}

func (o *makeMirror) run(ctx context.Context, env *Env, args []string) error {
	if len(args) != 1 {
		return cli.BadArgs("make-mirror takes one destination argument")
	}
	if o.destPrefix != "" && o.noDestPrefix {
		return cli.BadArgs("`--dest-prefix` and `--no-dest-prefix` cannot be set at the same time, choose one")
	}
	s, err := env.connect(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	dest, err := o.dialDestination(ctx, s, args[0])
	if err != nil {
		return err
	}
	defer dest.Close()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the report
	c := &copier{source: s.Client, dest: dest, from: o.prefix, to: o.destinationPrefix(), maxTxnOps: int(o.maxTxnOps)}
	go c.report(ctx, s)
	return c.run(ctx, o.rev)
}

func (o *makeMirror) dialDestination(ctx context.Context, s *session, endpoint string) (*clientv3.Client, error) {
	auth := &clientv3.AuthConfig{}
	if o.destUser != "" {
		var err error
		auth.Username, auth.Password, err = s.env.credentials(o.destUser, o.destPassword, "Destination Password: ")
		if err != nil {
			return nil, err
		}
	}
	g := &s.env.globals
	cfg, err := clientv3.NewClientConfig(&clientv3.ConfigSpec{
		Endpoints:        []string{endpoint},
		DialTimeout:      g.dialTimeout,
		KeepAliveTime:    g.keepAliveTime,
		KeepAliveTimeout: g.keepAliveWait,
		Secure: &clientv3.SecureConfig{
			Cert: o.destCert, Key: o.destKey, Cacert: o.destCACert, InsecureTransport: o.destInsecureTransport,
		},
		Auth: auth,
	}, s.cfg.Logger)
	if err != nil {
		return nil, cli.Exit(cli.ExitBadArgs, err)
	}
	cfg.Logger = s.cfg.Logger
	return s.dial(ctx, *cfg)
}

// destinationPrefix is what --prefix becomes in the destination. Without a word
// about it keys keep theirs, except when starting at a revision: etcdctl removes
// the prefix then, and mirrors that were set up so depend on it.
func (o *makeMirror) destinationPrefix() string {
	if o.destPrefix == "" && !o.noDestPrefix && o.rev <= 1 {
		return o.prefix
	}
	return o.destPrefix
}

// copier copies keys from one cluster to another.
type copier struct {
	source, dest *clientv3.Client
	from, to     string // prefixes of the keys here and there
	maxTxnOps    int
	done         atomic.Int64 // operations carried out in the destination
}

// report shows how far we are, now and then.
func (c *copier) report(ctx context.Context, s *session) {
	for {
		select {
		case <-s.env.After(mirrorReportInterval):
			_ = s.PrintText(cli.Text("%d", c.done.Load()))
		case <-ctx.Done():
			return
		}
	}
}

// run copies what there is, unless a revision to start at is given, and then
// every change, until the watch ends.
func (c *copier) run(ctx context.Context, rev int64) error {
	// The syncer's revision is the last one that needs no copying.
	syncer := mirror.NewSyncer(c.source, c.from, max(rev-1, 0))
	if rev <= 1 {
		if err := c.copyAll(ctx, syncer); err != nil {
			return err
		}
	}
	for resp := range syncer.SyncUpdates(ctx) {
		if resp.CompactRevision != 0 {
			return rpctypes.ErrCompacted
		}
		if err := resp.Err(); err != nil {
			return err
		}
		if err := c.apply(ctx, resp.Events); err != nil {
			return err
		}
	}
	return errors.New("the watch on the source ended")
}

func (c *copier) copyAll(ctx context.Context, syncer mirror.Syncer) error {
	pages, failed := syncer.SyncBase(ctx)
	for page := range pages {
		for _, kv := range page.Kvs {
			if _, err := c.dest.Put(ctx, c.rename(kv.Key), string(kv.Value)); err != nil {
				return err
			}
			c.done.Add(1)
		}
	}
	return <-failed
}

// apply repeats events in the destination, those of one revision in one
// transaction as far as its size allows.
func (c *copier) apply(ctx context.Context, events []*clientv3.Event) error {
	var ops []clientv3.Op
	commit := func() error {
		if len(ops) == 0 {
			return nil
		}
		_, err := c.dest.Txn(ctx).Then(ops...).Commit()
		c.done.Add(int64(len(ops)))
		ops = nil
		return err
	}
	var rev int64
	for _, ev := range events {
		if ev.Kv.ModRevision != rev || len(ops) == c.maxTxnOps {
			if err := commit(); err != nil {
				return err
			}
			rev = ev.Kv.ModRevision
		}
		if ev.Type == mvccpb.Event_DELETE {
			ops = append(ops, clientv3.OpDelete(c.rename(ev.Kv.Key)))
		} else {
			ops = append(ops, clientv3.OpPut(c.rename(ev.Kv.Key), string(ev.Kv.Value)))
		}
	}
	return commit()
}

// rename is the key's name in the destination.
func (c *copier) rename(key []byte) string {
	return c.to + strings.TrimPrefix(string(key), c.from)
}
