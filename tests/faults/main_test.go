package faults

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"bowline/internal/engine"
	"bowline/internal/fsm"
	"bowline/internal/mvcc"
	"bowline/internal/testkit"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

var (
	etcd  = &testkit.Program{Name: "etcd", Variable: "BOWLINE_ETCD"}
	ports testkit.Ports
)

func TestMain(m *testing.M) { testkit.Main(m, etcd) }

// patience is how long anything that must happen may take.
const patience = 60 * time.Second

// startServer starts a server whose life ends with the test.
func startServer(t *testing.T, flags ...string) *testkit.Server {
	t.Helper()
	s, err := testkit.StartServer(etcd.Path(t), t.TempDir(), &ports, flags...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return s
}

// client is a plain connection: nothing in it tries again or resumes by itself.
type client struct {
	pb.KVClient
	pb.WatchClient
	pb.LeaseClient
	pb.MaintenanceClient
	conn *grpc.ClientConn
}

func dial(addr string) (*client, error) {
	const maxAnswer = 1 << 30
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)))
	if err != nil {
		return nil, err
	}
	return &client{KVClient: pb.NewKVClient(conn), WatchClient: pb.NewWatchClient(conn),
		LeaseClient: pb.NewLeaseClient(conn), MaintenanceClient: pb.NewMaintenanceClient(conn), conn: conn}, nil
}

func dialTest(t *testing.T, s *testkit.Server) *client {
	t.Helper()
	c, err := dial(s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.conn.Close() })
	return c
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// checkOffline opens the directory of a server that has ended, as a member would,
// and compares every derived record in it with its source.
func checkOffline(t *testing.T, dataDir string) {
	t.Helper()
	e, err := engine.Open(filepath.Join(dataDir, "member", "engine"), engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	f, err := fsm.Open(fsm.Config{
		Engine: e, MinLeaseTTL: 2,
		Deliver: func(uint64, fsm.Result) {}, Publish: func(int64, []mvcc.Event, bool) {},
		LeaseGranted: func(int64, int64) {}, LeaseRevoked: func(int64) {}, EmptyEntry: func(uint64) {}, Fatal: func(error) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Check(context.Background()); err != nil {
		t.Errorf("offline check: %v", err)
	}
}
