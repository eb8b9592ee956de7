package member

import (
	"runtime"
	"strings"
	"sync"

	"bowline/internal/engine"
	"bowline/internal/fsm"
	"bowline/internal/httpapi"
	"bowline/internal/node"
	"bowline/internal/rpc"
	"bowline/internal/server"
	"bowline/internal/watch"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.etcd.io/raft/v3"
)

// collector shows what the parts of a member have counted, under etcd's names and,
// beside them, under ours. It reads everything when it is asked: nothing of it runs
// between two scrapes.
type collector struct {
	m   *Member
	rpc *rpc.Metrics
	// mu lets one scrape at a time look.
	mu sync.Mutex
}

// newRegistry is a registry of this member's own: a program may hold several
// members.
func (m *Member) newRegistry(api *httpapi.API, metrics *rpc.Metrics) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		metrics, api, m.metrics.fsync, m.metrics.write, m.metrics.bytes, m.metrics.snapshots, &collector{m: m, rpc: metrics})
	return r
}

// sight is what one scrape sees: what several figures are made of is read once.
type sight struct {
	*Member
	rpc     *rpc.Metrics
	status  node.Status
	watch   watch.Stats
	size    engine.Size
	figures engine.Figures
}

func (c *collector) look() *sight {
	return &sight{Member: c.m, rpc: c.rpc, status: c.m.node.Status(), watch: c.m.hub.Stats(),
		size: c.m.engine.Size(), figures: c.m.engine.Figures()}
}

// Describe implements prometheus.Collector. Nothing is described beforehand, since
// some series appear with their first use.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.look()
	for _, f := range figures {
		ch <- prometheus.MustNewConstMetric(prometheus.NewDesc(f.name, f.help, nil, nil), f.kind, f.read(s))
	}
	for _, h := range histograms {
		ch <- rpc.ConstHistogram(prometheus.NewDesc(h.name, h.help, nil, nil), h.read(s), h.unit)
	}
	s.collectIdentity(ch)
	s.collectPeers(ch)
	s.collectStates(ch)
	s.collectPromotions(ch)
	s.collectApplied(ch)
	s.collectAlarms(ch)
	s.collectCosts(ch)
	s.collectV2(ch)
	collectDescriptors(ch)
}

// flag is a gauge that tells yes or no.
func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (s *sight) leads() bool { return s.status.State == raft.StateLeader }

// one is a gauge of 1 whose label is what it has to tell.
func one(ch chan<- prometheus.Metric, name, help, label, value string) {
	ch <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, []string{label}, nil), prometheus.GaugeValue, 1, value)
}

func (s *sight) collectIdentity(ch chan<- prometheus.Metric) {
	id := hex(s.id.memberID)
	one(ch, "etcd_server_version", "The etcd version that this member is compatible with.", "server_version", server.Version)
	one(ch, "etcd_server_go_version", "The version of Go that built this member.", "server_go_version", runtime.Version())
	one(ch, "etcd_server_id", "The ID of this member.", "server_id", id)
	if major, rest, ok := strings.Cut(s.fsm.ClusterVersion(), "."); ok {
		minor, _, _ := strings.Cut(rest, ".")
		one(ch, "etcd_cluster_version", "The version that the cluster runs at.", "cluster_version", major+"."+minor)
	}
	gates := prometheus.NewDesc("etcd_server_feature_enabled", "Whether a feature gate is on.", []string{"name", "stage"}, nil)
	for _, g := range s.cfg.Gates {
		ch <- prometheus.MustNewConstMetric(gates, prometheus.GaugeValue, flag(g.On), g.Name, g.Stage)
	}
	peers := prometheus.NewDesc("etcd_network_known_peers", "The members that this one knows of, itself included.",
		[]string{"Local", "Remote"}, nil)
	for _, member := range s.fsm.Members().Members() {
		ch <- prometheus.MustNewConstMetric(peers, prometheus.GaugeValue, 1, id, hex(member.ID))
	}
}

// collectApplied shows the times of the kinds of requests that were applied.
func (s *sight) collectApplied(ch chan<- prometheus.Metric) {
	desc := prometheus.NewDesc("etcd_server_apply_duration_seconds", "How long it took to apply requests, by kind.",
		[]string{"version", "op", "success"}, nil)
	for _, op := range fsm.Ops() {
		for success, ok := range map[string]bool{"true": true, "false": false} {
			if h := s.fsm.Stats().Applied(op, ok); h.Count > 0 {
				ch <- rpc.ConstHistogram(desc, h, nanosecond, "v3", op.String(), success)
			}
		}
	}
}

func (s *sight) collectAlarms(ch chan<- prometheus.Metric) {
	desc := prometheus.NewDesc("etcd_debugging_server_alarms", "The alarms that are raised.", []string{"server_id", "alarm_type"}, nil)
	for _, a := range s.fsm.Alarms() {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, 1, hex(a.MemberID), a.Alarm.String())
	}
}

// collectDescriptors shows the process's file descriptors, where the system tells.
func collectDescriptors(ch chan<- prometheus.Metric) {
	show := func(name, help string, v float64) {
		ch <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, nil, nil), prometheus.GaugeValue, v)
	}
	if limit, err := descriptorLimit(); err == nil {
		show("os_fd_limit", "How many file descriptors the process may have.", float64(limit))
	}
	if used, ok := descriptorsUsed(); ok {
		show("os_fd_used", "How many file descriptors the process has.", float64(used))
	}
}
