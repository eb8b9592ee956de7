package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"bowline/internal/server"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Member is what the HTTP API asks of the member.
type Member interface {
	HasLeader() bool
	IsLearner() bool
	Alarms() []*pb.AlarmMember
	// Probe reads through the member as a client would.
	Probe(ctx context.Context, serializable bool) error
	ClusterVersion() string
}

// API is the HTTP handlers of a client port.
type API struct {
	member Member
	// Former has /version and /health answer as in etcd 3.4, without the fields that came
	// later.
	Former  bool
	timeout time.Duration
	// HealthSuccess and HealthFailures count the answers of /health.
	HealthSuccess, HealthFailures atomic.Int64
	checks                        checkCounts
}

// New returns handlers whose probes take at most timeout.
func New(m Member, timeout time.Duration) *API { return &API{member: m, timeout: timeout} }

// Register adds the handlers that every client and metrics port has.
func (a *API) Register(mux *http.ServeMux) {
	mux.HandleFunc("/health", a.health)
	a.registerChecks(mux, "livez", "serializable_read")
	a.registerChecks(mux, "readyz", "data_corruption", "serializable_read", "linearizable_read", "non_learner")
}

// RegisterVersion adds /version.
func (a *API) RegisterVersion(mux *http.ServeMux) { mux.HandleFunc("/version", a.version) }

func getOnly(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet {
		return true
	}
	w.Header().Set("Allow", http.MethodGet)
	http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
	return false
}

// health answers as etcd's /health, body for body.
func (a *API) health(w http.ResponseWriter, r *http.Request) {
	if !getOnly(w, r) {
		return
	}
	q := r.URL.Query()
	reason := a.sick(r.Context(), q["exclude"], q.Get("serializable") == "true")
	body, err := json.Marshal(struct {
		Health string `json:"health"`
		Reason string `json:"reason"`
	}{fmt.Sprint(reason == ""), reason})
	if a.Former {
		body, err = fmt.Appendf(nil, `{"health":"%t"}`, reason == ""), nil
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if reason != "" {
		a.HealthFailures.Add(1)
		http.Error(w, string(body), http.StatusServiceUnavailable)
		return
	}
	a.HealthSuccess.Add(1)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Write(body)
}

// sick tells why the member is not healthy, "" if it is.
func (a *API) sick(ctx context.Context, excluded []string, serializable bool) string {
	for _, x := range a.member.Alarms() {
		if slices.Contains(excluded, x.Alarm.String()) {
			continue
		}
		switch x.Alarm {
		case pb.AlarmType_NOSPACE, pb.AlarmType_CORRUPT:
			return "ALARM " + x.Alarm.String()
		default:
			return "ALARM UNKNOWN"
		}
	}
	if !serializable && !a.member.HasLeader() {
		return "RAFT NO LEADER"
	}
	if err := a.probe(ctx, serializable); err != nil {
		return "RANGE ERROR:" + err.Error()
	}
	return ""
}

func (a *API) probe(ctx context.Context, serializable bool) error {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	return a.member.Probe(ctx, serializable)
}

func (a *API) version(w http.ResponseWriter, r *http.Request) {
	if !getOnly(w, r) {
		return
	}
	v := struct {
		Server  string `json:"etcdserver"`
		Cluster string `json:"etcdcluster"`
		Storage string `json:"storage"`
	}{server.Version, a.member.ClusterVersion(), a.member.ClusterVersion()}
	if v.Cluster == "" {
		v.Cluster, v.Storage = "not_decided", "unknown"
	}
	var shown any = v
	if a.Former {
		shown = struct {
			Server  string `json:"etcdserver"`
			Cluster string `json:"etcdcluster"`
		}{v.Server, v.Cluster}
	}
	body, err := json.Marshal(shown)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(body)
}

// check is one sub-check of /livez or /readyz; an error is its failure.
func (a *API) check(ctx context.Context, name string) error {
	switch name {
	case "data_corruption":
		for _, x := range a.member.Alarms() {
			if x.Alarm == pb.AlarmType_CORRUPT {
				return fmt.Errorf("alarm activated: CORRUPT")
			}
		}
		return nil
	case "serializable_read":
		return a.probe(ctx, true)
	case "linearizable_read":
		return a.probe(ctx, false)
	case "non_learner":
		if a.member.IsLearner() {
			return fmt.Errorf("not supported for learner")
		}
		return nil
	}
	return fmt.Errorf("no such check: %s", name)
}

func (a *API) registerChecks(mux *http.ServeMux, kind string, checks ...string) {
	mux.HandleFunc("/"+kind, func(w http.ResponseWriter, r *http.Request) {
		if !getOnly(w, r) {
			return
		}
		excluded := r.URL.Query()["exclude"]
		run := slices.DeleteFunc(slices.Clone(checks), func(c string) bool { return slices.Contains(excluded, c) })
		a.answerChecks(w, r, kind, run)
	})
	for _, c := range checks {
		mux.HandleFunc("/"+kind+"/"+c, func(w http.ResponseWriter, r *http.Request) {
			if getOnly(w, r) {
				a.answerChecks(w, r, kind, []string{c})
			}
		})
	}
}

func (a *API) answerChecks(w http.ResponseWriter, r *http.Request, kind string, checks []string) {
	var lines strings.Builder
	failed := false
	for _, c := range checks {
		err := a.check(r.Context(), c)
		a.checks.add(kind, c, err == nil)
		if err != nil {
			failed = true
			fmt.Fprintf(&lines, "[-]%s failed: %v\n", c, err)
			continue
		}
		fmt.Fprintf(&lines, "[+]%s ok\n", c)
	}
	if failed {
		http.Error(w, lines.String(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if _, verbose := r.URL.Query()["verbose"]; verbose {
		fmt.Fprint(w, lines.String())
	}
	fmt.Fprintln(w, "ok")
}
