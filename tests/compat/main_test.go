package compat

import (
	"context"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.uber.org/zap"

	"bowline/internal/testkit"
)

var (
	server  = testkit.Program{Name: "etcd", Variable: "BOWLINE_ETCD"}
	etcdutl = testkit.Program{Name: "etcdutl", Variable: "BOWLINE_ETCDUTL"}
	ports   testkit.Ports
)

func TestMain(m *testing.M) { testkit.Main(m, &server, &etcdutl) }

// startServer starts a server that ends with the test.
func startServer(t *testing.T, flags ...string) *testkit.Server {
	t.Helper()
	s, err := testkit.StartServer(server.Path(t), t.TempDir(), &ports, flags...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the end of the server's log:\n%s", s.Log(10))
		}
	})
	return s
}

// clientConfig is how the tests connect.
func clientConfig(s *testkit.Server) clientv3.Config {
	return clientv3.Config{Endpoints: []string{s.Addr}, DialTimeout: patience, Logger: zap.NewNop()}
}

// newClient connects to a server until the test ends.
func newClient(t *testing.T, s *testkit.Server) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientConfig(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// start is a server of the test's own and a client of it.
func start(t *testing.T, flags ...string) (*clientv3.Client, context.Context) {
	t.Helper()
	return newClient(t, startServer(t, flags...)), limited(t)
}

// patience is how long a test may wait altogether: only one that fails does.
const patience = time.Minute

// limited is a context that ends with the test, and long before go test's own
// limit.
func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// newSession is a session that is closed with the test.
func newSession(t *testing.T, c *clientv3.Client) *concurrency.Session {
	t.Helper()
	s, err := concurrency.NewSession(c, concurrency.WithTTL(30))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // fails if the test has revoked its lease
	return s
}

// receive takes what comes next from a channel.
func receive[T any](t *testing.T, ctx context.Context, from <-chan T) T {
	t.Helper()
	select {
	case v, open := <-from:
		if !open {
			t.Fatal("the channel was closed")
		}
		return v
	case <-ctx.Done():
		t.Fatal("nothing came")
	}
	panic("not reached")
}

// closed waits until a channel is closed, whatever comes before.
func closed[T any](t *testing.T, ctx context.Context, from <-chan T) {
	t.Helper()
	for {
		select {
		case _, open := <-from:
			if !open {
				return
			}
		case <-ctx.Done():
			t.Fatal("the channel was not closed")
		}
	}
}

// must fails the test at an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// put writes a key and returns the revision.
func put(t *testing.T, ctx context.Context, kv clientv3.KV, key, value string, opts ...clientv3.OpOption) int64 {
	t.Helper()
	r, err := kv.Put(ctx, key, value, opts...)
	must(t, err)
	return r.Header.Revision
}

// get reads one key; a missing one is the empty text.
func get(t *testing.T, ctx context.Context, kv clientv3.KV, key string) string {
	t.Helper()
	r, err := kv.Get(ctx, key)
	must(t, err)
	if len(r.Kvs) == 0 {
		return ""
	}
	return string(r.Kvs[0].Value)
}
