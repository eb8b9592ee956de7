package member

import (
	"context"
	"fmt"

	"bowline/internal/cluster"
	"bowline/internal/fsm"
	"bowline/internal/wal"

	"go.uber.org/zap"
)

// identity is who this member is.
type identity struct{ memberID, clusterID uint64 }

// A start is one row of this table:
//
//	data here?  --initial-cluster-state  what happens
//	yes         (ignored)                restart: everything comes from the directory
//	no          new                      found: the flags, or discovery, name the first members
//	no          existing                 join: running members tell the cluster and who this is
//
// and, on top of a restart, --force-new-cluster makes a cluster of this member alone.

// firstState is how a member without data begins.
type firstState struct {
	identity
	// members are the first ones of a new cluster, whose addition are the log's first
	// entries; none for a member that joins: it gets its log from the leader.
	members []cluster.Member
	// remotes are members of the cluster to be joined that are known beforehand.
	remotes []cluster.Member
}

// begin decides how a member without data begins.
func (m *Member) begin(ctx context.Context) (firstState, error) {
	if err := m.discover(ctx); err != nil {
		return firstState{}, err
	}
	if m.cfg.JoinExisting {
		return m.join(ctx)
	}
	return m.found(ctx)
}

// found makes the first state of a member of a new cluster.
func (m *Member) found(ctx context.Context) (firstState, error) {
	if err := m.cfg.initial().Check(ctx); err != nil {
		return firstState{}, err
	}
	first := firstState{members: m.cfg.initial().First()}
	ids := make([]uint64, len(first.members))
	for i := range first.members {
		ids[i] = first.members[i].ID
		if first.members[i].Name == m.cfg.Name {
			first.memberID = ids[i]
		}
	}
	first.clusterID = cluster.ID(ids)
	for i := 1; i < len(ids); i++ {
		if ids[i] == ids[i-1] {
			return first, fmt.Errorf("member exists with identical ID %s", hex(ids[i]))
		}
	}
	return first, m.refuseTwice(ctx, &first)
}

// refuseTwice asks the other members whether this one has been part of their cluster
// already: without its data it must not vote again.
func (m *Member) refuseTwice(ctx context.Context, first *firstState) error {
	urls := otherURLs(first.members, first.memberID)
	if len(urls) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTwiceTimeout)
	defer cancel()
	_, members, err := m.peerClient().Members(ctx, urls)
	if err != nil {
		return nil // nobody runs yet
	}
	for _, r := range members {
		if r.ID == first.memberID && len(r.ClientURLs) > 0 {
			return fmt.Errorf("member %s has already been bootstrapped", hex(r.ID))
		}
	}
	return nil
}

// create writes the first state: the engine first, durably, and then the log, whose
// presence is what says that the member exists.
func (m *Member) create(first firstState, options wal.Options) error {
	last := fsm.Position{Index: uint64(len(first.members))}
	state := wal.HardState{Commit: last.Index}
	if len(first.members) > 0 {
		last.Term, state.Term = 1, 1
		if err := fsm.Bootstrap(m.engine, first.members, last); err != nil {
			return err
		}
	}
	// gofail: var bootstrapAfterEngine struct{}
	if err := m.dir.markFormat(); err != nil {
		return err
	}
	entries, err := cluster.FirstEntries(first.members)
	if err != nil {
		return err
	}
	// gofail: var bootstrapBeforeLog struct{}
	log, err := wal.CreateWith(options, wal.Metadata{NodeID: first.memberID, ClusterID: first.clusterID}, entries, state)
	if err != nil {
		return err
	}
	// gofail: var bootstrapAfterLog struct{}
	return log.Close()
}

// prepare makes the first state if there is no data here.
func (m *Member) prepare(ctx context.Context) (first firstState, fresh bool, err error) {
	m.tellDirectory(m.dir.initialized())
	if m.dir.initialized() {
		if m.cfg.discovers() {
			m.log.Warn("discovery token is ignored since cluster already initialized; valid logs are found",
				zap.String("wal-dir", m.dir.wal))
		}
		return firstState{}, false, nil
	}
	first, err = m.begin(ctx)
	if err != nil {
		return first, true, err
	}
	if err := m.dir.checkUnused(len(first.members)); err != nil {
		return first, true, err
	}
	return first, true, m.dir.clearEngine()
}
