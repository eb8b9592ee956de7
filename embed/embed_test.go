package embed

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"bowline/internal/config"
	"bowline/internal/testkit"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

// free is URLs of ports of this machine that nobody has until the test ends.
func free(t *testing.T, ports *testkit.Ports, n int) (all [][]url.URL) {
	t.Helper()
	block, err := ports.Take()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(block.Release)
	for i := range n {
		all = append(all, []url.URL{{Scheme: "http", Host: block.Addr(i)}})
	}
	return all
}

// testConfig is a member alone that says nothing.
func testConfig(t *testing.T) *Config {
	t.Helper()
	c, ports := NewConfig(), free(t, new(testkit.Ports), 2)
	c.Dir, c.TickMs, c.ElectionMs = t.TempDir(), 10, 100
	c.ListenPeerUrls, c.AdvertisePeerUrls = ports[0], ports[0]
	c.ListenClientUrls, c.AdvertiseClientUrls = ports[1], ports[1]
	c.ZapLoggerBuilder = NewZapLoggerBuilder(zap.NewNop())
	return c
}

func start(t *testing.T, c *Config) *Etcd {
	t.Helper()
	e, err := StartEtcd(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// dial is a client of a member's port.
func dial(t *testing.T, e *Etcd) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{e.Clients[0].Addr().String()}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func await(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
	}
}

func limited(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// TestEveryFieldIsASetting: each has a flag of its own, and the defaults are those of the flags, there and back.
func TestEveryFieldIsASetting(t *testing.T) {
	c := NewConfig()
	at := make(map[any]string)
	defaults := config.Defaults()
	for _, f := range fields() {
		p := f.at(c)
		if other := at[p]; other != "" {
			t.Errorf("--%s and --%s are the same field", f.flag, other)
		}
		at[p] = f.flag
		if !slices.Contains(config.Names(), f.flag) {
			t.Errorf("there is no flag --%s", f.flag)
		}
		if got := text(p); got != defaults[f.flag] {
			t.Errorf("%s: the default is %q, that of the flag %q", f.flag, got, defaults[f.flag])
		}
	}
	var check func(v reflect.Value, name string)
	check = func(v reflect.Value, name string) {
		for i := range v.NumField() {
			sub := v.Type().Field(i)
			if !sub.IsExported() {
				continue
			}
			switch at, known := at[v.Field(i).Addr().Interface()]; {
			case known:
			case sub.Name == "SocketOpts":
				check(v.Field(i), name+sub.Name+".")
			case !slices.Contains([]string{"ClientTLSInfo", "PeerTLSInfo", "UserHandlers", "ServiceRegister", "GRPCAdditionalServerOptions", "ZapLoggerBuilder", "Settings"}, sub.Name):
				t.Errorf("the field %s%s is no setting (%s)", name, sub.Name, at)
			}
		}
	}
	check(reflect.ValueOf(c).Elem(), "")
}

// TestTheWholeTableCanBeSet: what has no field can be set by its flag's name, and no setting is lost on the way.
func TestTheWholeTableCanBeSet(t *testing.T) {
	c := testConfig(t)
	c.Settings = map[string]string{"audit-log-max-files": "3", "feature-gates": "TxnModeWriteWithSharedBuffer=false"}
	c.QuotaBackendBytes, c.AutoCompactionRetention, c.CORS = 1<<30, "2", map[string]struct{}{"http://a:1": {}, "http://b:1": {}}
	settings, _, err := c.settings()
	if err != nil {
		t.Fatal(err)
	}
	if settings.Audit.MaxFiles != 3 || settings.Storage.QuotaBytes != 1<<30 || settings.Compaction.Period != 2*time.Hour ||
		!slices.Equal(settings.HTTP.CORS, []string{"http://a:1", "http://b:1"}) {
		t.Errorf("the settings are %+v", settings)
	}
}

// TestWhatIsRefused holds errors that programs look for.
func TestWhatIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"nothing to advertise": {func(c *Config) { c.AdvertiseClientUrls = nil }, ErrUnsetAdvertiseClientURLsFlag.Error()},
		"two ways to begin":    {func(c *Config) { c.DNSCluster, c.InitialCluster = "a", "default=http://a:1" }, ErrConflictBootstrapFlags.Error()},
		"a hasty election":     {func(c *Config) { c.TickMs, c.ElectionMs = 300, 1000 }, "should be at least as 5 times as"},
		"an unknown setting":   {func(c *Config) { c.Settings = map[string]string{"nope": "1"} }, "flag provided but not defined: -nope"},
		"a setting twice":      {func(c *Config) { c.Settings = map[string]string{"name": "x"} }, "has a field of its own"},
		"a name not listened":  {func(c *Config) { c.ListenClientUrls[0].Host = "example.com:1" }, "expected IP in URL for binding"},
		"half of TLS":          {func(c *Config) { c.ClientTLSInfo.InsecureSkipVerify = true }, "InsecureSkipVerify is not supported"},
	} {
		cfg := testConfig(t)
		c.change(cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, not %q", name, err, c.want)
		}
		if _, err := StartEtcd(cfg); err == nil {
			t.Errorf("%s: it starts", name)
		}
	}
	if err := NewConfig().Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	none := testConfig(t)
	none.AdvertiseClientUrls = nil
	if err := none.Validate(); !errors.Is(err, ErrUnsetAdvertiseClientURLsFlag) {
		t.Error(err)
	}
}

// TestConfigFromFile: a file becomes the fields, and what has none is kept.
func TestConfigFromFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "etcd.yml")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`
name: m1
data-dir: /tmp/m1
listen-client-urls: http://127.0.0.1:1,http://127.0.0.1:2
advertise-client-urls: http://127.0.0.1:1
initial-advertise-peer-urls: http://localhost:2380
initial-cluster: m1=http://localhost:2380
heartbeat-interval: 50
max-txn-ops: 7
grpc-keepalive-min-time: 1000000000
cors: "http://a:1"
audit-log-max-size: 5
client-transport-security:
  cert-file: c
  key-file: k
`)
	c, err := ConfigFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != "m1" || c.Dir != "/tmp/m1" || len(c.ListenClientUrls) != 2 || c.TickMs != 50 || c.MaxTxnOps != 7 ||
		c.GRPCKeepAliveMinTime != time.Second || c.ClientTLSInfo.CertFile != "c" || c.ClientTLSInfo.KeyFile != "k" ||
		len(c.CORS) != 1 || !reflect.DeepEqual(c.Settings, map[string]string{"audit-log-max-size": "5"}) {
		t.Errorf("%+v", c)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	write("heartbeat-interval: x\n")
	if _, err := ConfigFromFile(path); err == nil {
		t.Error("a file that is wrong is taken")
	}
	if _, err := ConfigFromFile(path + ".none"); err == nil {
		t.Error("a file that is not there is taken")
	}
}

// TestOneMember: it becomes ready, is asked over its port and inside the program, serves the program's own handlers and
// services, and ends.
func TestOneMember(t *testing.T) {
	cfg := testConfig(t)
	cfg.UserHandlers = map[string]http.Handler{"/own": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "mine") })}
	cfg.ServiceRegister = func(s *grpc.Server) { s.RegisterService(&ownService, nil) }
	e := start(t, cfg)
	await(t, "it to be ready", e.Server.ReadyNotify())
	if len(e.Clients) != 1 || len(e.Peers) != 1 || e.Clients[0].Addr().String() != cfg.ListenClientUrls[0].Host || e.Server.ID() == 0 {
		t.Errorf("it is %v at %v and %v", e.Server.ID(), e.Clients, e.Peers)
	}
	if c := e.Config(); c.Name != DefaultName || e.GetLogger() == nil {
		t.Errorf("its configuration is %+v", c)
	}
	ctx, addr := limited(t), e.Clients[0].Addr().String()
	outside := dial(t, e)
	inside, err := e.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer inside.Close()
	watch := inside.Watch(ctx, "a", clientv3.WithCreatedNotify())
	<-watch
	if _, err := outside.Put(ctx, "a", "1"); err != nil {
		t.Fatal(err)
	}
	if r := <-watch; len(r.Events) != 1 || string(r.Events[0].Kv.Value) != "1" {
		t.Errorf("inside is seen %+v", r)
	}
	if r, err := inside.Get(ctx, "a"); err != nil || len(r.Kvs) != 1 {
		t.Errorf("inside is read %v, %v", r, err)
	}
	grant, err := inside.Grant(ctx, 60)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := inside.KeepAliveOnce(ctx, grant.ID); err != nil {
		t.Error(err)
	}
	if list, err := inside.MemberList(ctx); err != nil || len(list.Members) != 1 {
		t.Errorf("the members are %v, %v", list, err)
	}
	resp, err := http.Get("http://" + addr + "/own")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "mine" {
		t.Errorf("the program's own path is %q, %v", body, err)
	}
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, err := range []error{
		second(inside.UserAdd(ctx, "root", "pw")), second(inside.RoleAdd(ctx, "root")), second(inside.UserGrantRole(ctx, "root", "root")),
		second(inside.AuthEnable(ctx)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := inside.Get(ctx, "a"); err == nil {
		t.Error("nobody reads")
	}
	answer := new(healthpb.HealthCheckResponse)
	if err := conn.Invoke(ctx, "/own.Service/Check", new(healthpb.HealthCheckRequest), answer); err != nil || answer.Status != healthpb.HealthCheckResponse_SERVICE_UNKNOWN {
		t.Errorf("the program's own service says %v, %v", answer, err)
	}
	http.DefaultClient.CloseIdleConnections()
	e.Server.Stop()
	await(t, "its end", e.Server.StopNotify())
	e.Close()
	if err, open := <-e.Err(); open {
		t.Errorf("it tells of %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

// ownService is a service that is no member's.
var ownService = grpc.ServiceDesc{ServiceName: "own.Service", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{
	MethodName: "Check",
	Handler: func(srv any, ctx context.Context, decode func(any) error, around grpc.UnaryServerInterceptor) (any, error) {
		req := new(healthpb.HealthCheckRequest)
		if err := decode(req); err != nil {
			return nil, err
		}
		return around(ctx, req, &grpc.UnaryServerInfo{Server: srv, FullMethod: "/own.Service/Check"}, func(context.Context, any) (any, error) {
			return &healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_SERVICE_UNKNOWN}, nil
		})
	},
}}}

// TestThreeMembers: each start returns before there is a majority, and all become ready.
func TestThreeMembers(t *testing.T) {
	for _, e := range threeMembers(t) {
		await(t, "a member to be ready", e.Server.ReadyNotify())
	}
}

// threeMembers are members of a cluster that need not be ready yet.
func threeMembers(t *testing.T) []*Etcd {
	t.Helper()
	var configs []*Config
	var cluster []string
	for _, name := range []string{"a", "b", "c"} {
		c := testConfig(t)
		c.Name = name
		configs, cluster = append(configs, c), append(cluster, c.InitialClusterFromName(name))
	}
	var members []*Etcd
	for _, c := range configs {
		c.InitialCluster = strings.Join(cluster, ",")
		members = append(members, start(t, c))
		if len(members) == 1 {
			select {
			case <-members[0].Server.ReadyNotify():
				t.Error("one of three is ready")
			default:
			}
		}
	}
	return members
}

// TestStopWhileStarting: a member that waits for others can be stopped.
func TestStopWhileStarting(t *testing.T) {
	c := testConfig(t)
	c.InitialCluster = c.InitialClusterFromName(c.Name) + ",other=http://127.0.0.1:1"
	e := start(t, c)
	e.Server.Stop()
	e.Close()
	if err, open := <-e.Err(); open {
		t.Errorf("it tells of %v", err)
	}
	select {
	case <-e.Server.ReadyNotify():
		t.Error("it is ready")
	default:
	}
}

// TestBusyPort: it is told at once, and the directory is free again.
func TestBusyPort(t *testing.T) {
	first := testConfig(t)
	e := start(t, first)
	await(t, "it to be ready", e.Server.ReadyNotify())
	second := testConfig(t)
	second.ListenClientUrls = first.ListenClientUrls
	if _, err := StartEtcd(second); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("a port in use: %v", err)
	}
	third := testConfig(t)
	third.Dir = first.Dir
	if _, err := StartEtcd(third); err == nil {
		t.Error("a directory in use is taken")
	}
	e.Close()
	again := start(t, third)
	await(t, "it to be ready again", again.Server.ReadyNotify())
}

// TestTakenPath: a handler for a path that is the member's is an error, not the end of the program.
func TestTakenPath(t *testing.T) {
	c := testConfig(t)
	c.UserHandlers = map[string]http.Handler{"/metrics": http.NotFoundHandler()}
	e := start(t, c)
	select {
	case err := <-e.Err():
		if err == nil || !strings.Contains(err.Error(), "a handler of the program cannot be served") {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Error("nothing is told")
	}
}
