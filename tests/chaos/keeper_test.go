package chaos

import (
	"context"
	"fmt"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

const (
	leaseTTL = 10 * time.Second
	// leaseMargin is what an answered keep-alive may be worth less than its TTL: a
	// leader that was deposed and does not know it answers for one election timeout.
	leaseMargin = 2 * time.Second
)

// keeper keeps a lease alive, at one member after the other, and looks whether its
// key is there.
type keeper struct {
	*load
	key string
	at  int

	lease int64
	alive time.Time // when the newest keep-alive that was answered was sent

	mu    sync.Mutex // guards the fields below
	kept  int        // keep-alives that were answered
	looks int        // times that the key was found
	wrong error
}

func (k *keeper) run(ctx context.Context) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			k.turn(context.WithoutCancel(ctx))
		}
	}
}

// turn is one attempt of whatever comes next; the next one is at another member if
// it fails.
func (k *keeper) turn(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	c := k.conns[k.at%len(k.conns)]
	do := k.keep
	if k.lease == 0 {
		do = k.grant
	}
	if do(ctx, c) != nil {
		k.at++
	}
	if k.lease != 0 {
		k.look(ctx, k.conns[(k.at+1)%len(k.conns)])
	}
}

func (k *keeper) grant(ctx context.Context, c *client) error {
	sent := time.Now()
	granted, err := c.LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: int64(leaseTTL / time.Second)})
	if err != nil {
		return err
	}
	if _, err = c.Put(ctx, &pb.PutRequest{Key: []byte(k.key), Value: []byte(k.key), Lease: granted.ID}); err != nil {
		return err
	}
	k.lease, k.alive = granted.ID, sent
	return nil
}

func (k *keeper) keep(ctx context.Context, c *client) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.LeaseKeepAlive(ctx)
	if err != nil {
		return err
	}
	sent := time.Now()
	if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: k.lease}); err != nil {
		return err
	}
	resp, err := stream.Recv()
	if err != nil {
		return err
	}
	switch {
	case resp.TTL > 0:
		k.alive = sent
		k.count(&k.kept)
	case k.mustLive():
		k.blame(fmt.Errorf("%s: lease %x is gone by %s, %v after it was kept alive", k.key, k.lease, c.member.Name, time.Since(k.alive)))
	default:
		k.lease = 0 // nobody could keep it alive for so long; begin again
	}
	return nil
}

// look reads the key. That it is missing counts by when the read was answered.
func (k *keeper) look(ctx context.Context, c *client) {
	resp, err := c.Range(ctx, &pb.RangeRequest{Key: []byte(k.key)})
	if err != nil {
		return
	}
	if len(resp.Kvs) > 0 {
		k.count(&k.looks)
	} else if k.mustLive() {
		k.blame(fmt.Errorf("%s is gone by %s at revision %d, %v after its lease %x was kept alive", k.key, c.member.Name, resp.Header.Revision, time.Since(k.alive), k.lease))
	}
}

// mustLive tells whether the lease cannot have expired.
func (k *keeper) mustLive() bool {
	return time.Since(k.alive) < leaseTTL-leaseMargin && !k.clocks.jumpedSince(k.alive)
}

func (k *keeper) count(n *int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	*n++
}

func (k *keeper) blame(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.wrong == nil {
		k.wrong = err
	}
}

func (k *keeper) err() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.wrong
}
