package member

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"bowline/internal/testkit"

	dto "github.com/prometheus/client_model/go"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
)

// patience is how long tests wait for what must come.
const patience = 30 * time.Second

// group is some members in this process, by name.
type group struct {
	t       *testing.T
	ports   testkit.Ports
	configs map[string]Config
	members map[string]*Member
}

// config is that of one more member; its ports are given back with the test.
func (g *group) config(name string) Config {
	g.t.Helper()
	block, err := g.ports.Take()
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(block.Release)
	cfg := testConfig(g.t)
	at := func(i int) (url.URL, string) {
		u := url.URL{Scheme: "http", Host: block.Addr(i)}
		return u, u.String()
	}
	client, clientText := at(0)
	peer, peerText := at(1)
	cfg.Name, cfg.Logger = name, zap.NewNop()
	cfg.ListenClientURLs, cfg.AdvertiseClientURLs = []url.URL{client}, []string{clientText}
	cfg.ListenPeerURLs, cfg.AdvertisePeerURLs = []url.URL{peer}, []string{peerText}
	cfg.StrictReconfig, cfg.HurryElection, cfg.MaxLearners, cfg.PreVote = true, true, 1, true
	return cfg
}

// found starts a new cluster of the named members.
func found(t *testing.T, names ...string) *group {
	t.Helper()
	g := &group{t: t, configs: make(map[string]Config), members: make(map[string]*Member)}
	initial := make(map[string][]string)
	for _, name := range names {
		g.configs[name] = g.config(name)
		initial[name] = g.configs[name].AdvertisePeerURLs
	}
	for name, cfg := range g.configs {
		cfg.InitialCluster = initial
		g.configs[name] = cfg
	}
	g.start(names...)
	t.Cleanup(g.stopAll)
	return g
}

// start starts members together, since each waits for a majority.
func (g *group) start(names ...string) {
	g.t.Helper()
	type started struct {
		name string
		m    *Member
		err  error
	}
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	defer cancel()
	results := make(chan started)
	for _, name := range names {
		go func() {
			m, err := Start(ctx, g.configs[name])
			results <- started{name, m, err}
		}()
	}
	for range names {
		r := <-results
		if r.err != nil {
			g.t.Errorf("%s: %v", r.name, r.err)
			continue
		}
		g.members[r.name] = r.m
	}
	if g.t.Failed() {
		g.t.FailNow()
	}
}

// stop stops a member.
func (g *group) stop(name string) {
	g.t.Helper()
	if err := g.members[name].Stop(); err != nil {
		g.t.Errorf("%s: %v", name, err)
	}
	delete(g.members, name)
}

func (g *group) stopAll() {
	for name := range g.members {
		g.stop(name)
	}
}

// leader is the name of the member that leads.
func (g *group) leader() (name string) {
	g.t.Helper()
	g.eventually("there is a leader", func() error {
		for n, m := range g.members {
			if st := m.node.Status(); st.Leader == m.ID() {
				name = n
				return nil
			}
		}
		return errors.New("nobody leads")
	})
	return name
}

// eventually waits until check has nothing to complain of.
func (g *group) eventually(what string, check func() error) {
	g.t.Helper()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-poll.C:
		case <-deadline.C:
			g.t.Fatalf("%s: %v", what, err)
		}
	}
}

func (g *group) put(name, key string) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	defer cancel()
	if _, err := pb.NewKVClient(dial(g.t, g.members[name])).Put(ctx, &pb.PutRequest{Key: []byte(key)}); err != nil {
		g.t.Fatalf("put to %s: %v", name, err)
	}
}

// count is how many keys a member has, read through the leader.
func (g *group) count(name string) int64 {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	defer cancel()
	got, err := pb.NewKVClient(dial(g.t, g.members[name])).Range(ctx, &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}, CountOnly: true})
	if err != nil {
		g.t.Fatalf("count at %s: %v", name, err)
	}
	return got.Count
}

func TestThreeMembersAgree(t *testing.T) {
	g := found(t, "a", "b", "c")
	for i, name := range []string{"a", "b", "c"} {
		g.put(name, fmt.Sprint(i))
	}
	for name := range g.members {
		if n := g.count(name); n != 3 {
			t.Errorf("%s has %d keys", name, n)
		}
	}
	old := g.leader()
	g.stop(old)
	if now := g.leader(); now == old {
		t.Errorf("%s still leads", old)
	}
	for name := range g.members {
		g.put(name, "after")
	}
	g.start(old)
	if n := g.count(old); n != 4 {
		t.Errorf("%s has %d keys after its return", old, n)
	}
}

func TestMetricsOfPeers(t *testing.T) {
	g := found(t, "a", "b", "c")
	g.put("a", "k")
	want := []string{"etcd_network_active_peers", "etcd_network_peer_sent_bytes_total", "etcd_network_peer_received_bytes_total",
		"etcd_network_peer_round_trip_time_seconds"}
	g.eventually("figures of peers", func() error {
		shown := scrape(t, g.members["a"])
		for _, name := range want {
			if f := shown[name]; f == nil || len(f.Metric) != 2 {
				return fmt.Errorf("%s is %v", name, f)
			}
		}
		return nil
	})
	g.stop("b")
	g.eventually("the loss of a peer", func() error {
		if f := scrape(t, g.members["a"])["etcd_network_disconnected_peers_total"]; f == nil {
			return errors.New("no peer is lost")
		}
		return nil
	})
}

// countedOf is an error unless a member shows what it sent to a peer and got from it.
func countedOf(t *testing.T, m *Member, peer uint64) error {
	shown := scrape(t, m)
	for _, name := range []string{"etcd_network_peer_sent_bytes_total", "etcd_network_peer_received_bytes_total"} {
		if !slices.ContainsFunc(shown[name].GetMetric(), func(m *dto.Metric) bool { return m.Label[0].GetValue() == hex(peer) }) {
			return fmt.Errorf("%s does not tell of %x", name, peer)
		}
	}
	return nil
}

func TestAMemberIsRemovedAndAnotherAdded(t *testing.T) {
	g := found(t, "a", "b", "c")
	g.put("a", "k")
	gone := g.members["c"].ID()
	g.eventually("something is counted", func() error { return countedOf(t, g.members["a"], gone) })
	members := pb.NewClusterClient(dial(t, g.members["a"]))
	g.eventually("removal", func() error { // the peers must have been in touch for a while
		_, err := members.MemberRemove(t.Context(), &pb.MemberRemoveRequest{ID: gone})
		return err
	})
	if err := <-g.members["c"].Failed(); !errors.Is(err, ErrRemoved) {
		t.Errorf("the removed member says %v", err)
	}
	g.stop("c")
	if m, err := Start(t.Context(), g.configs["c"]); !errors.Is(err, ErrRemoved) {
		t.Errorf("the removed member starts again: %v", err)
		if m != nil {
			m.Stop()
		}
	}
	if err := countedOf(t, g.members["a"], gone); err != nil {
		t.Errorf("after the removal %v", err)
	}
	cfg := g.config("d")
	g.eventually("addition", func() error {
		_, err := members.MemberAdd(t.Context(), &pb.MemberAddRequest{PeerURLs: cfg.AdvertisePeerURLs})
		return err
	})
	cfg.JoinExisting = true
	cfg.InitialCluster = map[string][]string{"a": g.configs["a"].AdvertisePeerURLs, "b": g.configs["b"].AdvertisePeerURLs, "d": cfg.AdvertisePeerURLs}
	g.configs["d"] = cfg
	g.start("d")
	if n := g.count("d"); n != 1 {
		t.Errorf("the new member has %d keys", n)
	}
	g.stop("d")
	cfg.DataDir = t.TempDir()
	if m, err := Start(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "has already been started") {
		t.Errorf("a member without its data starts again: %v", err)
		if m != nil {
			m.Stop()
		}
	}
}

func TestForceNewClusterAfterTheLossOfTheMajority(t *testing.T) {
	g := found(t, "a", "b", "c")
	g.put("a", "k")
	g.stopAll()
	cfg := g.configs["a"]
	cfg.ForceNewCluster = true
	g.configs["a"] = cfg
	g.start("a")
	if n := g.count("a"); n != 1 {
		t.Errorf("%d keys are left", n)
	}
	g.put("a", "alone")
	if n := len(g.members["a"].fsm.Members().Members()); n != 1 {
		t.Errorf("the cluster has %d members", n)
	}
	g.stop("a")
	g.start("a") // the flag left on does no harm
	if n := g.count("a"); n != 2 {
		t.Errorf("%d keys after a restart", n)
	}
}
