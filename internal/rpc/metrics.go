package rpc

import (
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"bowline/internal/mvcc"
	"bowline/internal/recent"
	"bowline/internal/tally"

	"github.com/prometheus/client_golang/prometheus"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Metrics counts calls under the names that gRPC's Prometheus metrics have, and
// what etcd counts of them besides. It is a prometheus.Collector; counting costs a
// few atomic additions a call.
type Metrics struct {
	methods  map[string]*methodCount // written only by register
	mu       sync.Mutex              // guards requests
	requests map[[2]string]*atomic.Int64
	// receivedBytes and sentBytes are the sizes of messages, without framing.
	receivedBytes, sentBytes atomic.Int64
	// ranges is how long Range calls took that failed, or succeeded.
	ranges    outcomes
	slowReads atomic.Int64
	// recent is nil unless Remember was called.
	recent   *recent.Requests
	slowFrom time.Duration
	// handling is nil unless it was asked for: it is the dearest.
	handling *prometheus.HistogramVec

	startedDesc, handledDesc, receivedDesc, sentDesc, requestsDesc *prometheus.Desc
	bytesInDesc, bytesOutDesc, tookDesc, rangesDesc, failuresDesc  *prometheus.Desc
}

const codeCount = int(codes.Unauthenticated) + 1

// methodCount is the counters of one method.
type methodCount struct {
	service, method, kind string
	calls, received, sent atomic.Int64
	byCode                [codeCount]atomic.Int64
	lazy                  bool // shown only once it was called
	// timed is how long the calls took, by the name that etcd has for the kind of
	// request; nil if it does not tell. reads is for transactions that only read.
	timed, reads *kindTimes
	handling     prometheus.Observer
	// sendFailures and receiveFailures count the messages of streams that were lost
	// although the client was there.
	sendFailures, receiveFailures atomic.Int64
}

// kindTimes is how long requests of a kind took.
type kindTimes struct {
	kind  string
	times outcomes
}

// outcomes are two histograms: of what failed and of what succeeded.
type outcomes [2]*tally.Histogram

func newOutcomes(first time.Duration, buckets int) outcomes {
	return outcomes{tally.Durations(first, buckets), tally.Durations(first, buckets)}
}

func (o *outcomes) observe(err error, took time.Duration) {
	i := 0
	if err == nil {
		i = 1
	}
	o[i].Observe(took)
}

// requestKinds are the methods whose times are told, with the names of their kinds.
var requestKinds = map[string]string{
	"/etcdserverpb.KV/Range":          "Range",
	"/etcdserverpb.KV/Put":            "Put",
	"/etcdserverpb.KV/DeleteRange":    "DeleteRange",
	"/etcdserverpb.KV/Txn":            "Txn",
	"/etcdserverpb.KV/Compact":        "Compaction",
	"/etcdserverpb.Lease/LeaseGrant":  "LeaseGrant",
	"/etcdserverpb.Lease/LeaseRevoke": "LeaseRevoke",
	"/etcdserverpb.Maintenance/Alarm": "Alarm",

	"/etcdserverpb.Auth/AuthEnable":           "AuthEnable",
	"/etcdserverpb.Auth/AuthDisable":          "AuthDisable",
	"/etcdserverpb.Auth/AuthStatus":           "AuthStatus",
	"/etcdserverpb.Auth/Authenticate":         "Authenticate",
	"/etcdserverpb.Auth/UserAdd":              "AuthUserAdd",
	"/etcdserverpb.Auth/UserDelete":           "AuthUserDelete",
	"/etcdserverpb.Auth/UserChangePassword":   "AuthUserChangePassword",
	"/etcdserverpb.Auth/UserGrantRole":        "AuthUserGrantRole",
	"/etcdserverpb.Auth/UserGet":              "AuthUserGet",
	"/etcdserverpb.Auth/UserRevokeRole":       "AuthUserRevokeRole",
	"/etcdserverpb.Auth/UserList":             "AuthUserList",
	"/etcdserverpb.Auth/RoleAdd":              "AuthRoleAdd",
	"/etcdserverpb.Auth/RoleGrantPermission":  "AuthRoleGrantPermission",
	"/etcdserverpb.Auth/RoleGet":              "AuthRoleGet",
	"/etcdserverpb.Auth/RoleRevokePermission": "AuthRoleRevokePermission",
	"/etcdserverpb.Auth/RoleDelete":           "AuthRoleDelete",
	"/etcdserverpb.Auth/RoleList":             "AuthRoleList",
}

const (
	methodRange = "/etcdserverpb.KV/Range"
	methodTxn   = "/etcdserverpb.KV/Txn"
)

func newKindTimes(kind string) *kindTimes {
	return &kindTimes{kind: kind, times: newOutcomes(time.Millisecond, 14)}
}

// NewMetrics returns counters for the services that New registers; extensive ones
// tell how long the calls of each method took.
func NewMetrics(extensive bool) *Metrics {
	labels := []string{"grpc_type", "grpc_service", "grpc_method"}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	m := &Metrics{
		ranges:       newOutcomes(100*time.Microsecond, 20),
		methods:      make(map[string]*methodCount),
		requests:     make(map[[2]string]*atomic.Int64),
		startedDesc:  desc("grpc_server_started_total", "Calls begun on the server.", labels...),
		handledDesc:  desc("grpc_server_handled_total", "Calls ended on the server, whatever their outcome.", append(labels, "grpc_code")...),
		receivedDesc: desc("grpc_server_msg_received_total", "Messages received by the server.", labels...),
		sentDesc:     desc("grpc_server_msg_sent_total", "Messages sent by the server.", labels...),
		requestsDesc: desc("etcd_server_client_requests_total", "Requests by kind and by the client's API version.", "type", "client_api_version"),
		bytesInDesc:  desc("etcd_network_client_grpc_received_bytes_total", "Bytes of messages received from clients."),
		bytesOutDesc: desc("etcd_network_client_grpc_sent_bytes_total", "Bytes of messages sent to clients."),
		tookDesc:     desc("etcd_server_request_duration_seconds", "How long requests took, by kind.", "type", "success"),
		rangesDesc:   desc("etcd_server_range_duration_seconds", "How long reads of ranges took.", "success"),
		failuresDesc: desc("etcd_network_server_stream_failures_total", "Messages of streams that failed though the client was there.", "Type", "API"),
	}
	if extensive {
		m.handling = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "grpc_server_handling_seconds",
			Help: "How long calls took on the server.", Buckets: prometheus.DefBuckets}, labels)
	}
	return m
}

func (m *Metrics) register(s *grpc.Server) {
	for name, info := range s.GetServiceInfo() {
		for _, x := range info.Methods {
			kind := "unary"
			switch {
			case x.IsClientStream && x.IsServerStream:
				kind = "bidi_stream"
			case x.IsServerStream:
				kind = "server_stream"
			}
			full := "/" + name + "/" + x.Name
			c := &methodCount{service: name, method: x.Name, kind: kind,
				lazy: !strings.HasPrefix(name, "etcdserverpb.") && !strings.HasPrefix(name, "grpc.health.")}
			if kind, ok := requestKinds[full]; ok {
				c.timed = newKindTimes(kind)
			}
			if full == methodTxn {
				c.reads = newKindTimes("ReadonlyTxn")
			}
			if m.handling != nil && !c.lazy {
				c.handling = m.handling.WithLabelValues(c.kind, c.service, c.method)
			}
			m.methods[full] = c
		}
	}
}

func (m *Metrics) started(method string) *methodCount {
	c := m.methods[method]
	if c == nil {
		c = new(methodCount) // not registered: nothing to report
	}
	c.calls.Add(1)
	if c.kind == "unary" {
		c.received.Add(1)
	}
	return c
}

func (c *methodCount) handled(err error) {
	code := status.Code(err)
	if int(code) < codeCount {
		c.byCode[code].Add(1)
	}
	if c.kind == "unary" {
		c.sent.Add(1) // as etcd counts it: an error is sent too
	}
}

// took counts how long a call took.
func (m *Metrics) took(count *methodCount, c *call) {
	kind := count.timed
	if count.reads != nil {
		if txn, ok := c.req.(*pb.TxnRequest); ok && mvcc.ReadOnly(txn) {
			kind = count.reads
		}
	}
	if kind != nil {
		kind.times.observe(c.err, c.took)
	}
	if _, ok := c.req.(*pb.RangeRequest); ok {
		m.ranges.observe(c.err, c.took)
	}
	m.remember(count, c)
	m.handledIn(count, c.took)
}

// handledIn counts it for those who want the times of every method.
func (m *Metrics) handledIn(c *methodCount, took time.Duration) {
	switch {
	case c.handling != nil:
		c.handling.Observe(took.Seconds())
	case m.handling != nil && c.lazy:
		m.handling.WithLabelValues(c.kind, c.service, c.method).Observe(took.Seconds())
	}
}

// SlowReads is how many reads took longer than Config.SlowApply.
func (m *Metrics) SlowReads() int64 { return m.slowReads.Load() }

// maxVersions bounds how many client versions are counted apart: the text comes
// from the client.
const maxVersions = 64

// request counts a request by the version that the client says it has.
func (m *Metrics) request(kind, version string) {
	if version == "" {
		version = "unknown"
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.requests[[2]string{kind, version}]
	if n == nil {
		if len(m.requests) >= maxVersions {
			version = "other"
			n = m.requests[[2]string{kind, version}]
		}
		if n == nil {
			n = new(atomic.Int64)
			m.requests[[2]string{kind, version}] = n
		}
	}
	n.Add(1)
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.startedDesc, m.handledDesc, m.receivedDesc, m.sentDesc, m.requestsDesc,
		m.bytesInDesc, m.bytesOutDesc, m.tookDesc, m.rangesDesc, m.failuresDesc} {
		ch <- d
	}
	if m.handling != nil {
		m.handling.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	for _, c := range m.methods {
		if c.lazy && c.calls.Load() == 0 {
			continue
		}
		counter(m.startedDesc, c.calls.Load(), c.kind, c.service, c.method)
		counter(m.receivedDesc, c.received.Load(), c.kind, c.service, c.method)
		counter(m.sentDesc, c.sent.Load(), c.kind, c.service, c.method)
		for code := range c.byCode {
			if n := c.byCode[code].Load(); n > 0 || !c.lazy {
				counter(m.handledDesc, n, c.kind, c.service, c.method, codes.Code(code).String())
			}
		}
	}
	m.mu.Lock()
	for k, n := range m.requests {
		counter(m.requestsDesc, n.Load(), k[0], k[1])
	}
	m.mu.Unlock()
	counter(m.bytesInDesc, m.receivedBytes.Load())
	counter(m.bytesOutDesc, m.sentBytes.Load())
	m.collectTimes(ch)
	for method, api := range map[string]string{"/etcdserverpb.Watch/Watch": "watch", "/etcdserverpb.Lease/LeaseKeepAlive": "lease-keepalive"} {
		c := m.methods[method]
		if n := c.sendFailures.Load(); n > 0 {
			counter(m.failuresDesc, n, "send", api)
		}
		if n := c.receiveFailures.Load(); n > 0 {
			counter(m.failuresDesc, n, "receive", api)
		}
	}
}

// collectTimes shows the histograms that have counted anything: etcd's series
// appear with their first use.
func (m *Metrics) collectTimes(ch chan<- prometheus.Metric) {
	show := func(desc *prometheus.Desc, o *outcomes, labels ...string) {
		for i, success := range [...]string{"false", "true"} {
			if s := o[i].Snapshot(); s.Count > 0 {
				ch <- ConstHistogram(desc, s, 1e-9, append(labels, success)...)
			}
		}
	}
	for _, c := range m.methods {
		for _, k := range []*kindTimes{c.timed, c.reads} {
			if k != nil {
				show(m.tookDesc, &k.times, k.kind)
			}
		}
	}
	show(m.rangesDesc, &m.ranges)
	if m.handling != nil {
		m.handling.Collect(ch)
	}
}

// ConstHistogram turns what a histogram has counted into a metric; unit is what one
// of its values is worth in the metric's unit.
func ConstHistogram(desc *prometheus.Desc, s tally.Snapshot, unit float64, labels ...string) prometheus.Metric {
	buckets := make(map[float64]uint64, len(s.Bounds))
	for i, bound := range s.Bounds {
		buckets[round(float64(bound)*unit)] = s.Below[i]
	}
	return prometheus.MustNewConstHistogram(desc, s.Count, float64(s.Sum)*unit, buckets, labels...)
}

// round takes off what a multiplication has added behind the digits that count, so
// that bounds read 0.004 and not 0.0040000000000000001.
func round(f float64) float64 {
	r, err := strconv.ParseFloat(strconv.FormatFloat(f, 'g', 12, 64), 64)
	if err != nil {
		return f
	}
	return r
}
