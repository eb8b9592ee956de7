package compat

import (
	"context"
	"errors"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// TestKeepAliveOutlivesTheTTL renews a short lease in the client's background,
// past the time that it was granted for, until it is revoked.
func TestKeepAliveOutlivesTheTTL(t *testing.T) {
	c, ctx := start(t)
	granted, err := c.Grant(ctx, 2)
	must(t, err)
	put(t, ctx, c, "key", "held", clientv3.WithLease(granted.ID))
	renewals, err := c.KeepAlive(ctx, granted.ID)
	must(t, err)
	for range 4 { // one at once, the others each second
		if r := receive(t, ctx, renewals); r.ID != granted.ID || r.TTL != 2 {
			t.Errorf("renewed %+v", r)
		}
	}
	if got := get(t, ctx, c, "key"); got != "held" {
		t.Errorf("the key is %q", got)
	}
	_, err = c.Revoke(ctx, granted.ID)
	must(t, err)
	closed(t, ctx, renewals)
}

func TestLeaseEndsWithoutRenewal(t *testing.T) {
	c, ctx := start(t)
	granted, err := c.Grant(ctx, 1)
	must(t, err)
	rev := put(t, ctx, c, "key", "held", clientv3.WithLease(granted.ID))
	gone := receive(t, ctx, c.Watch(ctx, "key", clientv3.WithRev(rev+1), clientv3.WithPrevKV()))
	if e := gone.Events[0]; e.Type != clientv3.EventTypeDelete || e.PrevKv.Lease != int64(granted.ID) {
		t.Errorf("the lease's end is told as %v", e)
	}
	if _, err := c.KeepAliveOnce(ctx, granted.ID); !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		t.Errorf("renewing it then: %v", err)
	}
	left, err := c.TimeToLive(ctx, granted.ID)
	must(t, err)
	if left.TTL != -1 {
		t.Errorf("%d seconds are left", left.TTL)
	}
	all, err := c.Leases(ctx)
	must(t, err)
	if len(all.Leases) != 0 {
		t.Errorf("leases are %v", all.Leases)
	}
}

func TestRequireLeader(t *testing.T) {
	c, ctx := start(t)
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	rev := put(t, ctx, c, "key", "1")
	if got := get(t, ctx, c, "key"); got != "1" {
		t.Errorf("the key is %q", got)
	}
	if r := receive(t, ctx, c.Watch(ctx, "key", clientv3.WithRev(rev))); r.Err() != nil || len(r.Events) != 1 {
		t.Errorf("the watch says %v, %v", r.Events, r.Err())
	}
	granted, err := c.Grant(ctx, 30)
	must(t, err)
	renewals, err := c.KeepAlive(ctx, granted.ID)
	must(t, err)
	receive(t, ctx, renewals)
}
