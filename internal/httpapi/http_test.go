package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
)

// fakeMember answers as its fields say.
type fakeMember struct {
	leaderless, learner bool
	alarms              []pb.AlarmType
	version             string
	linearizable        error // of a read that must be
	serializable        error
	stuck               bool // reads end with their context
}

func (m *fakeMember) HasLeader() bool        { return !m.leaderless }
func (m *fakeMember) IsLearner() bool        { return m.learner }
func (m *fakeMember) ClusterVersion() string { return m.version }

func (m *fakeMember) Alarms() []*pb.AlarmMember {
	var all []*pb.AlarmMember
	for _, a := range m.alarms {
		all = append(all, &pb.AlarmMember{MemberID: 1, Alarm: a})
	}
	return all
}

func (m *fakeMember) Probe(ctx context.Context, serializable bool) error {
	if m.stuck {
		<-ctx.Done()
		return ctx.Err()
	}
	if serializable {
		return m.serializable
	}
	return m.linearizable
}

// ask sends one request to the handlers of a member.
func ask(m *fakeMember, method, target string) *httptest.ResponseRecorder {
	mux := http.NewServeMux()
	api := New(m, 20*time.Millisecond)
	api.Register(mux)
	api.RegisterVersion(mux)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(method, target, nil))
	return w
}

const plainText = "text/plain; charset=utf-8"

func TestAnswersAreEtcdsByteForByte(t *testing.T) {
	refused := errors.New("etcdserver: request timed out")
	for _, c := range []struct {
		name   string
		member fakeMember
		target string
		status int
		body   string
	}{
		{"healthy", fakeMember{}, "/health", 200, `{"health":"true","reason":""}`},
		{"no space", fakeMember{alarms: []pb.AlarmType{pb.AlarmType_NOSPACE}}, "/health", 503,
			`{"health":"false","reason":"ALARM NOSPACE"}` + "\n"},
		{"corrupt", fakeMember{alarms: []pb.AlarmType{pb.AlarmType_CORRUPT}}, "/health", 503,
			`{"health":"false","reason":"ALARM CORRUPT"}` + "\n"},
		{"an alarm from the future", fakeMember{alarms: []pb.AlarmType{77}}, "/health", 503,
			`{"health":"false","reason":"ALARM UNKNOWN"}` + "\n"},
		{"an alarm excluded", fakeMember{alarms: []pb.AlarmType{pb.AlarmType_NOSPACE}}, "/health?exclude=NOSPACE", 200,
			`{"health":"true","reason":""}`},
		{"another alarm excluded", fakeMember{alarms: []pb.AlarmType{pb.AlarmType_NOSPACE}}, "/health?exclude=CORRUPT&exclude=", 503,
			`{"health":"false","reason":"ALARM NOSPACE"}` + "\n"},
		{"both alarms excluded", fakeMember{alarms: []pb.AlarmType{pb.AlarmType_NOSPACE, pb.AlarmType_CORRUPT}},
			"/health?exclude=NOSPACE&exclude=CORRUPT", 200, `{"health":"true","reason":""}`},
		{"no leader", fakeMember{leaderless: true}, "/health", 503, `{"health":"false","reason":"RAFT NO LEADER"}` + "\n"},
		{"no leader, stale reads will do", fakeMember{leaderless: true}, "/health?serializable=true", 200,
			`{"health":"true","reason":""}`},
		{"only true means true", fakeMember{leaderless: true}, "/health?serializable=1", 503,
			`{"health":"false","reason":"RAFT NO LEADER"}` + "\n"},
		{"a read fails", fakeMember{linearizable: refused}, "/health", 503,
			`{"health":"false","reason":"RANGE ERROR:etcdserver: request timed out"}` + "\n"},
		{"a read hangs", fakeMember{stuck: true}, "/health", 503,
			`{"health":"false","reason":"RANGE ERROR:context deadline exceeded"}` + "\n"},

		{"alive", fakeMember{}, "/livez", 200, "ok\n"},
		{"alive, at length", fakeMember{}, "/livez?verbose", 200, "[+]serializable_read ok\nok\n"},
		{"alive, one check", fakeMember{}, "/livez/serializable_read", 200, "ok\n"},
		{"alive without a quorum", fakeMember{linearizable: refused, leaderless: true}, "/livez", 200, "ok\n"},
		{"dead", fakeMember{serializable: refused}, "/livez", 503,
			"[-]serializable_read failed: etcdserver: request timed out\n\n"},
		{"alive has fewer checks", fakeMember{}, "/livez/linearizable_read", 404, "404 page not found\n"},
		{"ready", fakeMember{}, "/readyz", 200, "ok\n"},
		{"ready, at length", fakeMember{}, "/readyz?verbose", 200,
			"[+]data_corruption ok\n[+]serializable_read ok\n[+]linearizable_read ok\n[+]non_learner ok\nok\n"},
		{"not ready without a quorum", fakeMember{linearizable: refused}, "/readyz", 503,
			"[+]data_corruption ok\n[+]serializable_read ok\n[-]linearizable_read failed: etcdserver: request timed out\n[+]non_learner ok\n\n"},
		{"that check excluded", fakeMember{linearizable: refused}, "/readyz?exclude=linearizable_read", 200, "ok\n"},
		{"an unknown check excluded", fakeMember{}, "/readyz?exclude=nothing", 200, "ok\n"},
		{"all checks excluded", fakeMember{stuck: true, learner: true},
			"/readyz?verbose&exclude=data_corruption&exclude=serializable_read&exclude=linearizable_read&exclude=non_learner", 200, "ok\n"},
		{"a learner is not ready", fakeMember{learner: true}, "/readyz/non_learner", 503,
			"[-]non_learner failed: not supported for learner\n\n"},
		{"corrupt is not ready", fakeMember{alarms: []pb.AlarmType{pb.AlarmType_CORRUPT}}, "/readyz/data_corruption", 503,
			"[-]data_corruption failed: alarm activated: CORRUPT\n\n"},
		{"no space is ready", fakeMember{alarms: []pb.AlarmType{pb.AlarmType_NOSPACE}}, "/readyz", 200, "ok\n"},
		{"an unknown check", fakeMember{}, "/readyz/nothing", 404, "404 page not found\n"},

		{"version", fakeMember{version: "3.7.0"}, "/version", 200, `{"etcdserver":"3.7.1","etcdcluster":"3.7.0","storage":"3.7.0"}`},
		{"no version yet", fakeMember{}, "/version", 200, `{"etcdserver":"3.7.1","etcdcluster":"not_decided","storage":"unknown"}`},
		{"nothing there", fakeMember{}, "/nothing", 404, "404 page not found\n"},
	} {
		w := ask(&c.member, http.MethodGet, c.target)
		if w.Code != c.status || w.Body.String() != c.body {
			t.Errorf("%s: got %d %q, want %d %q", c.name, w.Code, w.Body, c.status, c.body)
		}
		want := plainText
		if strings.HasPrefix(c.target, "/version") {
			want = "application/json"
		}
		if got := w.Header().Get("Content-Type"); got != want {
			t.Errorf("%s: the content is %q, want %q", c.name, got, want)
		}
		sniff := w.Header().Get("X-Content-Type-Options")
		if plain := c.target == "/version" || c.status == 200 && strings.HasPrefix(c.target, "/health"); (sniff == "") != plain {
			t.Errorf("%s: X-Content-Type-Options is %q", c.name, sniff)
		}
	}
}

func TestOnlyGetIsAllowed(t *testing.T) {
	for _, target := range []string{"/health", "/livez", "/readyz", "/livez/serializable_read", "/readyz/non_learner", "/version"} {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodHead} {
			w := ask(&fakeMember{}, method, target)
			if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != http.MethodGet || w.Body.String() != "Method Not Allowed\n" {
				t.Errorf("%s %s: %d %q, allows %q", method, target, w.Code, w.Body, w.Header().Get("Allow"))
			}
		}
	}
}

func TestAnswersAreCounted(t *testing.T) {
	m := &fakeMember{}
	api, mux := New(m, time.Second), http.NewServeMux()
	api.Register(mux)
	get := func(target string) {
		mux.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, target, nil))
	}
	get("/health")
	get("/livez")
	m.leaderless, m.serializable = true, errors.New("no")
	get("/health")
	get("/livez")
	r := prometheus.NewRegistry()
	r.MustRegister(api)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range families {
		for _, s := range f.Metric {
			line := f.GetName()
			for _, l := range s.Label {
				line += " " + l.GetValue()
			}
			if s.GetCounter().GetValue()+s.GetGauge().GetValue() == 1 {
				got = append(got, line)
			}
		}
	}
	want := []string{
		"etcd_server_health_failures", "etcd_server_health_success",
		// etcd_server_healthcheck is 0: the last result was bad.
		"etcd_server_healthchecks_total serializable_read error livez",
		"etcd_server_healthchecks_total serializable_read success livez",
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("counted once: %q, want %q", got, want)
	}
}

func TestGuard(t *testing.T) {
	const page = "http://page:1"
	for _, c := range []struct {
		name           string
		guard          Guard
		method         string
		host, origin   string
		status         int
		allowed        string // the origin that the answer allows
		reachesHandler bool
	}{
		{"no rules", Guard{}, http.MethodGet, "any:1", page, 200, "*", true},
		{"all origins", Guard{Origins: []string{"*"}}, http.MethodGet, "any", "", 200, "*", true},
		{"a listed origin", Guard{Origins: []string{page}}, http.MethodGet, "any", page, 200, page, true},
		{"another origin", Guard{Origins: []string{page}}, http.MethodGet, "any", "http://other", 200, "", true},
		{"what a browser asks beforehand", Guard{Origins: []string{page}}, http.MethodOptions, "any", page, 200, page, false},
		{"from another origin", Guard{Origins: []string{page}}, http.MethodOptions, "any", "http://other", 200, "", false},
		{"a listed host", Guard{Hosts: []string{"a.b"}}, http.MethodGet, "a.b:2379", "", 200, "*", true},
		{"a listed host without a port", Guard{Hosts: []string{"a.b"}}, http.MethodGet, "a.b", "", 200, "*", true},
		{"another host", Guard{Hosts: []string{"a.b"}}, http.MethodGet, "127.0.0.1:2379", "", http.StatusMisdirectedRequest, "", false},
	} {
		c.guard.Logger = zap.NewNop()
		reached := false
		h := c.guard.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
		r := httptest.NewRequest(c.method, "/version", nil)
		r.Host = c.host
		r.Header.Set("Origin", c.origin)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.status || reached != c.reachesHandler || w.Header().Get("Access-Control-Allow-Origin") != c.allowed {
			t.Errorf("%s: %d, handler reached %v, allows %q", c.name, w.Code, reached, w.Header().Get("Access-Control-Allow-Origin"))
		}
		if w.Code == http.StatusMisdirectedRequest && !strings.Contains(w.Body.String(), `etcd --host-whitelist "127.0.0.1"`) {
			t.Errorf("%s: the answer does not say what to do: %q", c.name, w.Body)
		}
	}
}

func TestVarsAreWhatExpvarWouldServe(t *testing.T) {
	mux := http.NewServeMux()
	RegisterVars(mux, func() map[string]any { return map[string]any{"raft.status": 7} })
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/debug/vars", nil))
	var all map[string]json.RawMessage
	if err := json.Unmarshal(w.Body.Bytes(), &all); err != nil {
		t.Fatal(err)
	}
	if string(all["raft.status"]) != "7" || all["cmdline"] == nil || !strings.Contains(string(all["memstats"]), "HeapAlloc") {
		t.Errorf("/debug/vars is %s", w.Body)
	}
	if got := w.Header().Get("Content-Type"); got != "application/json; charset=utf-8" {
		t.Errorf("the content is %q", got)
	}
}
