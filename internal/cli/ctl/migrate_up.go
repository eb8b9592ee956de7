package ctl

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"bowline/internal/cli"
)

// migrateUp copies a tree of API v2 into keys of API v3.
type migrateUp struct {
	migration
	hidden []string

	leases leases
	batch  []upKey
	bytes  int
}

// upKey is a key that is to be written.
type upKey struct {
	key, value string
	expires    time.Time // zero is never
}

// A transaction holds so much at most.
const (
	upBatchKeys  = 64
	upBatchBytes = 512 << 10
)

func newMigrateUp(env *Env) *cobra.Command {
	o := &migrateUp{}
	cmd := &cobra.Command{
		Use:   "v2-to-v3 [options]",
		Short: "Copies a tree of API v2 into keys of API v3",
		Long: `Copies a tree of API v2 into keys of API v3. The value of /app/port becomes that of the key /app/port; what expires gets a lease, one for
all that expires in the same second. A file expires with the directory that it is in.

A key that is there with the same value is passed over, so that a copy that was cut short can be begun again; with another value it ends
the copy, unless --overwrite is given. API v2 lists no keys whose names begin with _: those that are to be copied must be named with --hidden.`,
		RunE: env.action(o),
	}
	o.addFlags(cmd)
	fs := cmd.Flags()
	fs.StringVar(&o.prefix, "prefix", "/", "directory, or file, of API v2 to copy")
	fs.StringSliceVar(&o.hidden, "hidden", nil, "hidden files or directories below --prefix to copy, too")
	return cmd
}

func (o *migrateUp) run(ctx context.Context, env *Env, args []string) error {
	for _, h := range o.hidden {
		if d := directory(o.prefix); d != "/" && h != d && !strings.HasPrefix(h, d+"/") {
			return cli.BadArgs("--hidden %s is not below --prefix %s", h, o.prefix)
		}
	}
	if err := o.begin(ctx, env, args); err != nil {
		return err
	}
	return o.end(o.copyAll(ctx))
}

func (o *migrateUp) copyAll(ctx context.Context) error {
	o.leases = leases{o.session.Client, make(map[int64]clientv3.LeaseID)}
	for _, root := range append([]string{o.prefix}, o.hidden...) {
		root = directory(root)
		expires, err := o.inherited(ctx, root)
		if err == nil {
			err = o.walk(ctx, root, expires)
		}
		if err != nil {
			return err
		}
	}
	return o.flush(ctx)
}

// inherited is when the first of the directories above a node expires.
func (o *migrateUp) inherited(ctx context.Context, key string) (expires time.Time, err error) {
	for i := 1; i < len(key); i++ {
		if key[i] != '/' {
			continue
		}
		n, err := o.get(ctx, key[:i])
		if err != nil {
			return expires, err
		}
		expires = earlier(expires, n.Expiration)
	}
	return expires, nil
}

func (o *migrateUp) get(ctx context.Context, key string) (*oldNode, error) {
	ctx, cancel := o.session.limit(ctx)
	defer cancel()
	n, err := o.old.get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return n, nil
}

func earlier(a time.Time, b *time.Time) time.Time {
	if b == nil || b.IsZero() || !a.IsZero() && a.Before(*b) {
		return a
	}
	return *b
}

// walk copies a node and what is below it, one directory in memory for each level.
func (o *migrateUp) walk(ctx context.Context, key string, expires time.Time) error {
	n, err := o.get(ctx, key)
	if refusedWith(err, oldNotFound) && key != directory(o.prefix) {
		o.count(func(d *migrated) { d.Expired++ }) // it was there when its directory was listed
		return nil
	}
	if err != nil {
		return err
	}
	expires = earlier(expires, n.Expiration)
	if !n.Dir {
		return o.add(ctx, n, expires)
	}
	if len(n.Nodes) == 0 && key != "/" {
		o.say("%s is an empty directory", key)
		o.count(func(d *migrated) { d.EmptyDirs++ })
	}
	for _, child := range n.Nodes {
		if child.Dir {
			err = o.walk(ctx, child.Key, expires)
		} else {
			err = o.add(ctx, child, earlier(expires, child.Expiration))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// target is the key that a file becomes.
func (o *migrateUp) target(key string) string {
	return strings.TrimSuffix(o.to, "/") + strings.TrimPrefix(key, strings.TrimSuffix(directory(o.prefix), "/"))
}

// add copies a file, with the next that come.
func (o *migrateUp) add(ctx context.Context, n *oldNode, expires time.Time) error {
	if !expires.IsZero() && !expires.After(time.Now()) {
		o.count(func(d *migrated) { d.Expired++ })
		return nil
	}
	o.batch = append(o.batch, upKey{o.target(n.Key), n.Value, expires})
	o.bytes += len(n.Key) + len(n.Value)
	if len(o.batch) < upBatchKeys && o.bytes < upBatchBytes {
		return nil
	}
	return o.flush(ctx)
}

// flush writes the files that wait, but for those that are there.
func (o *migrateUp) flush(ctx context.Context) error {
	batch := o.batch
	o.batch, o.bytes = nil, 0
	if len(batch) == 0 {
		return nil
	}
	ctx, cancel := o.session.limit(ctx)
	defer cancel()
	var look []clientv3.Op
	for _, k := range batch {
		look = append(look, clientv3.OpGet(k.key))
	}
	resp, err := o.session.Txn(ctx).Then(look...).Commit()
	if err != nil {
		return err
	}
	var done migrated
	var unchanged []clientv3.Cmp
	var puts []clientv3.Op
	for i, k := range batch {
		mod, there, err := o.compare(k, resp.Responses[i].GetResponseRange().Kvs, &done)
		if err != nil {
			return err
		}
		if there {
			continue
		}
		put, err := o.put(ctx, k, &done)
		if err != nil {
			return err
		}
		unchanged = append(unchanged, clientv3.Compare(clientv3.ModRevision(k.key), "=", mod))
		puts = append(puts, put)
	}
	if len(puts) > 0 && !o.dryRun {
		wrote, err := o.session.Txn(ctx).If(unchanged...).Then(puts...).Commit()
		if err != nil {
			return err
		}
		if !wrote.Succeeded {
			return fmt.Errorf("somebody else writes the keys from %q on; begin again", batch[0].key)
		}
	}
	o.count(func(d *migrated) {
		d.Keys += int64(len(puts))
		d.Leases += done.Leases
		d.There += done.There
		d.Overwritten += done.Overwritten
	})
	return nil
}

// compare tells whether a key is there already, and if not, of which revision is what
// is to be replaced.
func (o *migrateUp) compare(k upKey, found []*mvccpb.KeyValue, done *migrated) (mod int64, there bool, err error) {
	if len(found) == 0 {
		return 0, false, nil
	}
	if string(found[0].Value) == k.value && (found[0].Lease != 0) == !k.expires.IsZero() {
		done.There++
		return 0, true, nil
	}
	if !o.overwrite {
		return 0, false, errThere(k.key)
	}
	done.Overwritten++
	return found[0].ModRevision, false, nil
}

// put is the operation that writes a key, with its lease, which a dry run does not grant.
func (o *migrateUp) put(ctx context.Context, k upKey, done *migrated) (clientv3.Op, error) {
	if k.expires.IsZero() {
		return clientv3.OpPut(k.key, k.value), nil
	}
	id, isNew, err := o.leases.at(ctx, k.expires, o.dryRun)
	if isNew {
		done.Leases++
	}
	return clientv3.OpPut(k.key, k.value, clientv3.WithLease(id)), err
}
