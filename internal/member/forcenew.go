package member

import (
	"encoding/json"
	"fmt"

	"bowline/internal/cluster"
	"bowline/internal/wal"

	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

// forceAlone makes this member the only one of its cluster, for when the majority is
// lost for good: conf changes that remove all others are committed, and with them
// everything in the log. etcd discards what this member did not know to be committed;
// but the commit index reaches a follower, and its disk, after the entries, so that
// acknowledged writes can be among it. IDs stay.
func (m *Member) forceAlone(r wal.Recovered, options wal.Options) (wal.Recovered, error) {
	last := max(r.LastIndex, m.fsm.Applied())
	view, err := m.membersAt(r.Entries)
	if err != nil {
		return r, err
	}
	changes, err := loneliness(view, m.id.memberID, m.cfg.AdvertisePeerURLs)
	if err != nil || len(changes) == 0 {
		return r, err
	}
	m.log.Warn("forcing restart member: it will be alone in its cluster", zap.String("cluster-id", hex(m.id.clusterID)),
		zap.String("local-member-id", hex(m.id.memberID)), zap.Uint64("commit-index", r.HardState.Commit),
		zap.Uint64("last-index", last), zap.Int("membership-changes", len(changes)))
	entries := make([]*raftpb.Entry, len(changes))
	for i, cc := range changes {
		data, err := proto.Marshal(cc)
		if err != nil {
			return r, err
		}
		entries[i] = &raftpb.Entry{Type: raftpb.EntryType_EntryConfChange.Enum(), Term: &r.HardState.Term,
			Index: proto.Uint64(last + uint64(i) + 1), Data: data}
	}
	state := r.HardState
	state.Commit = last + uint64(len(entries))
	if err := m.wal.Append(entries, state); err != nil {
		return r, err
	}
	if err := m.wal.Sync(); err != nil {
		return r, err
	}
	if err := m.wal.Close(); err != nil {
		return r, err
	}
	m.wal, r, err = wal.Open(options, m.fsm.Applied())
	return r, err
}

// membersAt is the member list once the given entries are applied.
func (m *Member) membersAt(entries []*raftpb.Entry) (*cluster.View, error) {
	view := m.fsm.Members()
	for _, e := range entries {
		if e.GetType() != raftpb.EntryType_EntryConfChange || e.GetIndex() <= m.fsm.Applied() {
			continue
		}
		cc := new(raftpb.ConfChange)
		if err := proto.Unmarshal(e.GetData(), cc); err != nil {
			return nil, fmt.Errorf("entry %d of the log is a damaged conf change: %w", e.GetIndex(), err)
		}
		if next, err := view.Apply(cc, 0); err == nil {
			view = next
		}
	}
	return view, nil
}

// loneliness are the conf changes after which a member is the only one, and a voter.
func loneliness(view *cluster.View, id uint64, peerURLs []string) (changes []*raftpb.ConfChange, err error) {
	add := func(context any) error {
		data, err := json.Marshal(context)
		changes = append(changes, &raftpb.ConfChange{Type: raftpb.ConfChangeAddNode.Enum(), NodeId: &id, Context: data})
		return err
	}
	switch own := view.Member(id); {
	case own == nil:
		err = add(cluster.ChangeContext{Member: cluster.Member{ID: id, PeerURLs: peerURLs}})
	case own.IsLearner:
		err = add(cluster.ChangeContext{Member: cluster.Member{ID: id}, IsPromote: true})
	}
	for _, other := range view.Members() {
		if other.ID != id {
			changes = append(changes, &raftpb.ConfChange{Type: raftpb.ConfChangeRemoveNode.Enum(), NodeId: &other.ID})
		}
	}
	return changes, err
}
