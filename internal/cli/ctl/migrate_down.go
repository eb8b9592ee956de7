package ctl

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// migrateDown copies keys of API v3 into a tree of API v2.
type migrateDown struct {
	migration
	skipBinary bool

	expiries map[int64]time.Time // of leases
}

const (
	// migrateWorkers write at the same time: API v2 takes one key a request.
	migrateWorkers = 16
	// downPage is how many keys are read at once.
	downPage = 500
)

func newMigrateDown(env *Env) *cobra.Command {
	o := &migrateDown{}
	cmd := &cobra.Command{
		Use:   "v3-to-v2 [options]",
		Short: "Copies keys of API v3 into a tree of API v2",
		Long: `Copies keys of API v3, as of one revision, into a tree of API v2. A key must be a path, and key and value UTF-8 text; another one ends the
copy, unless --skip-binary is given. What hangs on a lease gets the time that the lease has left.

A key that is there with the same value is passed over, so that a copy that was cut short can be begun again; with another value it ends
the copy, unless --overwrite is given.`,
		RunE: env.action(o),
	}
	o.addFlags(cmd)
	fs := cmd.Flags()
	fs.StringVar(&o.prefix, "prefix", "", "copy the keys that begin with this")
	fs.BoolVar(&o.skipBinary, "skip-binary", false, "leave out what API v2 cannot hold: what is no UTF-8 text, and keys that are no paths")
	return cmd
}

func (o *migrateDown) run(ctx context.Context, env *Env, args []string) error {
	if err := o.begin(ctx, env, args); err != nil {
		return err
	}
	o.expiries = make(map[int64]time.Time)
	return o.end(o.copyAll(ctx))
}

// copyAll reads page by page, at one revision.
func (o *migrateDown) copyAll(ctx context.Context) error {
	from, rev := o.prefix, int64(0)
	to := clientv3.GetPrefixRangeEnd(o.prefix)
	if from == "" {
		from = "\x00"
	}
	for {
		page, cancel := o.session.limit(ctx)
		resp, err := o.session.Get(page, from, clientv3.WithRange(to), clientv3.WithLimit(downPage), clientv3.WithRev(rev))
		cancel()
		if err != nil {
			return err
		}
		rev = resp.Header.Revision
		if err := o.page(ctx, resp.Kvs); err != nil {
			return err
		}
		if !resp.More || len(resp.Kvs) == 0 {
			return nil
		}
		from = string(resp.Kvs[len(resp.Kvs)-1].Key) + "\x00"
	}
}

// downKey is a key that is to be written.
type downKey struct {
	key, value string
	expires    time.Time // zero is never
}

// page writes the keys of one page, several at a time.
func (o *migrateDown) page(ctx context.Context, kvs []*mvccpb.KeyValue) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan downKey)
	var workers sync.WaitGroup
	for range migrateWorkers {
		workers.Go(func() {
			for k := range work {
				if err := o.write(ctx, k); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, kv := range kvs {
		if ctx.Err() != nil {
			break
		}
		k, fits, err := o.convert(ctx, kv)
		if err != nil {
			cancel(err)
		} else if fits {
			work <- k
		}
	}
	close(work)
	workers.Wait()
	return context.Cause(ctx)
}

// convert makes a key of API v2 of one of API v3. fits is false if it is left out.
func (o *migrateDown) convert(ctx context.Context, kv *mvccpb.KeyValue) (k downKey, fits bool, err error) {
	k = downKey{key: o.to + strings.TrimPrefix(string(kv.Key), o.prefix), value: string(kv.Value)}
	if !strings.HasPrefix(k.key, "/") {
		k.key = "/" + k.key
	}
	why := ""
	switch {
	case !utf8.ValidString(k.key):
		why = "the key is no UTF-8 text"
	case path.Clean(k.key) != k.key || k.key == "/":
		why = "the key is no path"
	case !utf8.Valid(kv.Value):
		why = "the value is no UTF-8 text"
	}
	if why != "" && !o.skipBinary {
		return k, false, fmt.Errorf("%q cannot be a key of API v2: %s; --skip-binary leaves it out", kv.Key, why)
	}
	if why != "" {
		o.say("%q is left out: %s", kv.Key, why)
		o.count(func(d *migrated) { d.LeftOut++ })
		return k, false, nil
	}
	if kv.Lease != 0 {
		k.expires, err = o.expiry(ctx, kv.Lease)
	}
	if err != nil {
		return k, false, fmt.Errorf("the lease of %q: %w", kv.Key, err)
	}
	if kv.Lease != 0 && !k.expires.After(time.Now()) {
		o.count(func(d *migrated) { d.Expired++ })
		return k, false, nil
	}
	return k, true, nil
}

// expiry is when a lease ends.
func (o *migrateDown) expiry(ctx context.Context, lease int64) (time.Time, error) {
	if at, ok := o.expiries[lease]; ok {
		return at, nil
	}
	ctx, cancel := o.session.limit(ctx)
	defer cancel()
	resp, err := o.session.TimeToLive(ctx, clientv3.LeaseID(lease))
	if err != nil {
		return time.Time{}, err
	}
	at := time.Now().Add(time.Duration(resp.TTL) * time.Second) // -1 if it has ended
	if len(o.expiries) >= maxLeases {
		clear(o.expiries)
	}
	o.expiries[lease] = at
	o.count(func(d *migrated) { d.Leases++ })
	return at, nil
}

// write writes one key, unless it is there.
func (o *migrateDown) write(ctx context.Context, k downKey) error {
	ctx, cancel := o.session.limit(ctx)
	defer cancel()
	form := url.Values{"value": {k.value}, "prevExist": {"false"}}
	if !k.expires.IsZero() {
		form.Set("ttl", strconv.FormatInt(secondsUntil(k.expires), 10))
	}
	var err error
	if o.dryRun {
		err = &oldRefusal{Code: oldExists}
	} else {
		_, err = o.old.ask(ctx, http.MethodPut, k.key, form)
	}
	overwritten := int64(0)
	if refusedWith(err, oldExists) {
		var found *oldNode
		found, err = o.old.get(ctx, k.key)
		switch {
		case refusedWith(err, oldNotFound) && o.dryRun:
			err = nil
		case err == nil && !found.Dir && found.Value == k.value && (found.Expiration != nil) == !k.expires.IsZero():
			o.count(func(d *migrated) { d.There++ })
			return nil
		case err == nil && found.Dir:
			return fmt.Errorf("%q is a directory in API v2, and cannot be a key", k.key)
		case err == nil && !o.overwrite:
			return errThere(k.key)
		case err == nil:
			overwritten++
			if form.Del("prevExist"); !o.dryRun {
				_, err = o.old.ask(ctx, http.MethodPut, k.key, form)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", k.key, err)
	}
	o.count(func(d *migrated) { d.Keys++; d.Overwritten += overwritten })
	return nil
}
