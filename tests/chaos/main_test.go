package chaos

import (
	"testing"
	"time"

	"bowline/internal/testkit"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
)

var (
	etcd  = testkit.Program{Name: "etcd", Variable: "BOWLINE_ETCD"}
	ports testkit.Ports
)

func TestMain(m *testing.M) { testkit.Main(m, &etcd) }

// patience is how long a cluster that nobody hurts may take for anything.
const patience = 40 * time.Second

// client is a plain connection to one member: nothing in it tries again or goes
// elsewhere.
type client struct {
	pb.KVClient
	pb.WatchClient
	pb.LeaseClient
	pb.ClusterClient
	pb.MaintenanceClient
	conn   *grpc.ClientConn
	member *testkit.Server
}

func dial(member *testkit.Server) (*client, error) {
	soon := grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1, MaxDelay: 50 * time.Millisecond}, MinConnectTimeout: time.Second}
	conn, err := grpc.NewClient(member.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithConnectParams(soon))
	if err != nil {
		return nil, err
	}
	return &client{KVClient: pb.NewKVClient(conn), WatchClient: pb.NewWatchClient(conn), LeaseClient: pb.NewLeaseClient(conn),
		ClusterClient: pb.NewClusterClient(conn), MaintenanceClient: pb.NewMaintenanceClient(conn), conn: conn, member: member}, nil
}

// dialAll connects to each member.
func dialAll(members []*testkit.Server) (all []*client, err error) {
	for _, m := range members {
		c, err := dial(m)
		if err != nil {
			hangUp(all)
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

func hangUp(clients []*client) {
	for _, c := range clients {
		c.conn.Close()
	}
}
