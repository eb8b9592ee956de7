package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"bowline/internal/httpapi"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

const (
	probeTimeout   = time.Second
	watchTimeout   = 3 * time.Second
	metricsTimeout = 10 * time.Second
	maxMetrics     = 64 << 20 // bytes of a member's metrics
)

// web is what the proxy serves over HTTP.
type web struct {
	figures *figures
	// cluster is a client of the cluster, and self one of this proxy; nil if it has no address to advertise.
	cluster, self *clientv3.Client
	http          *http.Client // for the members' metrics
	pprof         bool
	log           *zap.Logger
}

// mux is the handlers of the client port, or those of a port for metrics alone.
func (w *web) mux(clients bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/metrics", w.metrics)
	mux.HandleFunc("/health", healthHandler(func(ctx context.Context) string { return sick(ctx, w.cluster) }))
	mux.Handle("/proxy/metrics", promhttp.HandlerFor(w.figures.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("/proxy/health", healthHandler(w.sickProxy))
	if clients && w.pprof {
		httpapi.RegisterPprof(mux)
	}
	return httpapi.Bounds{Body: 64 << 10, Arrival: 30 * time.Second, Departure: 30 * time.Second}.Wrap(mux)
}

// metrics shows those of a member, whichever answers first.
func (w *web) metrics(out http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), metricsTimeout)
	defer cancel()
	members := w.cluster.Endpoints()
	rand.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	for _, member := range members {
		if !strings.HasPrefix(member, "http") {
			scheme := "http://"
			if r.TLS != nil {
				scheme = "https://"
			}
			member = scheme + member
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, member+"/metrics", nil)
		if err != nil {
			continue
		}
		resp, err := w.http.Do(req)
		if err != nil {
			continue
		}
		defer resp.Body.Close()
		out.Header().Set("Content-Type", "text/plain; version=0.0.4")
		if _, err := io.Copy(out, io.LimitReader(resp.Body, maxMetrics)); err != nil {
			w.log.Debug("the metrics of a member could not be shown", zap.Error(err))
		}
		return
	}
	http.Error(out, "Internal server error", http.StatusInternalServerError)
}

// healthHandler answers as a member's /health; sick tells what is wrong, "" for nothing.
func healthHandler(sick func(context.Context) string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			w.Header().Set("Allow", http.MethodGet)
			http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
			return
		}
		reason := sick(r.Context())
		body, err := json.Marshal(struct {
			Health string `json:"health"`
			Reason string `json:"reason"`
		}{fmt.Sprint(reason == ""), reason})
		switch {
		case err != nil:
			http.Error(w, err.Error(), http.StatusInternalServerError)
		case reason != "":
			http.Error(w, string(body), http.StatusServiceUnavailable)
		default:
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_, _ = w.Write(body) // whoever asked may have gone
		}
	}
}

// sick tells why a read through a client fails. One that may not read is answered, at least.
func sick(ctx context.Context, c *clientv3.Client) string {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	if _, err := c.Get(ctx, "a"); err != nil && !errors.Is(err, rpctypes.ErrPermissionDenied) {
		return "GET ERROR:" + err.Error()
	}
	return ""
}

// sickProxy tells what this proxy fails with as its clients see it.
func (w *web) sickProxy(ctx context.Context) string {
	if w.self == nil {
		return "no connection to proxy"
	}
	if reason := sick(ctx, w.self); reason != "" {
		return reason
	}
	ctx, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	select {
	case <-w.self.Watch(ctx, "a", clientv3.WithCreatedNotify()):
		return ""
	case <-ctx.Done():
		return "WATCH TIMEOUT"
	}
}
