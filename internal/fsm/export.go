package fsm

import (
	"context"
	"slices"

	"bowline/internal/cluster"
	"bowline/internal/engine"
	"bowline/internal/lease"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Export is the whole replicated state at one applied index, for whoever writes
// it down in another form. Close it.
type Export struct {
	Position Position
	Revision int64
	// Rest is called between small pieces of work, by one goroutine: it pauses while
	// clients write, so that they hardly feel it. It fails when ctx ends.
	Rest func(ctx context.Context) error
	// Keys holds the key space as it was; read it with mvcc.EachVersion.
	Keys *engine.Snapshot
	// Scheduled and Finished are the compaction marks, -1 where there is none.
	Scheduled, Finished int64
	Leases              []lease.Lease
	Members             *cluster.View
	Alarms              []*pb.AlarmMember
	ClusterVersion      string
	Downgrade           Downgrade
	// AuthEnabled, AuthRevision, Users and Roles are the rules of access.
	AuthEnabled  bool
	AuthRevision uint64
	Users        []*authpb.User
	Roles        []*authpb.Role
}

// Export captures the state between two groups.
func (f *FSM) Export() *Export {
	f.mu.Lock()
	defer f.mu.Unlock()
	x := &Export{
		Rest:     f.newBreath(exportRest).take,
		Position: f.position, Revision: f.store.Revision(), Keys: f.engine.NewSnapshot(), Leases: slices.Collect(f.leases.All()),
		Members: f.Members(), Alarms: f.Alarms(), ClusterVersion: f.ClusterVersion(), Downgrade: f.Downgrade(),
	}
	x.Scheduled, x.Finished = f.store.CompactionMarks()
	rules := f.Rules()
	x.AuthEnabled, x.AuthRevision = rules.Enabled, rules.Revision
	for _, name := range rules.UserNames() {
		x.Users = append(x.Users, rules.User(name))
	}
	for _, name := range rules.RoleNames() {
		x.Roles = append(x.Roles, rules.Role(name))
	}
	return x
}

// Close lets the state go.
func (x *Export) Close() error { return x.Keys.Close() }
