package member

import (
	"bytes"
	"fmt"
	"testing"

	"bowline/internal/fsm"
	"bowline/internal/wal"

	dto "github.com/prometheus/client_model/go"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// TestMetricsOfStates lets a member come back so late that it needs a whole state, and
// looks at what both sides count.
func TestMetricsOfStates(t *testing.T) {
	g := &group{t: t, configs: make(map[string]Config), members: make(map[string]*Member)}
	initial := make(map[string][]string)
	for _, name := range []string{"a", "b", "c"} {
		cfg := g.config(name)
		cfg.LogSegmentBytes, cfg.KeepLogBytes = 1<<20, 1
		g.configs[name], initial[name] = cfg, cfg.AdvertisePeerURLs
	}
	for name, cfg := range g.configs {
		cfg.InitialCluster = initial
		g.configs[name] = cfg
	}
	t.Cleanup(g.stopAll)
	g.start("a", "b", "c")
	late := g.members["c"].ID()
	g.stop("c")
	kv := pb.NewKVClient(dial(t, g.members["a"]))
	for i := range 20 { // more than the node holds in memory
		put := &pb.PutRequest{Key: fmt.Appendf(nil, "k%d", i), Value: bytes.Repeat([]byte{byte(i)}, 900_000)}
		g.eventually("a put", func() error {
			_, err := kv.Put(t.Context(), put)
			return err
		})
	}
	for _, name := range []string{"a", "b"} {
		cutWhole(t, g.members[name])
	}
	g.start("c")
	g.eventually("the state arrives", func() error {
		if n := g.count("c"); n != 20 {
			return fmt.Errorf("%d keys", n)
		}
		return nil
	})
	shown := scrape(t, g.members["c"])
	leader := g.leader()
	sent := make(map[string]*dto.MetricFamily)
	g.eventually("the sender knows", func() error {
		sent = scrape(t, g.members[leader])
		if sent["etcd_network_snapshot_send_success"] == nil {
			return fmt.Errorf("%s has sent no state", leader)
		}
		return nil
	})
	for _, recorded := range recordedMetrics(t) {
		if missing[recorded.name] != lonelyStates {
			continue
		}
		family := shown[recorded.name]
		peer := hex(g.members[leader].ID())
		if recorded.labels == "To" {
			family, peer = sent[recorded.name], hex(late)
		}
		if family == nil {
			if recorded.kind != "counter" { // of failures: none has to be
				t.Errorf("%s is missing", recorded.name)
			}
			continue
		}
		if got := describeFamily(family); got != recorded {
			t.Errorf("%+v, in etcd %+v", got, recorded)
		}
		if got := family.Metric[0].Label[0].GetValue(); got != peer {
			t.Errorf("%s is of the peer %s, want %s", recorded.name, got, peer)
		}
	}
	for name, want := range map[string]uint64{"etcd_snap_db_save_total_duration_seconds": 1} {
		if got := shown[name].Metric[0].Histogram.GetSampleCount(); got != want {
			t.Errorf("%s has counted %d, want %d", name, got, want)
		}
	}
	if shown["etcd_network_snapshot_receive_success"].GetMetric()[0].GetCounter().GetValue() != 1 {
		t.Errorf("received: %v", shown["etcd_network_snapshot_receive_success"])
	}
}

// cutWhole makes a member keep no log that it can do without.
func cutWhole(t *testing.T, m *Member) {
	t.Helper()
	if err := m.engine.Flush(); err != nil {
		t.Fatal(err)
	}
	at, err := fsm.ReadApplied(m.engine, true)
	if err != nil {
		t.Fatal(err)
	}
	conf := m.fsm.Members().ConfState()
	m.states.Durable(at, conf)
	first, err := m.node.ReleaseLog(t.Context(), wal.Snapshot{Index: at.Index, Term: at.Term, ConfState: conf})
	if err != nil || first < at.Index-8 {
		t.Fatalf("the log is cut to %d, applied is %d: %v", first, at.Index, err)
	}
}
