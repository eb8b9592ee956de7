package fsm

import (
	"errors"
	"fmt"
	"slices"

	"bowline/internal/auth"
	"bowline/internal/cluster"
	"bowline/internal/engine"
	"bowline/internal/lease"
	"bowline/internal/mvcc"
	"bowline/internal/v2"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// loaded is all that is kept in memory of what an engine holds.
type loaded struct {
	store    *mvcc.Store
	position Position
	leases   []lease.Lease
	members  *cluster.View
	alarms   []*pb.AlarmMember
	rules    *auth.Rules
	version  string
	// v2 is the index and the counters of the tree of API v2.
	v2      v2.State
	lowered Downgrade
}

// load reads the state from e. It takes back what a request has spilled that was
// cut short, and writes nothing else.
func load(e *engine.Engine, o mvcc.Options) (l loaded, err error) {
	if l.store, err = mvcc.Open(e, o); err != nil {
		return l, err
	}
	if l.position, err = ReadApplied(e, false); err != nil {
		return l, err
	}
	if l.leases, err = loadLeases(e); err != nil {
		return l, err
	}
	if l.members, err = loadMembers(e); err != nil {
		return l, err
	}
	if l.alarms, err = loadAlarms(e); err != nil {
		return l, err
	}
	if l.rules, err = loadRules(e); err != nil {
		return l, err
	}
	if l.v2, err = v2.Load(e); err != nil {
		return l, err
	}
	version, err := e.Get(metaKey(metaClusterVersion))
	if err != nil && !errors.Is(err, engine.ErrNotFound) {
		return l, fmt.Errorf("fsm: read the cluster version: %w", err)
	}
	l.version = string(version)
	l.lowered, err = loadDowngrade(e)
	return l, err
}

// take makes l the state that f works on; its store is in place already.
func (f *FSM) take(l loaded) {
	f.leases.Load(slices.Values(l.leases))
	f.members.Store(l.members)
	f.alarms.Store(&l.alarms)
	f.rules.Store(l.rules)
	f.version.Store(&l.version)
	f.lowered.Store(&l.lowered)
	f.position = l.position
	f.applied.Store(l.position.Index)
}

// Replace makes the state in next this member's, as if all entries up to its
// position had been applied, and the store in next that of the engine; see
// engine.Engine.Adopt. When both are sure to fit, but before anybody sees the new
// state, it calls commit, which must put on record, durably, that next's directory
// is the engine's from now on. After an error nothing has changed and next is the
// caller's, unless commit has succeeded.
//
// No group is applied meanwhile. Entries at or below the new position that are
// handed over later are passed over: their results, and what they did to the
// configuration, are in the new state, and whoever waits for such a result waits
// until its time is over. Watchers catch up from the history.
func (f *FSM) Replace(next *engine.Engine, commit func() error) error {
	l, err := load(next, f.cfg.Store)
	if err != nil {
		return err
	}
	f.waiting.Add(1)
	f.mu.Lock()
	f.waiting.Add(-1)
	defer f.mu.Unlock()
	if l.position.Index <= f.position.Index || l.store.Revision() < f.store.Revision() {
		return fmt.Errorf("fsm: the state to be installed, at entry %d and revision %d, is not newer than this member's, at %d and %d",
			l.position.Index, l.store.Revision(), f.position.Index, f.store.Revision())
	}
	if err := commit(); err != nil {
		return err
	}
	f.store.Adopt(l.store, func() { f.engine.Adopt(next) })
	f.v2.Restart(l.v2)
	f.take(l)
	f.unflushed.Store(0)
	if f.cfg.Tokens != nil {
		// What has ended tokens may be among the entries that are passed over.
		f.cfg.Tokens.EndAll()
	}
	if f.cfg.RulesChanged != nil {
		f.cfg.RulesChanged(l.rules)
	}
	if f.cfg.MembersChanged != nil {
		f.cfg.MembersChanged(l.members)
	}
	f.cfg.Publish(f.store.Revision(), nil, false)
	f.releasePhysicalLocked()
	f.kickCompactor()
	return nil
}
