package proxy

import (
	"strings"

	_ "bowline/internal/rpc/electionpb" // describes Election
	_ "bowline/internal/rpc/lockpb"     // describes Lock

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	_ "go.etcd.io/etcd/api/v3/etcdserverpb" // describes the other services
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// figures are the proxy's metrics, under etcd's names.
type figures struct {
	registry *prometheus.Registry

	sharing                           prometheus.Gauge
	sharedEvents, parked              prometheus.Counter
	cacheKeys, cacheHits, cacheMisses prometheus.Gauge

	started, handled, received, sent *prometheus.CounterVec
	methods                          map[string]method
}

func newFigures() *figures {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "etcd_grpc_proxy_" + name, Help: help})
	}
	labels := []string{"grpc_type", "grpc_service", "grpc_method"}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "grpc_server_" + name, Help: help}, labels)
	}
	f := &figures{
		registry: prometheus.NewRegistry(),
		sharing:  gauge("watchers_coalescing_total", "Watches of clients that cost the cluster none of their own."),
		sharedEvents: prometheus.NewCounter(prometheus.CounterOpts{Name: "etcd_grpc_proxy_events_coalescing_total",
			Help: "Responses to watches that the cluster did not have to send."}),
		parked: prometheus.NewCounter(prometheus.CounterOpts{Name: "bowline_grpc_proxy_watches_parked_total",
			Help: "How often a watch was parked because its client did not read."}),
		cacheKeys:   gauge("cache_keys_total", "Answers to reads that are remembered."),
		cacheHits:   gauge("cache_hits_total", "Reads that were answered from memory."),
		cacheMisses: gauge("cache_misses_total", "Reads that could not be answered from memory."),
		started:     counters("started_total", "Calls begun on the proxy.", labels...),
		handled:     counters("handled_total", "Calls ended on the proxy, whatever their outcome.", append(labels, "grpc_code")...),
		received:    counters("msg_received_total", "Messages received by the proxy.", labels...),
		sent:        counters("msg_sent_total", "Messages sent by the proxy.", labels...),
		methods:     knownMethods(),
	}
	f.registry.MustRegister(f.sharing, f.sharedEvents, f.parked, f.cacheKeys, f.cacheHits, f.cacheMisses, f.started, f.handled,
		f.received, f.sent, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return f
}

// method is a call that the proxy knows.
type method struct {
	kind, service, name string
	request, response   protoreflect.MessageType
}

// knownMethods lists the calls of the API by their paths.
func knownMethods() map[string]method {
	known := make(map[string]method)
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				m := service.Methods().Get(j)
				path := "/" + string(service.FullName()) + "/" + string(m.Name())
				if !passable(path) {
					continue
				}
				request, errRequest := protoregistry.GlobalTypes.FindMessageByName(m.Input().FullName())
				response, errResponse := protoregistry.GlobalTypes.FindMessageByName(m.Output().FullName())
				if errRequest != nil || errResponse != nil {
					continue // not a message of ours
				}
				known[path] = method{kindOf(m), string(service.FullName()), string(m.Name()), request, response}
			}
		}
		return true
	})
	return known
}

func kindOf(m protoreflect.MethodDescriptor) string {
	switch {
	case m.IsStreamingClient() && m.IsStreamingServer():
		return "bidi_stream"
	case m.IsStreamingClient():
		return "client_stream"
	case m.IsStreamingServer():
		return "server_stream"
	}
	return "unary"
}

// passable tells whether a call is one of the cluster's services for clients.
func passable(path string) bool {
	for _, service := range []string{"etcdserverpb.KV", "etcdserverpb.Watch", "etcdserverpb.Lease", "etcdserverpb.Cluster",
		"etcdserverpb.Maintenance", "etcdserverpb.Auth", "v3lockpb.Lock", "v3electionpb.Election", "grpc.health.v1.Health"} {
		if strings.HasPrefix(path, "/"+service+"/") {
			return true
		}
	}
	return false
}

// counted is what counts a call.
type counted struct {
	figures *figures
	method
}

// begin counts a call; nil if it is not known.
func (f *figures) begin(path string) *counted {
	m, ok := f.methods[path]
	if !ok {
		return nil
	}
	c := &counted{f, m}
	f.started.WithLabelValues(m.kind, m.service, m.name).Inc()
	return c
}

func (c *counted) message(received bool) {
	if c == nil {
		return
	}
	v := c.figures.sent
	if received {
		v = c.figures.received
	}
	v.WithLabelValues(c.kind, c.service, c.name).Inc()
}

func (c *counted) end(err error) {
	if c != nil {
		c.figures.handled.WithLabelValues(c.kind, c.service, c.name, status.Code(err).String()).Inc()
	}
}

// observed is a stream whose messages are counted, and shown to its witness.
type observed struct {
	grpc.ServerStream
	counted *counted
	witness *witness
}

func (o *observed) RecvMsg(m any) error {
	err := o.ServerStream.RecvMsg(m)
	if err == nil {
		o.counted.message(true)
	}
	o.witness.see(true, m, err)
	return err
}

func (o *observed) SendMsg(m any) error {
	o.witness.see(false, m, nil) // before gRPC gives back the memory of what it has sent
	err := o.ServerStream.SendMsg(m)
	if err == nil {
		o.counted.message(false)
	}
	return err
}
