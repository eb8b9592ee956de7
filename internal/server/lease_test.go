package server

import (
	"context"
	"errors"
	"testing"
	"time"

	"bowline/internal/lease"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// TestKnownLeasesAreNotWaitedFor: with the gate FastLeaseKeepAlive, a lease that is known
// is renewed however much waits to be applied; one that is not may be among that.
func TestKnownLeasesAreNotWaitedFor(t *testing.T) {
	for _, c := range []struct {
		fast   bool
		behind uint64
		id     int64
		want   error
	}{
		{true, 0, 7, nil},
		{false, 0, 7, nil},
		{true, 1, 7, nil},
		{false, 1, 7, context.Canceled},
		{true, 1, 8, context.Canceled},
		{true, 0, 8, lease.ErrNotFound},
	} {
		m := newFuzzMachine(t)
		if err := m.apply(&pb.InternalRaftRequest{LeaseGrant: &pb.LeaseGrantRequest{ID: 7, TTL: 60}}); err != nil {
			t.Fatal(err)
		}
		clock := lease.NewKeeper(lease.Config{})
		clock.Promote(0, m.fsm.Leases().All())
		s := New(Config{FastKeepAlive: c.fast, LeaseClock: clock}, time.Unix(1, 0))
		s.Attach(m.fsm, behindNode{commit: m.fsm.Applied() + c.behind})
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // whoever waits fails
		if _, err := s.RenewLease(ctx, c.id); !errors.Is(err, c.want) {
			t.Errorf("lease %d, fast %t, %d behind: %v, want %v", c.id, c.fast, c.behind, err, c.want)
		}
	}
}
