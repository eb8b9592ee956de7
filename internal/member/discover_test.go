package member

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"bowline/internal/cluster"
	"bowline/internal/config"
	"bowline/internal/discovery"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// service is a member that others find each other through.
func service(t *testing.T) (*Member, func(key, value string)) {
	t.Helper()
	m := startMember(t, testConfig(t))
	kv := pb.NewKVClient(dial(t, m))
	return m, func(key, value string) {
		t.Helper()
		if _, err := kv.Put(t.Context(), &pb.PutRequest{Key: []byte(key), Value: []byte(value)}); err != nil {
			t.Fatal(err)
		}
	}
}

func discoverySettings(at, token string) config.Discovery {
	return config.Discovery{
		Token: token, Endpoints: []string{at}, DialTimeout: 2 * time.Second, RequestTimeout: 5 * time.Second,
		KeepAliveTime: 2 * time.Second, KeepAliveTimeout: 6 * time.Second, InsecureTransport: true,
	}
}

// TestMembersFindEachOther founds a cluster whose members know only a token and where to
// ask; one that comes late is refused, as is one that has lost its data.
func TestMembersFindEachOther(t *testing.T) {
	at, put := service(t)
	put("/_etcd/registry/tok/_config/size", "3")
	names := []string{"a", "b", "c"}
	g := &group{t: t, configs: make(map[string]Config), members: make(map[string]*Member)}
	for _, name := range append(names, "late") {
		cfg := g.config(name)
		cfg.InitialCluster, cfg.Discovery = nil, discoverySettings(at.clientAddr(), "tok")
		g.configs[name] = cfg
	}
	t.Cleanup(g.stopAll)
	g.start(names...)
	var ids []uint64
	for _, name := range names {
		id := cluster.MemberID(g.configs[name].AdvertisePeerURLs, "tok")
		if got := g.members[name].ID(); got != id {
			t.Errorf("%s has the ID %x, want %x", name, got, id)
		}
		ids = append(ids, id)
	}
	for _, name := range names {
		if n := len(g.members[name].fsm.Members().Members()); n != len(ids) {
			t.Errorf("%s has %d members", name, n)
		}
	}
	if _, err := Start(t.Context(), g.configs["late"]); !errors.As(err, new(*DiscoveryError)) || !errors.Is(err, discovery.ErrFull) {
		t.Errorf("a fourth member: %v", err)
	}
	again := g.configs["a"]
	g.stop("a")
	if m, err := Start(t.Context(), again); err != nil {
		t.Errorf("a restart: %v", err)
	} else {
		g.members["a"] = m
		g.stop("a")
	}
	again.DataDir = t.TempDir()
	if _, err := Start(t.Context(), again); err == nil || !strings.HasSuffix(err.Error(), "has already been bootstrapped") {
		t.Errorf("a member without its data: %v", err)
	}
}

func TestDiscoveryIsRefused(t *testing.T) {
	at, put := service(t)
	for token, key := range map[string]string{"zero": "0", "word": "three", "one": "1", "bad": "1", "pair": "2"} {
		put("/_etcd/registry/"+token+"/_config/size", key)
	}
	put("/_etcd/registry/one/members/abc", "other=http://127.0.0.1:9")
	put("/_etcd/registry/one/members/abd", "no address") // does not count
	put("/_etcd/registry/pair/members/abc", "other=nowhere")
	for token, want := range map[string]string{
		"none": "failed to join discovery cluster (discovery: size key not found)",
		"zero": "failed to join discovery cluster (discovery: size key is bad)",
		"word": "failed to join discovery cluster (discovery: size key is bad)",
		"one":  "failed to join discovery cluster (discovery: cluster is full)",
		"pair": "failed to join discovery cluster (discovery: invalid peer URL (other=nowhere,one=http://127.0.0.1:1:",
	} {
		cfg := testConfig(t)
		cfg.Discovery = discoverySettings("http://"+at.clientAddr(), token)
		if _, err := Start(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", token, err, want)
		}
	}
	cfg := testConfig(t)
	cfg.Discovery, cfg.JoinExisting = discoverySettings(at.clientAddr(), "bad"), true
	if _, err := Start(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "discovery URL should not be set when joining existing initial cluster") {
		t.Errorf("joining: %v", err)
	}
}

// TestDiscoveryTriesAgain waits for a service that is not there yet, ever longer, and
// gives up with its context.
func TestDiscoveryTriesAgain(t *testing.T) {
	core, lines := observer.New(zap.WarnLevel)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var pauses []time.Duration
	_, err := discovery.Join(ctx, discovery.JoinConfig{
		Service: discoverySettings("127.0.0.1:1", "t"), ID: 1, Entry: "a=http://127.0.0.1:1", Logger: zap.New(core),
		Pause: func(ctx context.Context, d time.Duration) error {
			if pauses = append(pauses, d); len(pauses) == 10 {
				cancel()
			}
			return ctx.Err()
		},
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	if got := fmt.Sprint(pauses); got != "[2s 4s 8s 16s 32s 1m4s 2m8s 4m16s 4m16s 4m16s]" {
		t.Errorf("paused for %s", got)
	}
	if n := lines.FilterMessage("retry connecting to discovery service").Len(); n != len(pauses) {
		t.Errorf("%d lines of %d", n, len(pauses))
	}
}
