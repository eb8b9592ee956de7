package proxy

import (
	"bytes"
	"context"
	"net/url"
	"slices"
	"strconv"
	"testing"
	"time"

	"bowline/internal/member"
	"bowline/internal/outpost"
	"bowline/internal/testkit"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"go.uber.org/zap"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

func limited(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// freeAddr is an address that nobody has until the test ends.
func freeAddr(t *testing.T) string {
	t.Helper()
	block, err := new(testkit.Ports).Take()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(block.Release)
	return block.Addr(0)
}

// startMember starts a member in this process.
func startMember(t *testing.T) (addr string) {
	t.Helper()
	addr = freeAddr(t)
	const peer = "http://127.0.0.1:1"
	m, err := member.Start(t.Context(), member.Config{
		Name: "one", DataDir: t.TempDir(), ListenPeerURLs: []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}},
		ListenClientURLs: []url.URL{{Scheme: "http", Host: addr}}, AdvertisePeerURLs: []string{peer}, AdvertiseClientURLs: []string{"http://" + addr},
		InitialCluster: map[string][]string{"one": {peer}}, InitialToken: "t", Tick: 10 * time.Millisecond, ElectionTicks: 10, HeartbeatTicks: 1,
		MaxRequestBytes: 1 << 20, MaxTxnOps: 128, MaxConcurrentStreams: 1 << 20, SlowRequest: time.Minute, SlowApply: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Stop(); err != nil {
			t.Error(err)
		}
	})
	return addr
}

// start runs the command in this process until the test ends.
func start(t *testing.T, endpoint string, flags ...string) (addr string) {
	t.Helper()
	addr = freeAddr(t)
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan struct{})
	var said bytes.Buffer
	env := &outpost.Env{Context: ctx, Stdout: &said, Stderr: &said, Ready: func(*zap.Logger) { close(ready) }}
	c := Command(env)
	c.SetArgs(append([]string{"start", "--endpoints", endpoint, "--listen-addr", addr, "--advertise-client-url", addr}, flags...))
	go func() {
		defer close(ended)
		if err := c.Execute(); err != nil {
			t.Error(err)
		}
	}()
	select {
	case <-ready:
	case <-ended:
		t.Fatalf("it has ended: %s", said.String())
	}
	t.Cleanup(func() {
		cancel()
		select {
		case <-ended:
		case <-time.After(patience):
			t.Error("it does not end")
		}
		if env.Exit != 0 || said.Len() > 0 {
			t.Errorf("it exits with %d and says %s", env.Exit, said.String())
		}
	})
	return addr
}

// TestNothingIsLeft: a proxy that is asked to end leaves no goroutine, whatever its clients are about.
func TestNothingIsLeft(t *testing.T) {
	m := startMember(t)
	addr := start(t, m, "--resolver-prefix", "proxies", "--resolver-ttl", "60", "--metrics-addr", "http://127.0.0.1:0")
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{addr}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	ctx := limited(t)
	put, err := c.Put(ctx, "k", "v")
	if err != nil {
		t.Fatal(err)
	}
	for _, revision := range []int64{0, put.Header.Revision, put.Header.Revision + 1, put.Header.Revision + 100} {
		<-c.Watch(ctx, "k", clientv3.WithRev(revision), clientv3.WithCreatedNotify())
	}
	grant, err := c.Grant(ctx, 60)
	if err != nil {
		t.Fatal(err)
	}
	alive, err := c.KeepAlive(ctx, grant.ID)
	if err != nil {
		t.Fatal(err)
	}
	<-alive
}

// TestCache holds what is remembered, and when it is forgotten.
func TestCache(t *testing.T) {
	now := time.Unix(0, 0)
	fresh := func() *cache {
		c := newCache(newFigures())
		c.now = func() time.Time { return now }
		return c
	}
	read := func(begin, end string, revision int64) *pb.RangeRequest {
		return &pb.RangeRequest{Key: []byte(begin), RangeEnd: []byte(end), Revision: revision}
	}
	at := func(revision int64) *pb.RangeResponse {
		return &pb.RangeResponse{Header: &pb.ResponseHeader{Revision: revision}}
	}
	for _, x := range []struct {
		name string
		read *pb.RangeRequest
		do   func(*cache)
		want bool
	}{
		{"nothing happens", read("a", "", 0), func(*cache) {}, true},
		{"the key is written", read("a", "", 0), func(c *cache) { c.forget(keyRange{"a", ""}, 6) }, false},
		{"another key is written", read("a", "", 0), func(c *cache) { c.forget(keyRange{"b", ""}, 6) }, true},
		{"a range with the key is deleted", read("a", "", 0), func(c *cache) { c.forget(keyRange{"", endless}, 6) }, false},
		{"a key in the range is written", read("a", "c", 0), func(c *cache) { c.forget(keyRange{"b", ""}, 6) }, false},
		{"the key behind the range is written", read("a", "c", 0), func(c *cache) { c.forget(keyRange{"c", ""}, 6) }, true},
		{"a range that meets it is deleted", read("b", endless, 0), func(c *cache) { c.forget(keyRange{"x", "y"}, 6) }, false},
		{"a watch tells", read("a", "", 0), func(c *cache) {
			c.seen([]*mvccpb.Event{{Kv: &mvccpb.KeyValue{Key: []byte("a"), ModRevision: 6}}})
		}, false},
		{"an old revision does not change", read("a", "", 3), func(c *cache) { c.forget(keyRange{"a", ""}, 6) }, true},
		{"time passes", read("a", "", 0), func(*cache) { now = now.Add(cacheAge) }, false},
		{"everything may have changed", read("a", "", 0), (*cache).clear, false},
	} {
		c := fresh()
		c.add(x.read, at(5))
		serializable := read(string(x.read.Key), string(x.read.RangeEnd), x.read.Revision)
		serializable.Serializable = true
		x.do(c)
		if answer, err := c.get(serializable); (err == nil) != x.want || x.want && answer.Header.Revision != 5 {
			t.Errorf("%s: %v, %v", x.name, answer, err)
		}
	}
	c := fresh()
	c.forget(keyRange{"a", ""}, 7)
	c.add(read("a", "", 0), at(6)) // was read before the write, and came after it
	if _, err := c.get(read("a", "", 0)); err == nil {
		t.Error("what was read before a write is remembered after it")
	}
	c.compact(5)
	if _, err := c.get(read("a", "", 4)); err == errNotCached || err == nil {
		t.Errorf("a compacted revision: %v", err)
	}
	for i := range 2 * cacheEntries {
		c.add(read(strconv.Itoa(i), "", 0), at(8))
	}
	if c.order.Len() != cacheEntries || len(c.entries) != cacheEntries || len(c.keys) != cacheEntries {
		t.Errorf("%d, %d and %d are remembered", c.order.Len(), len(c.entries), len(c.keys))
	}
	c.clear()
	if c.bytes != 0 || len(c.keys) != 0 || len(c.ranges) != 0 {
		t.Errorf("left are %d bytes, %d keys, %d ranges", c.bytes, len(c.keys), len(c.ranges))
	}
}

// TestRangesWithin holds the rules of namespaces.
func TestRangesWithin(t *testing.T) {
	for _, c := range []struct{ in, want keyRange }{
		{keyRange{"a", ""}, keyRange{"p/a", ""}},
		{keyRange{"a", "b"}, keyRange{"p/a", "p/b"}},
		{keyRange{"a", endless}, keyRange{"p/a", "p0"}},
		{keyRange{"", endless}, keyRange{"p/", "p0"}},
	} {
		if got := c.in.within("p/"); got != c.want {
			t.Errorf("%q lies at %q, not %q", c.in, got, c.want)
		}
		if got := c.in.within(""); got != c.in {
			t.Errorf("%q without a namespace lies at %q", c.in, got)
		}
	}
	if got := behind("a\xff\xff"); got != "b" {
		t.Errorf("behind it is %q", got)
	}
	if got := behind("\xff"); got != endless {
		t.Errorf("behind all is %q", got)
	}
}

// TestOptionsThatDoNotGoTogether holds etcd's words.
func TestOptionsThatDoNotGoTogether(t *testing.T) {
	for _, c := range []struct {
		flags []string
		want  string
	}{
		{[]string{"--resolver-prefix=p"}, "invalid resolver-ttl 0\n"},
		{[]string{"--resolver-ttl=1"}, "invalid resolver-prefix \"\"\n"},
		{[]string{"--resolver-ttl=1", "--resolver-prefix=p", "--advertise-client-url="}, "invalid advertise-client-url \"\"\n"},
		{[]string{"--auto-tls", "--self-signed-cert-validity=0"}, "selfSignedCertValidity is invalid,it should be greater than 0\n"},
		{[]string{"--tls-min-version=x"}, "tls-min-version is invalid: unexpected TLS version \"x\" (must be one of: TLS1.2, TLS1.3)\n"},
		{[]string{"--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2"}, "min version (TLS1.3) is greater than max version (TLS1.2)\n"},
		{[]string{"--tls-min-version=TLS1.3", "--listen-cipher-suites=x"}, "cipher suites cannot be configured when only TLS1.3 is enabled\n"},
	} {
		var said bytes.Buffer
		env := &outpost.Env{Context: t.Context(), Stdout: &said, Stderr: &said}
		cmd := Command(env)
		cmd.SetArgs(slices.Concat([]string{"start"}, c.flags))
		if err := cmd.Execute(); err != nil || env.Exit != 1 || said.String() != c.want {
			t.Errorf("%v: %v, %d, %q, not %q", c.flags, err, env.Exit, said.String(), c.want)
		}
	}
}
