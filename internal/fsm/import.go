package fsm

import (
	"encoding/binary"
	"fmt"

	"bowline/internal/cluster"
	"bowline/internal/engine"
	"bowline/internal/lease"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// Records are the replicated state, but for the key space, as another program has
// left it.
type Records struct {
	Position       Position
	Members        *cluster.View
	Leases         []lease.Lease
	Alarms         []*pb.AlarmMember
	ClusterVersion string
	Downgrade      Downgrade
	AuthEnabled    bool
	AuthRevision   uint64
	Users          []*authpb.User
	Roles          []*authpb.Role
}

// Import writes r into an engine that holds a key space and nothing else (see
// mvcc.Builder), and flushes it: when Import returns, e is a member's state. It must
// be the last thing that is written, since the position is part of it.
func Import(e *engine.Engine, r *Records) error {
	b := e.NewBatch()
	if err := r.write(b); err != nil {
		return fmt.Errorf("fsm: import: %w", err)
	}
	if err := e.Commit(b); err != nil {
		return err
	}
	return e.Flush()
}

func (r *Records) write(b *engine.Batch) error {
	for i := range r.Members.Members() {
		if err := putMember(b, &r.Members.Members()[i]); err != nil {
			return err
		}
	}
	for _, id := range r.Members.RemovedIDs() {
		if err := set(b, memberKey(memberRemoved, id), nil); err != nil {
			return err
		}
	}
	for _, l := range r.Leases {
		if err := set(b, leaseKey(l.ID), l.Append(nil)); err != nil {
			return err
		}
	}
	for _, a := range r.Alarms {
		if err := set(b, alarmKey(a), nil); err != nil {
			return err
		}
	}
	if r.ClusterVersion != "" {
		if err := set(b, metaKey(metaClusterVersion), []byte(r.ClusterVersion)); err != nil {
			return err
		}
	}
	if r.Downgrade.Enabled {
		if err := putDowngrade(b, r.Downgrade); err != nil {
			return err
		}
	}
	if err := r.writeAuth(b); err != nil {
		return err
	}
	return set(b, metaKey(metaApplied), r.Position.encode())
}

func (r *Records) writeAuth(b *engine.Batch) error {
	put := func(prefix string, name []byte, m proto.Message) error {
		record, err := proto.Marshal(m)
		if err != nil {
			return err
		}
		return set(b, engine.Key(engine.ClassAuth, append([]byte(prefix), name...)), record)
	}
	for _, u := range r.Users {
		if err := put(authUser, u.Name, u); err != nil {
			return err
		}
	}
	for _, role := range r.Roles {
		if err := put(authRole, role.Name, role); err != nil {
			return err
		}
	}
	if r.AuthEnabled {
		if err := set(b, metaKey(metaAuthEnabled), []byte{1}); err != nil {
			return err
		}
	}
	return set(b, metaKey(metaAuth), binary.BigEndian.AppendUint64(nil, max(r.AuthRevision, 1)))
}
