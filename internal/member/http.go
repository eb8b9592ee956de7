package member

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"slices"

	"bowline/internal/httpapi"
	"bowline/internal/node"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"
	"go.uber.org/zap"
)

// probed is the member as the HTTP API sees it.
type probed struct{ m *Member }

func (p probed) HasLeader() bool           { return p.m.server.HasLeader() }
func (p probed) IsLearner() bool           { return p.m.server.IsLearner() }
func (p probed) Alarms() []*pb.AlarmMember { return p.m.fsm.Alarms() }
func (p probed) ClusterVersion() string    { return p.m.fsm.ClusterVersion() }

func (p probed) Probe(ctx context.Context, serializable bool) error {
	return p.m.server.Probe(ctx, serializable)
}

// metricsHandler serves the registry's metrics.
func metricsHandler(r *prometheus.Registry) http.Handler {
	return promhttp.InstrumentMetricHandler(r, promhttp.HandlerFor(r, promhttp.HandlerOpts{}))
}

// clientMux is what the client port serves beside gRPC.
func (m *Member) clientMux(api *httpapi.API, metrics http.Handler) (http.Handler, error) {
	mux := http.NewServeMux()
	api.Register(mux)
	api.RegisterVersion(mux)
	mux.Handle("/metrics", metrics)
	httpapi.RegisterVars(mux, m.vars)
	if m.cfg.EnablePprof {
		httpapi.RegisterPprof(mux)
		m.log.Info("pprof is enabled", zap.String("path", "/debug/pprof"))
		if m.cfg.LogLevel != nil {
			mux.Handle("/debug/log-level", m.cfg.LogLevel)
		}
	}
	if m.cfg.TraceCalls {
		httpapi.RegisterTraces(mux)
	}
	if m.cfg.JSONGateway || m.cfg.Console {
		conn, err := m.rpc.Loopback()
		if err != nil {
			return nil, err
		}
		m.gateway = conn
	}
	if m.cfg.JSONGateway {
		if err := m.openGateway(mux); err != nil {
			return nil, err
		}
	}
	if m.cfg.Console {
		if err := m.openConsole(mux); err != nil {
			return nil, err
		}
	}
	if err := addHandlers(mux, m.cfg.Handlers); err != nil {
		return nil, err
	}
	return httpapi.Guard{Origins: m.cfg.CORS, Hosts: m.cfg.HostWhitelist, Logger: m.log}.Wrap(m.withV2(mux)), nil
}

// openGateway adds the JSON gateway, which calls this member as any client would.
func (m *Member) openGateway(mux *http.ServeMux) error {
	g, err := httpapi.NewGateway(context.Background(), m.gateway)
	if err != nil {
		return err
	}
	g.Named = func(r *http.Request) bool {
		return m.cfg.ClientTLS.ClientCertAuth && m.fsm.Rules().Enabled && hasName(r.TLS)
	}
	g.MaxMessage = m.cfg.clientBounds().Body
	g.Register(mux)
	return nil
}

// hasName tells whether a verified certificate has a common name.
func hasName(state *tls.ConnectionState) bool {
	return state != nil && slices.ContainsFunc(state.VerifiedChains, func(chain []*x509.Certificate) bool {
		return len(chain) > 0 && chain[0].Subject.CommonName != ""
	})
}

// metricsMux is what ports for metrics alone serve.
func metricsMux(api *httpapi.API, metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	api.Register(mux)
	mux.Handle("/metrics", metrics)
	return mux
}

// vars are what /debug/vars shows of this member.
func (m *Member) vars() map[string]any {
	limit, err := descriptorLimit()
	if err != nil {
		m.log.Warn("cannot tell how many file descriptors there may be", zap.Error(err))
	}
	return map[string]any{"file_descriptor_limit": limit, "raft.status": raftStatus(m.node.Status(), m.wal.LastIndex())}
}

// raftStatus shows the node as etcd's raft prints its own status.
func raftStatus(st node.Status, last uint64) any {
	type progress struct {
		Match uint64 `json:"match"`
		Next  uint64 `json:"next"`
		State string `json:"state"`
	}
	peers := make(map[string]progress)
	if st.State == raft.StateLeader {
		peers[hex(st.ID)] = progress{last, last + 1, tracker.StateReplicate.String()}
	}
	for _, p := range st.Peers {
		peers[hex(p.ID)] = progress{p.Match, p.Match + 1, p.State.String()}
	}
	return struct {
		ID       string              `json:"id"`
		Term     uint64              `json:"term"`
		Vote     string              `json:"vote"`
		Commit   uint64              `json:"commit"`
		Lead     string              `json:"lead"`
		State    string              `json:"raftState"`
		Applied  uint64              `json:"applied"`
		Progress map[string]progress `json:"progress"`
		Transfer string              `json:"leadtransferee"`
	}{hex(st.ID), st.Term, hex(st.Vote), st.Commit, hex(st.Leader), st.State.String(), st.Applied, peers, "0"}
}
