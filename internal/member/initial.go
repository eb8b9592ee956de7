package member

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"bowline/internal/cluster"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

const (
	// askTwiceTimeout is how long the others have to say that this member was
	// bootstrapped before.
	askTwiceTimeout = time.Second
	// resolvePatience is for how long names of hosts are tried to be resolved, and
	// resolveRetry the pause in between.
	resolvePatience = 30 * time.Second
	resolveRetry    = time.Second
)

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

// otherURLs are the peer URLs of all members but one, sorted.
func otherURLs(members []cluster.Member, but uint64) (urls []string) {
	for i := range members {
		if members[i].ID != but {
			urls = append(urls, members[i].PeerURLs...)
		}
	}
	slices.Sort(urls)
	return urls
}

// checkNames refuses an initial cluster without this member, or with a URL twice, in
// etcd's words.
func checkNames(cfg *Config) error {
	if _, ok := cfg.InitialCluster[cfg.Name]; !ok {
		return fmt.Errorf("couldn't find local name %q in the initial cluster configuration", cfg.Name)
	}
	seen := make(map[string]bool)
	for _, urls := range cfg.InitialCluster {
		for _, u := range urls {
			if seen[u] {
				return fmt.Errorf("initial cluster %s has duplicate url", clusterText(cfg.InitialCluster))
			}
			seen[u] = true
		}
	}
	return nil
}

// clusterText is an initial cluster as the flag has it.
func clusterText(members map[string][]string) string {
	var words []string
	for name, urls := range members {
		for _, u := range urls {
			words = append(words, name+"="+u)
		}
	}
	slices.Sort(words)
	return strings.Join(words, ",")
}

// checkInitial refuses an initial cluster that cannot be bootstrapped, in etcd's words.
func checkInitial(ctx context.Context, cfg *Config) error {
	if err := checkNames(cfg); err != nil {
		return err
	}
	advertised, configured := slices.Clone(cfg.AdvertisePeerURLs), slices.Clone(cfg.InitialCluster[cfg.Name])
	slices.Sort(advertised)
	slices.Sort(configured)
	if slices.Equal(advertised, configured) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolvePatience)
	defer cancel()
	advertisedAt, err := resolveAll(ctx, advertised)
	if err != nil {
		return fmt.Errorf("failed to resolve %s to match --initial-cluster=%s (%w)", strings.Join(advertised, ","), nameEach(cfg.Name, configured), err)
	}
	configuredAt, err := resolveAll(ctx, configured)
	if err != nil {
		return fmt.Errorf("failed to resolve %s to match --initial-cluster=%s (%w)", strings.Join(configured, ","), nameEach(cfg.Name, configured), err)
	}
	if slices.Equal(sorted(advertisedAt), sorted(configuredAt)) {
		return nil
	}
	for i, u := range configured {
		if !slices.Contains(advertisedAt, configuredAt[i]) {
			return fmt.Errorf("--initial-cluster has %s=%s but missing from --initial-advertise-peer-urls=%s (resolved urls: %q != %q)",
				cfg.Name, u, strings.Join(advertised, ","), strings.Join(advertisedAt, ","), strings.Join(configuredAt, ","))
		}
	}
	for i, u := range advertised {
		if !slices.Contains(configuredAt, advertisedAt[i]) {
			return fmt.Errorf("--initial-advertise-peer-urls has %s but missing from --initial-cluster=%s (resolved urls: %q != %q)",
				u, nameEach(cfg.Name, configured), strings.Join(advertisedAt, ","), strings.Join(configuredAt, ","))
		}
	}
	return fmt.Errorf("--initial-cluster=%s and --initial-advertise-peer-urls=%s name different URLs",
		nameEach(cfg.Name, configured), strings.Join(advertised, ","))
}

func sorted(words []string) []string {
	words = slices.Clone(words)
	slices.Sort(words)
	return words
}

func nameEach(name string, urls []string) string {
	return clusterText(map[string][]string{name: urls})
}

// resolveAll replaces the hosts of URLs by addresses, so that URLs that mean the same
// place are the same. It tries again until ctx ends.
func resolveAll(ctx context.Context, urls []string) (out []string, err error) {
	for _, text := range urls {
		at, err := resolve(ctx, text)
		if err != nil {
			return nil, err
		}
		out = append(out, at)
	}
	return out, nil
}

func resolve(ctx context.Context, text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil {
		return "", err
	}
	host, port, err := net.SplitHostPort(u.Host)
	if err != nil || net.ParseIP(host) != nil {
		return text, nil // a path, or an address already
	}
	for {
		addresses, err := net.DefaultResolver.LookupHost(ctx, host)
		if err == nil {
			slices.Sort(addresses)
			u.Host = net.JoinHostPort(addresses[0], port)
			return u.String(), nil
		}
		t := time.NewTimer(resolveRetry)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return "", err
		}
	}
}

// firstEntries are the conf changes that add the first members.
func firstEntries(members []cluster.Member) ([]*raftpb.Entry, error) {
	var entries []*raftpb.Entry
	for i := range members {
		context, err := json.Marshal(&members[i])
		if err != nil {
			return nil, err
		}
		cc := &raftpb.ConfChange{
			Type: raftpb.ConfChangeType_ConfChangeAddNode.Enum(), NodeId: &members[i].ID, Context: context,
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
