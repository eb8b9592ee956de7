package proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/naming/endpoints"
	"go.uber.org/zap"
)

// registerPause is how long to wait before what failed with the register is tried again.
const registerPause = time.Second

// cluster answers who the members are: the proxies, so that clients that look for members stay with them. It is
// registered only if the proxy has an address to advertise.
type cluster struct {
	pb.UnimplementedClusterServer
	client *clientv3.Client
	// advertise is this proxy's own address; it and others are registered below prefix, for as long as a lease of
	// so many seconds lives. There is no register if prefix is empty.
	advertise, prefix string
	ttl               int
	log               *zap.Logger

	mu      sync.Mutex // guards proxies
	proxies map[string]endpoints.Endpoint
}

// entry is what the register says of a proxy beside its address.
type entry struct {
	Name string `json:"name"`
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}

// MemberList lists the registered proxies, and this one if there are none.
func (c *cluster) MemberList(context.Context, *pb.MemberListRequest) (*pb.MemberListResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var members []*pb.Member
	for _, p := range c.proxies {
		var e entry
		if err := json.Unmarshal([]byte(fmt.Sprint(p.Metadata)), &e); err != nil { //nolint:staticcheck // the register's format
			return nil, err
		}
		members = append(members, &pb.Member{Name: e.Name, ClientURLs: []string{p.Addr}})
	}
	slices.SortFunc(members, func(a, b *pb.Member) int { return slices.Compare(a.ClientURLs, b.ClientURLs) })
	if len(members) == 0 {
		members = append(members, &pb.Member{Name: hostname(), ClientURLs: []string{c.advertise}})
	}
	return &pb.MemberListResponse{Members: members}, nil
}

// register keeps this proxy in the register until ctx ends.
func (c *cluster) register(ctx context.Context) {
	for ctx.Err() == nil {
		session, err := c.enroll(ctx)
		if err != nil {
			if ctx.Err() == nil {
				c.log.Warn("failed to create a session", zap.Error(err))
			}
			pause(ctx, registerPause)
			continue
		}
		select {
		case <-ctx.Done():
			_ = session.Close() // gives the lease back; if that fails, it expires
		case <-session.Done():
			c.log.Warn("session expired; possible network partition or server restart")
			c.log.Warn("creating a new session to rejoin")
			pause(ctx, registerPause)
		}
	}
}

func (c *cluster) enroll(ctx context.Context) (*concurrency.Session, error) {
	session, err := concurrency.NewSession(c.client, concurrency.WithTTL(c.ttl))
	if err != nil {
		return nil, err
	}
	about, err := json.Marshal(entry{hostname()})
	if err == nil {
		var manager endpoints.Manager
		if manager, err = endpoints.NewManager(c.client, c.prefix); err == nil {
			err = manager.AddEndpoint(ctx, c.prefix+"/"+c.advertise,
				endpoints.Endpoint{Addr: c.advertise, Metadata: string(about)}, clientv3.WithLease(session.Lease()))
		}
	}
	if err != nil {
		_ = session.Close()
		return nil, err
	}
	c.log.Info("registered session with lease", zap.String("addr", c.advertise), zap.Int("lease-ttl", c.ttl))
	return session, nil
}

// follow keeps the list of proxies until ctx ends.
func (c *cluster) follow(ctx context.Context) {
	for ctx.Err() == nil {
		manager, err := endpoints.NewManager(c.client, c.prefix)
		if err == nil {
			var updates endpoints.WatchChannel
			if updates, err = manager.NewWatchChannel(ctx); err == nil {
				c.note(updates)
			}
		}
		if err != nil && ctx.Err() == nil {
			c.log.Warn("failed to establish endpoint watch", zap.String("prefix", c.prefix), zap.Error(err))
		}
		pause(ctx, registerPause)
	}
}

// note takes updates until there are no more. The first holds all that is registered.
func (c *cluster) note(updates endpoints.WatchChannel) {
	fresh := true
	for batch := range updates {
		c.mu.Lock()
		if fresh {
			c.proxies = make(map[string]endpoints.Endpoint)
		}
		fresh = false
		for _, u := range batch {
			switch u.Op {
			case endpoints.Add:
				c.proxies[u.Key] = u.Endpoint
			case endpoints.Delete:
				delete(c.proxies, u.Key)
			}
		}
		c.mu.Unlock()
	}
	c.log.Info("endpoints watch channel closed")
}

// pause waits, but not longer than ctx.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
