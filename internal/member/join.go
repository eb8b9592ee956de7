package member

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"bowline/internal/cluster"
	"bowline/internal/server"

	"go.uber.org/zap"
)

// joinTimeout is how long the running members have to tell who they are.
const joinTimeout = 10 * time.Second

// join finds out from the running members which cluster this is and who this member is
// in it.
func (m *Member) join(ctx context.Context) (firstState, error) {
	if err := m.cfg.initial().CheckNames(); err != nil {
		return firstState{}, err
	}
	var urls []string
	for name, u := range m.cfg.InitialCluster {
		if name != m.cfg.Name {
			urls = append(urls, u...)
		}
	}
	slices.Sort(urls)
	id, members, err := m.askMembers(ctx, urls)
	if err != nil {
		return firstState{}, err
	}
	own, err := matchMembers(ctx, &m.cfg, id, members)
	if err != nil {
		return firstState{}, err
	}
	if own.Started() {
		return firstState{}, fmt.Errorf("member %s has already been started, but there is no data in %s: it must not vote again with what it has lost; "+
			"bring its data directory back, or remove the member and add it anew", hex(own.ID), m.cfg.DataDir)
	}
	if err := m.checkVersions(ctx, members, own.ID); err != nil {
		return firstState{}, err
	}
	if err := m.checkLearners(members); err != nil {
		return firstState{}, err
	}
	return firstState{identity: identity{memberID: own.ID, clusterID: id}, remotes: members}, nil
}

// askMembers asks one peer URL after the other for the members; each has its time.
func (m *Member) askMembers(ctx context.Context, urls []string) (uint64, []cluster.Member, error) {
	for _, u := range urls {
		ctx, cancel := context.WithTimeout(ctx, joinTimeout)
		id, members, err := m.peerClient().Members(ctx, []string{u})
		cancel()
		if err == nil {
			return id, members, nil
		}
		m.log.Warn("failed to get cluster response", zap.String("address", u+"/members"), zap.Error(err))
	}
	return 0, nil, errors.New("cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs")
}

// matchMembers finds this member among the running cluster's: each of those must be
// named by one entry of --initial-cluster with the same peer URLs.
func matchMembers(ctx context.Context, cfg *Config, clusterID uint64, members []cluster.Member) (own *cluster.Member, err error) {
	fail := func(why string) error {
		return fmt.Errorf("error validating peerURLs %s: %s", describe(clusterID, members), why)
	}
	if len(members) != len(cfg.InitialCluster) {
		return nil, fail("member count is unequal")
	}
	ctx, cancel := context.WithTimeout(ctx, cluster.ResolvePatience)
	defer cancel()
	taken := make(map[string]bool)
	for i := range members {
		name, err := matchOne(ctx, cfg, &members[i], taken)
		if name == "" {
			return nil, fail(fmt.Sprintf("PeerURLs: no match found for existing member (%s, %v), last resolver error (%v)",
				hex(members[i].ID), members[i].PeerURLs, err))
		}
		taken[name] = true
		if name == cfg.Name {
			own = &members[i]
		}
	}
	return own, nil
}

// matchOne returns the name of the entry that has a member's peer URLs, by their text
// or else by where they lead.
func matchOne(ctx context.Context, cfg *Config, m *cluster.Member, taken map[string]bool) (string, error) {
	for name, urls := range cfg.InitialCluster {
		if !taken[name] && slices.Equal(slices.Sorted(slices.Values(urls)), slices.Sorted(slices.Values(m.PeerURLs))) {
			return name, nil
		}
	}
	theirs, last := cluster.ResolveAll(ctx, m.PeerURLs)
	if last != nil {
		return "", last
	}
	for name, urls := range cfg.InitialCluster {
		if taken[name] {
			continue
		}
		ours, err := cluster.ResolveAll(ctx, urls)
		if err != nil {
			last = err
			continue
		}
		if slices.Equal(slices.Sorted(slices.Values(ours)), slices.Sorted(slices.Values(theirs))) {
			return name, nil
		}
	}
	return "", last
}

// describe prints a cluster the way etcd does.
func describe(id uint64, members []cluster.Member) string {
	words := make([]string, len(members))
	for i := range members {
		m := &members[i]
		words[i] = fmt.Sprintf("&{ID:%s RaftAttributes:{PeerURLs:%v IsLearner:%v} Attributes:{Name:%s ClientURLs:%v}}",
			hex(m.ID), m.PeerURLs, m.IsLearner, m.Name, m.ClientURLs)
	}
	return fmt.Sprintf("{ClusterID:%s Members:[%s] RemovedMemberIDs:[]}", hex(id), strings.Join(words, " "))
}

// checkVersions refuses to join a cluster whose version is not one that this member
// can serve: at least one other member must say which it is, and none one out of
// range.
func (m *Member) checkVersions(ctx context.Context, members []cluster.Member, own uint64) error {
	const oldestMinor = 0
	major, newest, err := majorMinor(server.Version)
	if err != nil {
		return err
	}
	incompatible := errors.New("incompatible with current running cluster")
	answered := false
	for i := range members {
		if members[i].ID == own {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, requestTimeout(&m.cfg))
		v, err := m.peerClient().Version(ctx, members[i].PeerURLs)
		cancel()
		if err != nil {
			m.log.Warn("failed to get version", zap.String("remote-member-id", hex(members[i].ID)), zap.Error(err))
			continue
		}
		theirMajor, theirMinor, err := majorMinor(v.Cluster)
		if err != nil {
			continue // not decided yet
		}
		if theirMajor != major || theirMinor < oldestMinor || theirMinor > newest {
			m.log.Error("cluster version of remote peer is not compatible", zap.String("remote-peer-id", hex(members[i].ID)),
				zap.String("cluster-version", v.Cluster), zap.String("local-version", server.Version))
			return incompatible
		}
		answered = true
	}
	if !answered {
		return incompatible
	}
	return nil
}

func majorMinor(version string) (major, minor int, err error) {
	first, rest, _ := strings.Cut(version, ".")
	second, _, _ := strings.Cut(rest, ".")
	if major, err = strconv.Atoi(first); err == nil {
		minor, err = strconv.Atoi(second)
	}
	return major, minor, err
}

func (m *Member) checkLearners(members []cluster.Member) error {
	learners := 0
	for i := range members {
		if members[i].IsLearner {
			learners++
		}
	}
	if m.cfg.MaxLearners > 0 && learners > m.cfg.MaxLearners {
		return cluster.ErrTooManyLearners
	}
	return nil
}
