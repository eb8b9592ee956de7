package rpc

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Metrics counts calls under the names that gRPC's Prometheus metrics have. It is
// a prometheus.Collector; counting costs a few atomic additions a call.
type Metrics struct {
	methods  map[string]*methodCount // written only by register
	mu       sync.Mutex              // guards requests
	requests map[[2]string]*atomic.Int64

	startedDesc, handledDesc, receivedDesc, sentDesc, requestsDesc *prometheus.Desc
}

const codeCount = int(codes.Unauthenticated) + 1

// methodCount is the counters of one method.
type methodCount struct {
	service, method, kind string
	calls, received, sent atomic.Int64
	byCode                [codeCount]atomic.Int64
	lazy                  bool // shown only once it was called
}

// NewMetrics returns counters for the services that New registers.
func NewMetrics() *Metrics {
	labels := []string{"grpc_type", "grpc_service", "grpc_method"}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &Metrics{
		methods:      make(map[string]*methodCount),
		requests:     make(map[[2]string]*atomic.Int64),
		startedDesc:  desc("grpc_server_started_total", "Calls begun on the server.", labels...),
		handledDesc:  desc("grpc_server_handled_total", "Calls ended on the server, whatever their outcome.", append(labels, "grpc_code")...),
		receivedDesc: desc("grpc_server_msg_received_total", "Messages received by the server.", labels...),
		sentDesc:     desc("grpc_server_msg_sent_total", "Messages sent by the server.", labels...),
		requestsDesc: desc("etcd_server_client_requests_total", "Requests by kind and by the client's API version.", "type", "client_api_version"),
	}
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
			m.methods["/"+name+"/"+x.Name] = &methodCount{service: name, method: x.Name, kind: kind,
				lazy: !strings.HasPrefix(name, "etcdserverpb.") && !strings.HasPrefix(name, "grpc.health.")}
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
	if err == nil && c.kind == "unary" {
		c.sent.Add(1)
	}
}

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
	for _, d := range []*prometheus.Desc{m.startedDesc, m.handledDesc, m.receivedDesc, m.sentDesc, m.requestsDesc} {
		ch <- d
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
	defer m.mu.Unlock()
	for k, n := range m.requests {
		counter(m.requestsDesc, n.Load(), k[0], k[1])
	}
}
