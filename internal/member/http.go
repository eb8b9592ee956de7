package member

import (
	"context"
	"net/http"

	"bowline/internal/httpapi"
	"bowline/internal/rpc"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// probed is the member as the HTTP API sees it.
type probed struct{ m *Member }

func (p probed) HasLeader() bool           { return p.m.server.HasLeader() }
func (p probed) IsLearner() bool           { return p.m.server.IsLearner() }
func (p probed) Alarms() []*pb.AlarmMember { return p.m.fsm.Alarms() }
func (p probed) ClusterVersion() string    { return p.m.fsm.ClusterVersion() }

func (p probed) Probe(ctx context.Context, serializable bool) error {
	a, err := p.m.server.Range(ctx, &pb.RangeRequest{Key: []byte{0}, Limit: 1, KeysOnly: true, Serializable: serializable})
	if err != nil {
		return err
	}
	a.Release()
	return nil
}

func (m *Member) clientMux(api *httpapi.API, metrics *rpc.Metrics) http.Handler {
	mux := http.NewServeMux()
	api.Register(mux)
	api.RegisterVersion(mux)
	mux.Handle("/metrics", m.metricsHandler(api, metrics))
	if m.cfg.EnablePprof {
		httpapi.RegisterPprof(mux)
	}
	return mux
}

func (m *Member) metricsMux(api *httpapi.API, metrics *rpc.Metrics) http.Handler {
	mux := http.NewServeMux()
	api.Register(mux)
	mux.Handle("/metrics", m.metricsHandler(api, metrics))
	return mux
}

// metricsHandler serves a registry of this member's own: a program may hold
// several members.
func (m *Member) metricsHandler(api *httpapi.API, metrics *rpc.Metrics) http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		metrics, api, m.metrics.fsync, m.metrics.write, m.metrics.bytes)
	return promhttp.InstrumentMetricHandler(r, promhttp.HandlerFor(r, promhttp.HandlerOpts{}))
}
