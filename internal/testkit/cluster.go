package testkit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

// Cluster is several members that were started as one. Like those it is for one
// goroutine: the one that hurts them while others use clients.
type Cluster struct {
	// Members are all that belong to the cluster, running or not. What one member
	// can do by itself (Crash, Shutdown, Pause, Resume, Launch, Restart) is done to
	// it directly.
	Members []*Server

	program string
	dir     string
	ports   *Ports
	network Network
	flags   []string
	named   int // members that were ever there
}

// NewCluster is a cluster of n members that have not been started. They live
// below dir and take flags besides those that every member is given.
func NewCluster(program, dir string, n int, ports *Ports, flags ...string) (*Cluster, error) {
	return NewClusterOn(loopback{}, program, dir, n, ports, flags...)
}

// NewClusterOn is NewCluster with members that are where network puts them.
func NewClusterOn(network Network, program, dir string, n int, ports *Ports, flags ...string) (*Cluster, error) {
	c := &Cluster{program: program, dir: dir, ports: ports, network: network, flags: flags}
	var all []string
	for range n {
		m, err := c.newMember()
		if err != nil {
			c.Kill()
			return nil, err
		}
		c.Members = append(c.Members, m)
		all = append(all, m.Name+"="+m.PeerURL())
	}
	for _, m := range c.Members {
		m.cluster, m.state = strings.Join(all, ","), "new"
	}
	return c, nil
}

// StartCluster starts a cluster of n members and waits until all of them answer.
func StartCluster(program, dir string, n int, ports *Ports, flags ...string) (*Cluster, error) {
	return StartClusterOn(loopback{}, program, dir, n, ports, flags...)
}

// StartClusterOn is StartCluster with members that reach each other over a network.
func StartClusterOn(network Network, program, dir string, n int, ports *Ports, flags ...string) (*Cluster, error) {
	c, err := NewClusterOn(network, program, dir, n, ports, flags...)
	if err != nil {
		return nil, err
	}
	for _, m := range c.Members {
		if err = m.Launch(); err != nil {
			break
		}
	}
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), startPatience)
		err = c.WaitHealthy(ctx)
		cancel()
	}
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, c.Logs(10))
		c.Kill()
		return nil, err
	}
	return c, nil
}

// newMember makes the next member, which is not among Members yet.
func (c *Cluster) newMember() (*Server, error) {
	c.named++
	name := fmt.Sprintf("m%d", c.named)
	dir := filepath.Join(c.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return newMember(name, c.program, dir, c.ports, c.network, c.flags)
}

// Stop asks all members to end, those that run, and reports what went wrong in
// their lives.
func (c *Cluster) Stop() error {
	failures := make([]error, len(c.Members))
	var wg sync.WaitGroup
	for i, m := range c.Members {
		wg.Go(func() { // one after the other, the last would wait for a majority in vain
			if err := m.Stop(); err != nil {
				failures[i] = fmt.Errorf("%s: %w", m.Name, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(failures...)
}

// Kill ends all members by force. It is allowed after Stop.
func (c *Cluster) Kill() {
	for _, m := range c.Members {
		m.Kill()
	}
}

// Logs is the end of what each member has printed.
func (c *Cluster) Logs(lines int) string {
	var b strings.Builder
	for _, m := range c.Members {
		fmt.Fprintf(&b, "%s:\n%s\n", m.Name, m.Log(lines))
	}
	return b.String()
}

// Endpoints are the addresses of all members but those given.
func (c *Cluster) Endpoints(without ...*Server) []string {
	var all []string
	for _, m := range c.others(without) {
		all = append(all, m.Addr)
	}
	return all
}

// Client connects to all members but those given.
func (c *Cluster) Client(without ...*Server) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: c.Endpoints(without...), DialTimeout: callPatience, Logger: zap.NewNop()})
}

func (c *Cluster) others(without []*Server) []*Server {
	var rest []*Server
	for _, m := range c.Members {
		left := false
		for _, w := range without {
			left = left || w == m
		}
		if !left {
			rest = append(rest, m)
		}
	}
	return rest
}

// running are the members that have a process.
func (c *Cluster) running() []*Server {
	var all []*Server
	for _, m := range c.Members {
		if m.Running() {
			all = append(all, m)
		}
	}
	return all
}

// WaitHealthy waits until every member that runs answers a linearizable read, a
// learner its status, and until they agree who leads.
func (c *Cluster) WaitHealthy(ctx context.Context) error {
	for _, m := range c.running() {
		if err := m.wait(ctx, m.healthy); err != nil {
			return err
		}
	}
	_, err := c.Leader(ctx)
	return err
}

// healthy is a read by a voter, and a status of a learner.
func (s *Server) healthy(ctx context.Context) error {
	status, err := s.status(ctx)
	if err != nil || status.IsLearner {
		return err
	}
	return s.ask(ctx)
}

func (s *Server) status(ctx context.Context) (status *etcdserverpb.StatusResponse, err error) {
	err = s.call(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
		status, err = etcdserverpb.NewMaintenanceClient(conn).Status(ctx, &etcdserverpb.StatusRequest{})
		return err
	})
	return status, err
}

// statuses asks all members that run at the same time; an answer is nil where
// none came.
func (c *Cluster) statuses(ctx context.Context) (asked []*Server, answers []*etcdserverpb.StatusResponse) {
	asked = c.running()
	answers = make([]*etcdserverpb.StatusResponse, len(asked))
	var wg sync.WaitGroup
	for i, m := range asked {
		wg.Go(func() {
			if status, err := m.status(ctx); err == nil {
				answers[i] = status
			}
		})
	}
	wg.Wait()
	return asked, answers
}
