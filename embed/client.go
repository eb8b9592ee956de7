package embed

import (
	"context"
	"errors"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
)

// Client is a client of the member that never leaves the program: no port, no certificates. It is to be closed by its
// user, before the member is.
func (e *Etcd) Client() (*clientv3.Client, error) {
	conn, err := e.Server.member.Loopback()
	if err != nil {
		return nil, err
	}
	c := clientv3.NewCtxClient(context.Background(), clientv3.WithZapLogger(e.log.Named("client")))
	c.KV = clientv3.NewKVFromKVClient(pb.NewKVClient(conn), c)
	c.Lease = clientv3.NewLeaseFromLeaseClient(pb.NewLeaseClient(conn), c, leaseTimeout)
	c.Watcher = closing{clientv3.NewWatchFromWatchClient(pb.NewWatchClient(conn), c), conn}
	c.Cluster = clientv3.NewClusterFromClusterClient(pb.NewClusterClient(conn), c)
	c.Maintenance = clientv3.NewMaintenanceFromMaintenanceClient(pb.NewMaintenanceClient(conn), c)
	c.Auth = clientv3.NewAuthFromAuthClient(pb.NewAuthClient(conn), c)
	return c, nil
}

// leaseTimeout is how long the client waits for the first answer of a lease that it keeps alive.
const leaseTimeout = 5 * time.Second

// closing is a watcher that closes the connection when it is closed, which the client does when it is.
type closing struct {
	clientv3.Watcher
	conn *grpc.ClientConn
}

// Close implements clientv3.Watcher.
func (w closing) Close() error { return errors.Join(w.Watcher.Close(), w.conn.Close()) }
