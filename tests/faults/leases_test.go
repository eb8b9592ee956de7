package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// leaser grants, uses and revokes leases; it lives as long as the test.
type leaser struct {
	rng    *rand.Rand
	serial int64
	// leases are those that may exist.
	leases map[int64]*leaseState
	// short are the keys whose leases nobody keeps alive.
	short []string
}

// leaseState is what is known of a lease. Each step is sent when the one before
// was answered, so only the last may be open.
type leaseState struct {
	granted, revoking bool
	keys              []string // acknowledged
	open              string   // a key that is being put, if any
}

const longTTL = 10_000 // seconds: these never expire during the test

// step takes one step with some lease.
func (s *leaser) step(ctx context.Context, l *load) error {
	if len(s.leases) < 5 {
		return s.grant(ctx, l)
	}
	ids := make([]int64, 0, len(s.leases))
	for id := range s.leases {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	id := ids[s.rng.IntN(len(ids))]
	state := s.leases[id]
	switch n := s.rng.IntN(6); {
	case n == 0:
		state.revoking = true
		resp, err := l.LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: id})
		if err != nil {
			return err
		}
		l.h.told(resp.Header.Revision)
		delete(s.leases, id)
	case n == 1:
		return s.keepAlive(ctx, l, id)
	case n == 2:
		return s.shortLease(ctx, l)
	default:
		state.open = fmt.Sprintf("%s%d/%d", leasePrefix, id, len(state.keys))
		resp, err := l.Put(ctx, &pb.PutRequest{Key: []byte(state.open), Lease: id})
		if err != nil {
			return err
		}
		l.h.told(resp.Header.Revision)
		state.keys, state.open = append(state.keys, state.open), ""
	}
	return nil
}

func (s *leaser) grant(ctx context.Context, l *load) error {
	s.serial++
	id := s.serial
	s.leases[id] = new(leaseState)
	resp, err := l.LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: id, TTL: longTTL})
	if err != nil {
		return err
	}
	s.leases[id].granted = true
	if resp.ID != id || resp.TTL != longTTL {
		return fmt.Errorf("granted %v", resp)
	}
	return nil
}

func (s *leaser) keepAlive(ctx context.Context, l *load, id int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	k, err := l.LeaseKeepAlive(ctx)
	if err != nil {
		return err
	}
	if err := k.Send(&pb.LeaseKeepAliveRequest{ID: id}); err != nil {
		return err
	}
	resp, err := k.Recv()
	if err != nil {
		return err
	}
	if resp.TTL != longTTL {
		return fmt.Errorf("keep alive of a granted lease: %v", resp)
	}
	return nil
}

// shortLease puts a key that must go away by itself.
func (s *leaser) shortLease(ctx context.Context, l *load) error {
	s.serial++
	id := -s.serial
	key := fmt.Sprintf("%sshort/%d", leasePrefix, s.serial)
	if _, err := l.LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: id, TTL: 1}); err != nil {
		return err
	}
	s.short = append(s.short, key)
	_, err := l.Put(ctx, &pb.PutRequest{Key: []byte(key), Lease: id})
	return err
}

// verify compares the leases after a restart with what was acknowledged.
func (s *leaser) verify(ctx context.Context, l *load) error {
	for id, state := range s.leases {
		resp, err := l.LeaseTimeToLive(ctx, &pb.LeaseTimeToLiveRequest{ID: id, Keys: true})
		if err != nil {
			return err
		}
		var keys []string
		for _, k := range resp.Keys {
			keys = append(keys, string(k))
		}
		slices.Sort(keys)
		stored, err := l.Range(ctx, &pb.RangeRequest{Key: fmt.Appendf(nil, "%s%d/", leasePrefix, id), RangeEnd: fmt.Appendf(nil, "%s%d0", leasePrefix, id)})
		if err != nil {
			return err
		}
		if len(stored.Kvs) != len(keys) {
			return fmt.Errorf("lease %d has keys %q, but there are %v", id, keys, stored.Kvs)
		}
		if resp.TTL < 0 {
			if state.granted && !state.revoking {
				return fmt.Errorf("lease %d was granted and is lost", id)
			}
			delete(s.leases, id)
			continue
		}
		if resp.GrantedTTL != longTTL {
			return fmt.Errorf("lease %d: %v", id, resp)
		}
		if i := slices.Index(keys, state.open); i >= 0 {
			state.keys = append(state.keys, state.open)
		}
		state.open, state.granted, state.revoking = "", true, false
		want := slices.Sorted(slices.Values(state.keys))
		if !slices.Equal(keys, want) {
			return fmt.Errorf("lease %d has keys %q, want %q", id, keys, want)
		}
	}
	return nil
}
