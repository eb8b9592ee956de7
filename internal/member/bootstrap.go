package member

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"bowline/internal/cluster"
	"bowline/internal/engine"
	"bowline/internal/fsm"
	"bowline/internal/wal"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// identity is who this member is.
type identity struct{ memberID, clusterID uint64 }

// initialMembers are the members that the flags name, with the IDs that etcd
// computes, ascending by ID.
func initialMembers(cfg *Config) []cluster.Member {
	var members []cluster.Member
	for name, urls := range cfg.InitialCluster {
		urls = slices.Clone(urls)
		slices.Sort(urls)
		members = append(members, cluster.Member{ID: cluster.MemberID(urls, cfg.InitialToken), PeerURLs: urls, Name: name})
	}
	slices.SortFunc(members, func(a, b cluster.Member) int { return cmp.Compare(a.ID, b.ID) })
	return members
}

// checkInitial refuses an initial cluster that cannot be bootstrapped, with
// etcd's texts.
func checkInitial(cfg *Config) error {
	own, ok := cfg.InitialCluster[cfg.Name]
	if !ok {
		return fmt.Errorf("couldn't find local name %q in the initial cluster configuration", cfg.Name)
	}
	seen := make(map[string]bool)
	for _, urls := range cfg.InitialCluster {
		for _, u := range urls {
			if seen[u] {
				return fmt.Errorf("initial cluster has duplicate url %s", u)
			}
			seen[u] = true
		}
	}
	advertised, configured := slices.Clone(cfg.AdvertisePeerURLs), slices.Clone(own)
	slices.Sort(advertised)
	slices.Sort(configured)
	if !slices.Equal(advertised, configured) {
		return fmt.Errorf("--initial-cluster has %s=%v but missing from --initial-advertise-peer-urls=%v", cfg.Name, configured, advertised)
	}
	if cfg.JoinExisting {
		return errors.New("joining an existing cluster is not built in this version: --initial-cluster-state is existing")
	}
	if len(cfg.InitialCluster) > 1 {
		return errors.New("clusters of several members are not built in this version: --initial-cluster names more than one")
	}
	return nil
}

// bootstrap makes the first state of a new member: the engine first, durably, and
// then the log, whose presence is what says that the member exists.
func bootstrap(cfg *Config, d *dataDir, e *engine.Engine, logOptions wal.Options) (identity, error) {
	members := initialMembers(cfg)
	id := identity{clusterID: clusterID(members)}
	for _, m := range members {
		if m.Name == cfg.Name {
			id.memberID = m.ID
		}
	}
	// As in etcd a member's attributes come with its own publication, the log's
	// first entries are the conf changes that add the members.
	stored := slices.Clone(members)
	for i := range stored {
		stored[i].Name = ""
	}
	last := fsm.Position{Index: uint64(len(members)), Term: 1}
	if err := fsm.Bootstrap(e, stored, last); err != nil {
		return identity{}, err
	}
	if err := d.markFormat(); err != nil {
		return identity{}, err
	}
	log, err := wal.Create(logOptions, wal.Metadata{NodeID: id.memberID, ClusterID: id.clusterID})
	if err != nil {
		return identity{}, err
	}
	entries, err := firstEntries(members)
	if err == nil {
		err = log.Append(entries, wal.HardState{Term: 1, Commit: last.Index})
	}
	if err == nil {
		err = log.Sync()
	}
	return id, errors.Join(err, log.Close())
}

func firstEntries(members []cluster.Member) ([]*raftpb.Entry, error) {
	var entries []*raftpb.Entry
	for i, m := range members {
		context, err := json.Marshal(m)
		if err != nil {
			return nil, err
		}
		cc := &raftpb.ConfChange{
			Type: raftpb.ConfChangeType_ConfChangeAddNode.Enum(), NodeId: proto.Uint64(m.ID), Context: context,
		}
		data, err := proto.Marshal(cc)
		if err != nil {
			return nil, err
		}
		entries = append(entries, &raftpb.Entry{
			Type: raftpb.EntryType_EntryConfChange.Enum(), Term: proto.Uint64(1), Index: proto.Uint64(uint64(i + 1)), Data: data,
		})
	}
	return entries, nil
}

func clusterID(members []cluster.Member) uint64 {
	ids := make([]uint64, len(members))
	for i, m := range members {
		ids[i] = m.ID
	}
	return cluster.ID(ids)
}
