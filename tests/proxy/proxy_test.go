package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"

	"bowline/internal/testkit"
)

// TestOverHTTP: metrics of a member and of the proxy, and both kinds of health, on the client port and on one of its own.
func TestOverHTTP(t *testing.T) {
	s := startServer(t)
	block, err := ports.Take()
	must(t, err)
	defer block.Release()
	p := startOutpost(t, "grpc-proxy", s.Addr, "--metrics-addr", "http://"+block.Addr(0), "--enable-pprof")
	ctx, c := limited(t), client(t, p.addr)
	put(t, ctx, c, "k", "v")
	for range 3 {
		_, err := c.Get(ctx, "k", clientv3.WithSerializable())
		must(t, err)
	}
	for _, at := range []string{p.addr, block.Addr(0)} {
		for path, want := range map[string]string{
			"/metrics": "etcd_server_has_leader 1", "/health": `{"health":"true","reason":""}`,
			"/proxy/metrics": "etcd_grpc_proxy_cache_hits_total 2", "/proxy/health": `{"health":"true","reason":""}`,
		} {
			if code, body := page(t, "http://"+at+path); code != http.StatusOK || !strings.Contains(body, want) {
				t.Errorf("%s: %d, without %s:\n%.300s", path, code, want, body)
			}
		}
	}
	if code, _ := page(t, "http://"+p.addr+"/debug/pprof/cmdline"); code != http.StatusOK {
		t.Errorf("profiles: %d", code)
	}
	_, body := page(t, "http://"+p.addr+"/proxy/metrics")
	for _, name := range []string{"etcd_grpc_proxy_watchers_coalescing_total", "etcd_grpc_proxy_events_coalescing_total", "etcd_grpc_proxy_cache_keys_total",
		"etcd_grpc_proxy_cache_misses_total", `grpc_server_handled_total{grpc_code="OK",grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary"}`} {
		if !strings.Contains(body, "\n"+name+" ") {
			t.Errorf("there is no metric %s", name)
		}
	}
	must(t, s.Shutdown())
	if code, body := page(t, "http://"+p.addr+"/health"); code != http.StatusServiceUnavailable || !strings.Contains(body, `"health":"false"`) {
		t.Errorf("without a member: %d, %s", code, body)
	}
	must(t, s.Restart())
}

// TestSerializableReadsAreRemembered: until something is written through the proxy, or compacted.
func TestSerializableReadsAreRemembered(t *testing.T) {
	s := startServer(t)
	p := startOutpost(t, "grpc-proxy", s.Addr)
	ctx, c := limited(t), client(t, p.addr)
	read := func() string {
		t.Helper()
		r, err := c.Get(ctx, "a", clientv3.WithPrefix(), clientv3.WithSerializable())
		must(t, err)
		return fmt.Sprint(len(r.Kvs))
	}
	for i, write := range []func() error{
		func() error { _, err := c.Put(ctx, "a1", "x"); return err },
		func() error { _, err := c.Txn(ctx).Then(clientv3.OpPut("a2", "x")).Commit(); return err },
		func() error {
			_, err := c.Txn(ctx).Then(clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpPut("a3", "x")}, nil)).Commit()
			return err
		},
	} {
		if got := read(); got != fmt.Sprint(i) {
			t.Errorf("before write %d there are %s keys", i, got)
		}
		must(t, write())
		if got := read(); got != fmt.Sprint(i+1) {
			t.Errorf("after write %d there are %s keys", i, got)
		}
	}
	_, err := c.Delete(ctx, "a", clientv3.WithPrefix())
	must(t, err)
	if got := read(); got != "0" {
		t.Errorf("after the deletion there are %s keys", got)
	}
}

// TestNamespace: clients see what lies below the prefix, and nothing else.
func TestNamespace(t *testing.T) {
	s := startServer(t)
	p := startOutpost(t, "grpc-proxy", s.Addr, "--namespace", "app/")
	ctx, inside, outside := limited(t), client(t, p.addr), client(t, s.Addr)
	w := inside.Watch(ctx, "", clientv3.WithPrefix(), clientv3.WithPrevKV(), clientv3.WithCreatedNotify())
	next(t, ctx, w)
	put(t, ctx, outside, "other", "x")
	put(t, ctx, outside, "app/k", "1")
	put(t, ctx, inside, "k", "2")
	for _, want := range []string{"1", "2"} {
		if r := next(t, ctx, w); len(r.Events) != 1 || string(r.Events[0].Kv.Key) != "k" || string(r.Events[0].Kv.Value) != want ||
			want == "2" && string(r.Events[0].PrevKv.Key) != "k" {
			t.Errorf("seen is %+v", r)
		}
	}
	all, err := inside.Get(ctx, "", clientv3.WithPrefix())
	must(t, err)
	if len(all.Kvs) != 1 || string(all.Kvs[0].Key) != "k" {
		t.Errorf("inside lie %v", all.Kvs)
	}
	lease, err := inside.Grant(ctx, 60)
	must(t, err)
	_, err = inside.Put(ctx, "l", "", clientv3.WithLease(lease.ID))
	must(t, err)
	_, err = outside.Put(ctx, "m", "", clientv3.WithLease(lease.ID))
	must(t, err)
	left, err := inside.TimeToLive(ctx, lease.ID, clientv3.WithAttachedKeys())
	must(t, err)
	if len(left.Keys) != 1 || string(left.Keys[0]) != "l" {
		t.Errorf("the lease has %s", left.Keys)
	}
	if _, err := inside.Get(ctx, "nothing", clientv3.WithRev(1<<40)); err == nil || !strings.Contains(err.Error(), "required revision is a future revision") {
		t.Errorf("an error through the wrappers: %v", err)
	}
}

// TestWrappers: the experimental ways to read.
func TestWrappers(t *testing.T) {
	s := startServer(t)
	p := startOutpost(t, "grpc-proxy", s.Addr, "--experimental-leasing-prefix", "leases/", "--experimental-serializable-ordering",
		"--experimental-enable-grpc-logging")
	ctx, c := limited(t), client(t, p.addr)
	for i := range 5 {
		put(t, ctx, c, "k", fmt.Sprint(i))
		r, err := c.Get(ctx, "k")
		must(t, err)
		if len(r.Kvs) != 1 || string(r.Kvs[0].Value) != fmt.Sprint(i) {
			t.Errorf("read %v after %d was written", r.Kvs, i)
		}
	}
	owned, err := client(t, s.Addr).Get(ctx, "leases/", clientv3.WithPrefix(), clientv3.WithCountOnly())
	must(t, err)
	if owned.Count == 0 {
		t.Error("no key is leased")
	}
	if !p.said("received payload logged as grpc.request.content field") {
		t.Error("calls are not logged")
	}
	_, err = c.UserAdd(ctx, "u", "password-of-u")
	must(t, err)
	if p.said("password-of-u") {
		t.Error("a password is logged")
	}
}

// TestLeasesAndRecipes: sessions of many clients share the stream to the cluster; locks pass.
func TestLeasesAndRecipes(t *testing.T) {
	s := startServer(t)
	p := startOutpost(t, "grpc-proxy", s.Addr)
	ctx := limited(t)
	grant, err := client(t, p.addr).Grant(ctx, 5)
	must(t, err)
	var all sync.WaitGroup
	for range 20 {
		c := client(t, p.addr)
		all.Go(func() {
			for range 20 {
				if r, err := c.KeepAliveOnce(ctx, grant.ID); err != nil || r.TTL != 5 {
					t.Errorf("kept alive: %v, %v", r, err)
				}
			}
		})
	}
	all.Wait()
	if _, err := client(t, p.addr).KeepAliveOnce(ctx, 12345); err == nil || !strings.Contains(err.Error(), "requested lease not found") {
		t.Errorf("a lease that is not there: %v", err)
	}
	held := 0
	for range 3 {
		session, err := concurrency.NewSession(client(t, p.addr), concurrency.WithTTL(30))
		must(t, err)
		all.Go(func() {
			m := concurrency.NewMutex(session, "lock")
			if err := m.Lock(ctx); err != nil {
				t.Error(err)
				return
			}
			held++
			if err := m.Unlock(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	if all.Wait(); held != 3 {
		t.Errorf("the lock was held %d times", held)
	}
}

// TestRegister: proxies that share a prefix are what clients see as members, and leave when they end.
func TestRegister(t *testing.T) {
	s := startServer(t)
	ctx := limited(t)
	flags := []string{"--resolver-prefix", "proxies", "--resolver-ttl", "60"}
	a, b := startOutpost(t, "grpc-proxy", s.Addr, flags...), startOutpost(t, "grpc-proxy", s.Addr, flags...)
	c := client(t, a.addr)
	members := func() string {
		r, err := c.MemberList(ctx)
		must(t, err)
		var addrs []string
		for _, m := range r.Members {
			addrs = append(addrs, m.ClientURLs...)
		}
		return strings.Join(addrs, ",")
	}
	waitFor(t, "both to be there", func() bool { got := members(); return strings.Contains(got, a.addr) && strings.Contains(got, b.addr) })
	b.stop(t)
	waitFor(t, "one to be gone", func() bool { return members() == a.addr })
}

// TestTLS: towards the members with one authority's certificates, towards clients with another's.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	inner, err := testkit.NewAuthority(dir, "inner")
	must(t, err)
	outer, err := testkit.NewAuthority(dir, "outer")
	must(t, err)
	unnamed := func(c *x509.Certificate) { c.Subject.CommonName = "" }
	issue := func(a *testkit.Authority, name string, changes ...func(*x509.Certificate)) testkit.Pair {
		p, err := a.Issue(name, changes...)
		must(t, err)
		return p
	}
	member, towards, front, guest := issue(inner, "member"), issue(inner, "towards", unnamed), issue(outer, "front"), issue(outer, "guest")
	block, err := ports.Take()
	must(t, err)
	defer block.Release()
	secure := "https://" + block.Addr(0)
	startSecure(t, block, secure, inner, member)
	p := startOutpost(t, "grpc-proxy", secure, "--cacert", inner.File, "--cert", towards.Cert, "--key", towards.Key,
		"--cert-file", front.Cert, "--key-file", front.Key, "--trusted-ca-file", outer.File)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(readFile(t, outer.File))
	pair, err := tls.LoadX509KeyPair(guest.Cert, guest.Key)
	must(t, err)
	config := &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}}
	ctx := limited(t)
	c := connect(t, clientv3.Config{Endpoints: []string{"https://" + p.addr}, TLS: config})
	put(t, ctx, c, "k", "v")
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	for _, path := range []string{"/metrics", "/health", "/proxy/health"} {
		resp, err := web.Get("https://" + p.addr + path)
		must(t, err)
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
	web.CloseIdleConnections()
	if conn, err := tls.Dial("tcp", p.addr, &tls.Config{RootCAs: pool}); err == nil {
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Error("a client without a certificate is let in")
		}
		conn.Close()
	}
}
