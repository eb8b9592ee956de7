package embed

import (
	"context"
	"errors"
	"flag"
	"io"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"bowline/internal/config"
	"bowline/internal/server"

	"go.etcd.io/etcd/client/pkg/v3/types"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

// TestDefaults: the constants are what NewConfig has.
func TestDefaults(t *testing.T) {
	c := NewConfig()
	for name, is := range map[string][2]any{
		"DefaultName":                          {c.Name, DefaultName},
		"DefaultListenPeerURLs":                {text(&c.ListenPeerUrls), DefaultListenPeerURLs},
		"DefaultListenClientURLs":              {text(&c.ListenClientUrls), DefaultListenClientURLs},
		"DefaultInitialAdvertisePeerURLs":      {text(&c.AdvertisePeerUrls), DefaultInitialAdvertisePeerURLs},
		"DefaultAdvertiseClientURLs":           {text(&c.AdvertiseClientUrls), DefaultAdvertiseClientURLs},
		"DefaultMaxSnapshots":                  {c.MaxSnapFiles, uint(DefaultMaxSnapshots)},
		"DefaultMaxWALs":                       {c.MaxWalFiles, uint(DefaultMaxWALs)},
		"DefaultMaxTxnOps":                     {c.MaxTxnOps, DefaultMaxTxnOps},
		"DefaultMaxRequestBytes":               {c.MaxRequestBytes, uint(DefaultMaxRequestBytes)},
		"DefaultMaxConcurrentStreams":          {c.MaxConcurrentStreams, uint32(DefaultMaxConcurrentStreams)},
		"DefaultGRPCKeepAliveMinTime":          {c.GRPCKeepAliveMinTime, DefaultGRPCKeepAliveMinTime},
		"DefaultGRPCKeepAliveInterval":         {c.GRPCKeepAliveInterval, DefaultGRPCKeepAliveInterval},
		"DefaultGRPCKeepAliveTimeout":          {c.GRPCKeepAliveTimeout, DefaultGRPCKeepAliveTimeout},
		"DefaultStrictReconfigCheck":           {c.StrictReconfigCheck, DefaultStrictReconfigCheck},
		"DefaultAutoCompactionMode":            {c.AutoCompactionMode, DefaultAutoCompactionMode},
		"DefaultAutoCompactionRetention":       {c.AutoCompactionRetention, DefaultAutoCompactionRetention},
		"DefaultAuthToken":                     {c.AuthToken, DefaultAuthToken},
		"DefaultSelfSignedCertValidity":        {c.SelfSignedCertValidity, uint(DefaultSelfSignedCertValidity)},
		"DefaultTLSMinVersion":                 {c.TlsMinVersion, DefaultTLSMinVersion},
		"DefaultWarningApplyDuration":          {c.WarningApplyDuration, DefaultWarningApplyDuration},
		"DefaultWarningUnaryRequestDuration":   {c.WarningUnaryRequestDuration, DefaultWarningUnaryRequestDuration},
		"DefaultDowngradeCheckTime":            {c.DowngradeCheckTime, DefaultDowngradeCheckTime},
		"DefaultCompactHashCheckTime":          {c.CompactHashCheckTime, DefaultCompactHashCheckTime},
		"DefaultLoggingFormat":                 {c.LogFormat, DefaultLoggingFormat},
		"DefaultLogRotationConfig":             {c.LogRotationConfigJSON, DefaultLogRotationConfig},
		"DefaultDistributedTracingAddress":     {c.DistributedTracingAddress, DefaultDistributedTracingAddress},
		"DefaultDistributedTracingServiceName": {c.DistributedTracingServiceName, DefaultDistributedTracingServiceName},
		"DefaultLogOutput":                     {text(&c.LogOutputs), DefaultLogOutput},
		"ClusterStateFlagNew":                  {c.ClusterState, ClusterStateFlagNew},
		"CompactorModePeriodic":                {c.AutoCompactionMode, CompactorModePeriodic},
	} {
		if is[0] != is[1] {
			t.Errorf("%s: %v, and NewConfig has %v", name, is[1], is[0])
		}
	}
	if c.ElectionTicks() != 10 || !c.IsNewCluster() {
		t.Errorf("%d ticks, new %v", c.ElectionTicks(), c.IsNewCluster())
	}
}

// TestAddFlags: a program's command line has every setting, under all its names, and what it says is in the Config.
func TestAddFlags(t *testing.T) {
	set := func(c *Config, args ...string) (*flag.FlagSet, error) {
		fs := flag.NewFlagSet("program", flag.ContinueOnError)
		fs.SetOutput(io.Discard)
		c.AddFlags(fs)
		return fs, fs.Parse(args)
	}
	c := NewConfig()
	c.Name = "before"
	fs, err := set(c, "--data-dir=/tmp/x", "--listen-client-urls=http://127.0.0.1:1,http://127.0.0.1:2", "--advertise-client-urls", "http://127.0.0.1:1",
		"--heartbeat-interval=50", "--enable-pprof", "--pre-vote=false", "--audit-log-max-size=5", "--enable-v2", "--initial-cluster=before=http://localhost:2380")
	if err != nil {
		t.Fatal(err)
	}
	if c.Dir != "/tmp/x" || len(c.ListenClientUrls) != 2 || c.TickMs != 50 || !c.EnablePprof || c.PreVote ||
		c.Settings["audit-log-max-size"] != "5" || c.Settings["enable-v2"] != "true" {
		t.Errorf("%+v", c)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	defaults := config.Defaults()
	for name, def := range defaults {
		f := fs.Lookup(name)
		if name == "name" {
			def = "before"
		}
		if f == nil || f.DefValue != def {
			t.Errorf("--%s: %+v, not with the default %q", name, f, def)
		}
	}
	if fs.Lookup("experimental-initial-corrupt-check") == nil || fs.Lookup("config-file") != nil {
		t.Error("former names are flags, and a file of settings is none")
	}
	for _, wrong := range []string{"--heartbeat-interval=x", "--listen-peer-urls=nope", "--feature-gates=nope=1", "--enable-pprof=maybe", "--initial-cluster-state=some"} {
		if _, err := set(NewConfig(), wrong); err == nil {
			t.Errorf("%s is taken", wrong)
		}
	}
	help := new(strings.Builder)
	fs.SetOutput(help)
	fs.PrintDefaults()
	if !strings.Contains(help.String(), "-listen-client-urls") {
		t.Errorf("the help is %q", help)
	}
}

// TestDefaultCluster: the initial cluster follows a name, and stays if it was said.
func TestDefaultCluster(t *testing.T) {
	c := NewConfig()
	before := c.InitialCluster
	c.Name = "m1"
	if host, _ := c.UpdateDefaultClusterFromName(before); host != "" || c.InitialCluster != "m1=http://localhost:2380" {
		t.Errorf("%q, and %q is of use", c.InitialCluster, host)
	}
	c.Name = "m2"
	if _, _ = c.UpdateDefaultClusterFromName(before); c.InitialCluster != "m1=http://localhost:2380" {
		t.Errorf("what was said becomes %q", c.InitialCluster)
	}
	all := url.URL{Scheme: "http", Host: "0.0.0.0:23"}
	for name, c := range map[string]struct {
		listen, advertise url.URL
		want              string
		used              bool
	}{
		"all addresses": {all, url.URL{Scheme: "http", Host: "localhost:2380"}, "http://10.0.0.9:23", true},
		"one address":   {url.URL{Scheme: "http", Host: "127.0.0.1:23"}, url.URL{Scheme: "http", Host: "localhost:2380"}, "http://localhost:2380", false},
		"said":          {all, url.URL{Scheme: "http", Host: "a:2380"}, "http://a:2380", false},
	} {
		advertise := []url.URL{c.advertise}
		if used := useHost([]url.URL{c.listen}, advertise, DefaultInitialAdvertisePeerURLs, "10.0.0.9"); used != c.used || advertise[0].String() != c.want {
			t.Errorf("%s: %v, %v", name, used, advertise)
		}
	}
}

// TestGlobalLoggers: zap's global log becomes the member's, and none is left alone.
func TestGlobalLoggers(t *testing.T) {
	before := zap.L()
	t.Cleanup(func() { zap.ReplaceGlobals(before) })
	c := NewConfig()
	if c.SetupGlobalLoggers(); zap.L() != before {
		t.Error("no log replaces the global one")
	}
	c.logger = zap.NewNop()
	if c.SetupGlobalLoggers(); zap.L() != c.logger {
		t.Error("the global log is another")
	}
}

// TestServerOptions: interceptors of the program see calls behind the member's, and what gRPC would panic about is refused.
func TestServerOptions(t *testing.T) {
	c := testConfig(t)
	c.GRPCAdditionalServerOptions = []grpc.ServerOption{grpc.UnaryInterceptor(
		func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			return next(ctx, req)
		})}
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "GRPCAdditionalServerOptions: The unary server interceptor was already set") {
		t.Errorf("a second interceptor: %v", err)
	}
	var calls, streams atomic.Int64
	c.GRPCAdditionalServerOptions = []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			if info.FullMethod == "/etcdserverpb.KV/Put" {
				calls.Add(1)
			}
			return next(ctx, req)
		}),
		grpc.ChainStreamInterceptor(func(srv any, s grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			streams.Add(1)
			return next(srv, s)
		}),
		grpc.Creds(nil), grpc.MaxRecvMsgSize(1 << 16),
	}
	e := start(t, c)
	await(t, "it to be ready", e.Server.ReadyNotify())
	outside := dial(t, e)
	ctx := limited(t)
	if _, err := outside.Put(ctx, "a", "b"); err != nil {
		t.Fatal(err)
	}
	if _, err := outside.Put(ctx, "a", strings.Repeat("x", 1<<17)); err == nil || !strings.Contains(err.Error(), "larger than max") {
		t.Errorf("more than the program's limit: %v", err)
	}
	if w := <-outside.Watch(ctx, "a", clientv3.WithRev(1)); w.Err() != nil || len(w.Events) != 1 {
		t.Errorf("%+v", w)
	}
	if calls.Load() != 1 || streams.Load() != 1 {
		t.Errorf("the program has seen %d puts and %d streams", calls.Load(), streams.Load())
	}
}

// TestServer: what a member tells of itself and its cluster, and leadership that moves.
func TestServer(t *testing.T) {
	members := threeMembers(t)
	byID := make(map[types.ID]*Etcd)
	for _, e := range members {
		await(t, "a member to be ready", e.Server.ReadyNotify())
		byID[e.Server.MemberID()] = e
	}
	s := members[0].Server
	lead := byID[s.Leader()]
	if lead == nil || s.Lead() != uint64(lead.Server.ID()) {
		t.Fatalf("%v leads %v", s.Leader(), byID)
	}
	cluster := s.Cluster()
	if s.Term() == 0 || s.AppliedIndex() == 0 || s.CommittedIndex() < s.AppliedIndex() || s.IsLearner() || cluster.ID() == 0 {
		t.Errorf("term %d, applied %d of %d, learner %v, cluster %v", s.Term(), s.AppliedIndex(), s.CommittedIndex(), s.IsLearner(), cluster.ID())
	}
	if v := s.ClusterVersion(); v == nil || v.Major != 3 || !v.Equal(*cluster.Version()) {
		t.Errorf("the cluster's version is %v", v)
	}
	urls := cluster.ClientURLs()
	if len(cluster.Members()) != 3 || cluster.Member(s.ID()).GetName() != "a" || cluster.Member(1) != nil || !slices.Contains(urls, cluster.Member(s.ID()).ClientURLs[0]) {
		t.Errorf("%v at %v", cluster.Members(), urls)
	}
	cluster.Members()[0].PeerURLs[0] = "changed"
	for _, m := range cluster.Members() {
		if m.PeerURLs[0] == "changed" {
			t.Error("a program's change is the member's")
		}
	}
	var next *Etcd
	for id, e := range byID {
		if id != lead.Server.ID() {
			next = e
		}
	}
	ctx := limited(t)
	if err := next.Server.MoveLeader(ctx, lead.Server.Lead(), uint64(next.Server.ID())); err == nil {
		t.Error("one that does not lead gives away another's leadership")
	}
	if err := lead.Server.MoveLeader(ctx, s.Lead(), 1); !errors.Is(err, server.ErrBadTransferee) {
		t.Errorf("leadership for nobody: %v", err)
	}
	if err := lead.Server.MoveLeader(ctx, s.Lead(), uint64(next.Server.ID())); err != nil || lead.Server.Leader() != next.Server.ID() {
		t.Errorf("%v leads: %v", lead.Server.Leader(), err)
	}
	// A leader knows who is in touch by its first heartbeat.
	for beat := time.NewTicker(10 * time.Millisecond); next.Server.Leader() == next.Server.ID(); {
		if err := next.Server.TryTransferLeadershipOnShutdown(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-beat.C:
		case <-ctx.Done():
			t.Fatal("it keeps leading")
		}
	}
	select {
	case <-next.Server.StoppingNotify():
		t.Error("it is ending")
	case <-time.After(0):
	}
	next.Server.HardStop()
	await(t, "that it ends", next.Server.StoppingNotify())
}
