package compat

import (
	"fmt"
	"path/filepath"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
	"go.etcd.io/etcd/client/v3/leasing"
	"go.etcd.io/etcd/client/v3/mirror"
	"go.etcd.io/etcd/client/v3/namespace"
	"go.etcd.io/etcd/client/v3/naming/endpoints"
	"go.etcd.io/etcd/client/v3/ordering"
	"go.etcd.io/etcd/client/v3/snapshot"
	"go.uber.org/zap"
)

// TestLeasing lets two clients cache the same keys: a write through one must be
// seen through the other at once.
func TestLeasing(t *testing.T) {
	s := startServer(t)
	ctx := limited(t)
	var caches [2]clientv3.KV
	for i := range caches {
		kv, closeKV, err := leasing.NewKV(newClient(t, s), "leasing/")
		must(t, err)
		defer closeKV()
		caches[i] = kv
	}
	put(t, ctx, newClient(t, s), "a", "0")
	for i := range 6 {
		writer, reader := caches[i%2], caches[(i+1)%2]
		get(t, ctx, reader, "a") // the reader owns the key now
		want := fmt.Sprint(i + 1)
		put(t, ctx, writer, "a", want)
		for _, kv := range caches {
			if got := get(t, ctx, kv, "a"); got != want {
				t.Errorf("after %d writes: %q, want %q", i+1, got, want)
			}
		}
	}
	r, err := caches[0].Txn(ctx).If(clientv3.Compare(clientv3.Value("a"), "=", "6")).
		Then(clientv3.OpDelete("a"), clientv3.OpPut("b", "new")).Commit()
	must(t, err)
	if got := get(t, ctx, caches[1], "a"); !r.Succeeded || got != "" {
		t.Errorf("the transaction succeeded: %v; then a is %q", r.Succeeded, got)
	}
	if _, err := caches[1].Delete(ctx, "b"); err != nil || get(t, ctx, caches[0], "b") != "" {
		t.Errorf("b is still there (%v)", err)
	}
}

func TestNamespace(t *testing.T) {
	c, ctx := start(t)
	kv, watcher, lease := namespace.NewKV(c, "app/"), namespace.NewWatcher(c, "app/"), namespace.NewLease(c, "app/")
	granted, err := lease.Grant(ctx, 30)
	must(t, err)
	rev := put(t, ctx, kv, "a", "1", clientv3.WithLease(granted.ID))
	put(t, ctx, c, "a", "outside")
	if got := get(t, ctx, c, "app/a"); got != "1" {
		t.Errorf("outside it is %q", got)
	}
	if got := briefly(events(t, ctx, watcher.Watch(ctx, "", clientv3.WithPrefix(), clientv3.WithRev(rev)), 1)); got != "PUT a=1@2" {
		t.Error(got)
	}
	left, err := lease.TimeToLive(ctx, granted.ID, clientv3.WithAttachedKeys())
	must(t, err)
	if len(left.Keys) != 1 || string(left.Keys[0]) != "a" {
		t.Errorf("the lease has %s", left.Keys)
	}
	r, err := kv.Txn(ctx).If(clientv3.Compare(clientv3.Version("a"), "=", 1)).
		Then(clientv3.OpGet("", clientv3.WithPrefix()), clientv3.OpDelete("", clientv3.WithPrefix())).Commit()
	must(t, err)
	if !r.Succeeded || len(r.Responses[0].GetResponseRange().Kvs) != 1 || r.Responses[1].GetResponseDeleteRange().Deleted != 1 {
		t.Errorf("the transaction says %v", r)
	}
	if got := get(t, ctx, c, "a"); got != "outside" {
		t.Errorf("the key outside is %q", got)
	}
}

func TestMirror(t *testing.T) {
	c, ctx := start(t)
	const keys = 2500 // the syncer's pages have 1000
	for base := 0; base < keys; base += 125 {
		var ops []clientv3.Op
		for i := base; i < base+125; i++ {
			ops = append(ops, clientv3.OpPut(fmt.Sprintf("m/%04d", i), "v"))
		}
		_, err := c.Txn(ctx).Then(ops...).Commit()
		must(t, err)
	}
	put(t, ctx, c, "other", "x")
	syncer := mirror.NewSyncer(c, "m/", 0)
	pages, errs := syncer.SyncBase(ctx)
	seen := 0
	for page := range pages {
		for _, kv := range page.Kvs {
			if want := fmt.Sprintf("m/%04d", seen); string(kv.Key) != want {
				t.Fatalf("key %d is %s", seen, kv.Key)
			}
			seen++
		}
	}
	if err := <-errs; err != nil || seen != keys {
		t.Errorf("%d keys came, %v", seen, err)
	}
	updates := syncer.SyncUpdates(ctx)
	put(t, ctx, c, "m/new", "1")
	_, err := c.Delete(ctx, "m/0000")
	must(t, err)
	if got := briefly(events(t, ctx, updates, 2)); got != "PUT m/new=1@23 DELETE m/0000=@24" {
		t.Error(got)
	}
}

func TestOrdering(t *testing.T) {
	c, ctx := start(t)
	kv := ordering.NewKV(c, ordering.NewOrderViolationSwitchEndpointClosure(c))
	for i := range 5 {
		put(t, ctx, c, "a", fmt.Sprint(i))
		r, err := kv.Get(ctx, "a", clientv3.WithSerializable())
		must(t, err)
		if string(r.Kvs[0].Value) != fmt.Sprint(i) {
			t.Errorf("read %s after %d was written", r.Kvs[0].Value, i)
		}
	}
}

func TestNaming(t *testing.T) {
	c, ctx := start(t)
	manager, err := endpoints.NewManager(c, "service")
	must(t, err)
	updates, err := manager.NewWatchChannel(ctx)
	must(t, err)
	must(t, manager.AddEndpoint(ctx, "service/one", endpoints.Endpoint{Addr: "10.0.0.1:80"}))
	if u := receive(t, ctx, updates); len(u) != 1 || u[0].Op != endpoints.Add || u[0].Endpoint.Addr != "10.0.0.1:80" {
		t.Errorf("the update is %v", u)
	}
	must(t, manager.DeleteEndpoint(ctx, "service/one"))
	if u := receive(t, ctx, updates); len(u) != 1 || u[0].Op != endpoints.Delete {
		t.Errorf("the update is %v", u)
	}
	all, err := manager.List(ctx)
	must(t, err)
	if len(all) != 0 {
		t.Errorf("left are %v", all)
	}
}

func TestKubernetes(t *testing.T) {
	s := startServer(t)
	ctx := limited(t)
	c, err := kubernetes.New(clientConfig(s))
	must(t, err)
	defer c.Close()
	k := c.Kubernetes
	created, err := k.OptimisticPut(ctx, "/registry/pods/a", []byte("1"), 0, kubernetes.PutOptions{})
	must(t, err)
	again, err := k.OptimisticPut(ctx, "/registry/pods/a", []byte("2"), 0, kubernetes.PutOptions{GetOnFailure: true})
	must(t, err)
	if !created.Succeeded || again.Succeeded || string(again.KV.Value) != "1" {
		t.Errorf("created %+v, then %+v", created, again)
	}
	updated, err := k.OptimisticPut(ctx, "/registry/pods/a", []byte("2"), created.Revision, kubernetes.PutOptions{})
	must(t, err)
	for i := range 9 {
		_, err := k.OptimisticPut(ctx, fmt.Sprintf("/registry/pods/b%d", i), nil, 0, kubernetes.PutOptions{})
		must(t, err)
	}
	page, err := k.List(ctx, "/registry/pods/", kubernetes.ListOptions{Limit: 4})
	must(t, err)
	last := string(page.Kvs[3].Key)
	next, err := k.List(ctx, "/registry/pods/", kubernetes.ListOptions{Limit: 4, Revision: page.Revision, Continue: last + "\x00"})
	must(t, err)
	if page.Count != 10 || next.Count != 6 || string(page.Kvs[0].Value) != "2" || string(next.Kvs[0].Key) != "/registry/pods/b3" {
		t.Errorf("the pages are %+v\nand %+v", page, next)
	}
	old, err := k.Get(ctx, "/registry/pods/a", kubernetes.GetOptions{Revision: created.Revision})
	must(t, err)
	if string(old.KV.Value) != "1" {
		t.Errorf("the old value is %s", old.KV.Value)
	}
	stale, err := k.OptimisticDelete(ctx, "/registry/pods/a", created.Revision, kubernetes.DeleteOptions{GetOnFailure: true})
	must(t, err)
	deleted, err := k.OptimisticDelete(ctx, "/registry/pods/a", updated.Revision, kubernetes.DeleteOptions{})
	must(t, err)
	if stale.Succeeded || stale.KV.ModRevision != updated.Revision || !deleted.Succeeded {
		t.Errorf("deleting: %+v, then %+v", stale, deleted)
	}
	if n, err := k.Count(ctx, "/registry/pods/", kubernetes.CountOptions{}); err != nil || n != 9 {
		t.Errorf("counted %d, %v", n, err)
	}
}

func TestSnapshotIsSavedWhole(t *testing.T) {
	s := startServer(t)
	c, ctx := newClient(t, s), limited(t)
	for i := range 100 {
		put(t, ctx, c, fmt.Sprint("key", i), "value")
	}
	// SaveWithVersion checks the sum at the end of the file.
	version, err := snapshot.SaveWithVersion(ctx, zap.NewNop(), clientConfig(s), filepath.Join(t.TempDir(), "saved.db"))
	must(t, err)
	if version != "3.7.1" && version != "3.7.0" {
		t.Errorf("the snapshot's version is %q", version)
	}
}
