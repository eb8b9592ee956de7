package cluster

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

	"bowline/internal/socket"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

const (
	// ResolvePatience is for how long names of hosts are tried to be resolved, and
	// resolveRetry the pause in between.
	ResolvePatience = 30 * time.Second
	resolveRetry    = time.Second
)

// Initial is a cluster as flags name it, before there is one.
type Initial struct {
	// Name is this member's, and Token what makes IDs of two clusters with the same
	// URLs differ.
	Name, Token string
	// Members are the peer URLs by names, and Advertised those that this member gives
	// out, which must be the same as its own among Members.
	Members    map[string][]string
	Advertised []string
}

// First returns the first members, with the IDs that etcd computes, ascending by ID.
func (c *Initial) First() []Member {
	var members []Member
	for name, urls := range c.Members {
		urls = slices.Clone(urls)
		slices.Sort(urls)
		members = append(members, Member{ID: MemberID(urls, c.Token), PeerURLs: urls, Name: name})
	}
	slices.SortFunc(members, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	return members
}

// CheckNames refuses an initial cluster without this member, or with a URL twice, in
// etcd's words.
func (c *Initial) CheckNames() error {
	if _, ok := c.Members[c.Name]; !ok {
		return fmt.Errorf("couldn't find local name %q in the initial cluster configuration", c.Name)
	}
	seen := make(map[string]bool)
	for _, urls := range c.Members {
		for _, u := range urls {
			if seen[u] {
				return fmt.Errorf("initial cluster %s has duplicate url", clusterText(c.Members))
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

// Check refuses an initial cluster that cannot be bootstrapped, in etcd's words.
func (c *Initial) Check(ctx context.Context) error {
	if err := c.CheckNames(); err != nil {
		return err
	}
	advertised, configured := slices.Clone(c.Advertised), slices.Clone(c.Members[c.Name])
	slices.Sort(advertised)
	slices.Sort(configured)
	if slices.Equal(advertised, configured) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, ResolvePatience)
	defer cancel()
	advertisedAt, err := ResolveAll(ctx, advertised)
	if err != nil {
		return fmt.Errorf("failed to resolve %s to match --initial-cluster=%s (%w)", strings.Join(advertised, ","), NameEach(c.Name, configured), err)
	}
	configuredAt, err := ResolveAll(ctx, configured)
	if err != nil {
		return fmt.Errorf("failed to resolve %s to match --initial-cluster=%s (%w)", strings.Join(configured, ","), NameEach(c.Name, configured), err)
	}
	if slices.Equal(slices.Sorted(slices.Values(advertisedAt)), slices.Sorted(slices.Values(configuredAt))) {
		return nil
	}
	for i, u := range configured {
		if !slices.Contains(advertisedAt, configuredAt[i]) {
			return fmt.Errorf("--initial-cluster has %s=%s but missing from --initial-advertise-peer-urls=%s (resolved urls: %q != %q)",
				c.Name, u, strings.Join(advertised, ","), strings.Join(advertisedAt, ","), strings.Join(configuredAt, ","))
		}
	}
	for i, u := range advertised {
		if !slices.Contains(configuredAt, advertisedAt[i]) {
			return fmt.Errorf("--initial-advertise-peer-urls has %s but missing from --initial-cluster=%s (resolved urls: %q != %q)",
				u, NameEach(c.Name, configured), strings.Join(advertisedAt, ","), strings.Join(configuredAt, ","))
		}
	}
	return fmt.Errorf("--initial-cluster=%s and --initial-advertise-peer-urls=%s name different URLs",
		NameEach(c.Name, configured), strings.Join(advertised, ","))
}

// NameEach is one member as the flag of an initial cluster has it.
func NameEach(name string, urls []string) string {
	return clusterText(map[string][]string{name: urls})
}

// ResolveAll replaces the hosts of URLs by addresses, so that URLs that mean the same
// place are the same. It tries again until ctx ends.
func ResolveAll(ctx context.Context, urls []string) (out []string, err error) {
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
	if err != nil || net.ParseIP(host) != nil || socket.Is(u.Scheme) {
		return text, nil // a path, an address already, or the name of a file
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

// FirstEntries are the conf changes that add the first members, from index 1 on.
func FirstEntries(members []Member) ([]*raftpb.Entry, error) {
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
