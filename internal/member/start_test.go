package member

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bowline/internal/config"
	"bowline/internal/engine"
	"bowline/internal/fsm"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// local is a URL at which any free port of this machine is listened on.
func local() []url.URL { return []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}} }

// testConfig is a member alone, in a directory of its own, that decides quickly.
func testConfig(t *testing.T) Config {
	const peer = "http://127.0.0.1:1"
	return Config{
		Name: "one", DataDir: t.TempDir(),
		ListenPeerURLs: local(), ListenClientURLs: local(),
		AdvertisePeerURLs: []string{peer}, AdvertiseClientURLs: []string{"http://127.0.0.1:2"},
		InitialCluster: map[string][]string{"one": {peer}}, InitialToken: "t",
		Tick: 10 * time.Millisecond, ElectionTicks: 10, HeartbeatTicks: 1, PreVote: true,
		MaxRequestBytes: 1 << 20, MaxTxnOps: 128, MaxConcurrentStreams: 1 << 20,
		SlowRequest: time.Minute, SlowApply: time.Minute, Gates: config.Features{FastLeaseKeepAlive: true}.Gates(),
	}
}

// startMember starts a member that ends, leaving no goroutine, with the test.
func startMember(t *testing.T, cfg Config) *Member {
	t.Helper()
	before := goleak.IgnoreCurrent()
	m, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Stop(); err != nil {
			t.Error(err)
		}
		goleak.VerifyNone(t, before)
	})
	return m
}

func (m *Member) clientAddr() string { return m.front.clients[0].Addr().String() }

// dial connects to a member; the connection ends before the member does.
func dial(t *testing.T, m *Member) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(m.clientAddr(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestAMemberStopsAndStartsAgain(t *testing.T) {
	cfg := testConfig(t)
	before := goleak.IgnoreCurrent()
	key := []byte("k")
	var id uint64
	for round := range 3 {
		m, err := Start(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if id == 0 {
			id = m.ID()
		}
		if m.ID() != id {
			t.Errorf("round %d: the member is %x, was %x", round, m.ID(), id)
		}
		conn := dial(t, m)
		kv := pb.NewKVClient(conn)
		got, err := kv.Range(t.Context(), &pb.RangeRequest{Key: key})
		if err != nil {
			t.Fatal(err)
		}
		if want := int64(round + 1); got.Header.Revision != want {
			t.Errorf("round %d: revision %d, want %d", round, got.Header.Revision, want)
		}
		if _, err := kv.Put(t.Context(), &pb.PutRequest{Key: key}); err != nil {
			t.Fatal(err)
		}
		conn.Close()
		if err := m.Stop(); err != nil {
			t.Fatal(err)
		}
		if err := m.Stop(); err != nil {
			t.Errorf("the second Stop says %v", err)
		}
		goleak.VerifyNone(t, before)
	}
}

// TestABusyPortLeavesNoTrace: whoever has mistyped a port can correct it and start,
// and a directory that another server uses is not touched.
func TestABusyPortLeavesNoTrace(t *testing.T) {
	before := goleak.IgnoreCurrent()
	for name, set := range map[string]func(*Config) *[]url.URL{
		"peers":   func(c *Config) *[]url.URL { return &c.ListenPeerURLs },
		"clients": func(c *Config) *[]url.URL { return &c.ListenClientURLs },
		"http":    func(c *Config) *[]url.URL { return &c.ListenHTTPURLs },
		"metrics": func(c *Config) *[]url.URL { return &c.ListenMetricsURLs },
	} {
		taken, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		cfg := testConfig(t)
		cfg.DataDir = filepath.Join(cfg.DataDir, "data")
		*set(&cfg) = []url.URL{{Scheme: "http", Host: taken.Addr().String()}}
		if _, err := Start(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "in use") {
			t.Errorf("%s: a busy port gives %v", name, err)
		}
		if _, err := os.Stat(cfg.DataDir); !os.IsNotExist(err) {
			t.Errorf("%s: the data directory is there (%v)", name, err)
		}
		taken.Close()
	}
	goleak.VerifyNone(t, before)
}

func TestADirectoryHasOneMember(t *testing.T) {
	first := startMember(t, testConfig(t))
	second := testConfig(t)
	second.DataDir = first.cfg.DataDir
	_, err := Start(t.Context(), second)
	if err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("a second member on the directory gives %v", err)
	}
	if status, body := get(t, first, "/health"); status != http.StatusOK {
		t.Errorf("the first member answers %d: %s", status, body)
	}
}

// TestForeignDirectoriesAreRefused: what we did not write is not touched.
func TestForeignDirectoriesAreRefused(t *testing.T) {
	before := goleak.IgnoreCurrent()
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"etcd's":           {map[string]string{"snap/db": "x", "wal/0.wal": "x"}, "holds a data directory of etcd"},
		"a newer format":   {map[string]string{"FORMAT": "bowline 99\n"}, "was written by a newer version"},
		"another program":  {map[string]string{"FORMAT": "mysql 8\n"}, "not the format of a data directory"},
		"an empty version": {map[string]string{"FORMAT": ""}, "not the format of a data directory"},
	} {
		cfg := testConfig(t)
		for file, text := range c.files {
			path := filepath.Join(cfg.DataDir, "member", file)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Start(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
		for file, text := range c.files {
			if got, err := os.ReadFile(filepath.Join(cfg.DataDir, "member", file)); err != nil || string(got) != text {
				t.Errorf("%s: %s is now %q (%v)", name, file, got, err)
			}
		}
	}
	goleak.VerifyNone(t, before)
}

// TestAnUnfinishedFirstStartIsBegunAgain: the log's presence says that a member
// exists; an engine without one, with nothing but its first entries, is the rest of
// a start that did not come to its end.
func TestAnUnfinishedFirstStartIsBegunAgain(t *testing.T) {
	cfg := testConfig(t)
	cfg.FS = vfs.Default
	cfg.Logger = zap.NewNop()
	d, err := openDataDir(&cfg)
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.Open(d.engine, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := fsm.Bootstrap(e, cfg.initial().First(), fsm.Position{Index: 1, Term: 1}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(e.Close(), d.markFormat(), d.close()); err != nil {
		t.Fatal(err)
	}
	m := startMember(t, cfg)
	if rev := m.fsm.Store().Revision(); rev != 1 {
		t.Errorf("the revision is %d, want that of an empty store", rev)
	}
}

// TestAMemberWithoutItsLogIsNotBegunAgain: its state is all that is left of it.
func TestAMemberWithoutItsLogIsNotBegunAgain(t *testing.T) {
	cfg := testConfig(t)
	m, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(m.dir.wal); err != nil {
		t.Fatal(err)
	}
	for range 2 { // being refused does not change what is there
		if _, err := Start(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "there is no log in") {
			t.Fatal(err)
		}
	}
}
