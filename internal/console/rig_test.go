package console_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	"bowline/internal/member"
	"bowline/internal/testkit"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"go.uber.org/zap"
)

// rig is a member in this process, with a console.
type rig struct {
	t      *testing.T
	origin string
	client *clientv3.Client
	http   *http.Client
	token  string
}

// start starts a member that ends, leaving no goroutine, with the test.
func start(t *testing.T, change ...func(*member.Config)) *rig {
	t.Helper()
	before := goleak.IgnoreCurrent()
	var ports testkit.Ports
	block, err := ports.Take()
	if err != nil {
		t.Fatal(err)
	}
	at := func(i int) (url.URL, string) {
		u := url.URL{Scheme: "http", Host: block.Addr(i)}
		return u, u.String()
	}
	client, clientText := at(0)
	peer, peerText := at(1)
	cfg := member.Config{
		Name: "one", DataDir: t.TempDir(), Console: true,
		ListenClientURLs: []url.URL{client}, AdvertiseClientURLs: []string{clientText},
		ListenPeerURLs: []url.URL{peer}, AdvertisePeerURLs: []string{peerText},
		InitialCluster: map[string][]string{"one": {peerText}}, InitialToken: "t",
		Tick: 10 * time.Millisecond, ElectionTicks: 10, HeartbeatTicks: 1, PreVote: true,
		MaxRequestBytes: 2 << 20, MaxTxnOps: 2000, MaxConcurrentStreams: 1 << 20,
		SlowRequest: time.Minute, SlowApply: time.Minute, AuthToken: "simple", TokenTTL: time.Minute, BcryptCost: 4,
		WithoutSync: true, Logger: zap.NewNop(),
	}
	for _, c := range change {
		c(&cfg)
	}
	m, err := member.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, origin: clientText, http: &http.Client{Transport: &http.Transport{}, Timeout: time.Minute}}
	r.client, err = clientv3.New(clientv3.Config{Endpoints: []string{client.Host}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.http.CloseIdleConnections()
		r.client.Close()
		if err := m.Stop(); err != nil {
			t.Error(err)
		}
		block.Release()
		goleak.VerifyNone(t, before)
	})
	return r
}

// send sends a request as the page does, unless it is changed.
func (r *rig) send(path string, body []byte, change ...func(*http.Request)) (*http.Response, []byte) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.origin+path, bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("X-Bowline-Console", "1")
	if r.token != "" {
		req.Header.Set("Authorization", r.token)
	}
	for _, c := range change {
		c(req)
	}
	resp, err := r.http.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp, answer
}

// try asks the console, and returns the status and what was answered.
func (r *rig) try(name string, question, answer any) int {
	r.t.Helper()
	body, err := json.Marshal(question)
	if err != nil {
		r.t.Fatal(err)
	}
	resp, got := r.send("/console/api/"+name, body)
	if err := json.Unmarshal(got, answer); err != nil {
		r.t.Fatalf("%s: %v: %s", name, err, got)
	}
	return resp.StatusCode
}

// ask is try of what must be answered.
func (r *rig) ask(name string, question, answer any) {
	r.t.Helper()
	if code := r.try(name, question, answer); code != http.StatusOK {
		r.t.Fatalf("%s %v: %d", name, question, code)
	}
}

func (r *rig) put(key, value string) int64 {
	r.t.Helper()
	resp, err := r.client.Put(r.t.Context(), key, value)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.Header.Revision
}

// login becomes a user, by the JSON gateway of the console.
func (r *rig) login(user, password string) {
	r.t.Helper()
	r.token = ""
	var got struct{ Token string }
	r.ask("v3/auth/authenticate", map[string]string{"name": user, "password": password}, &got)
	r.token = got.Token
}

// secure adds root, a reader of /app/ and somebody without roles, and turns access
// control on. The rig's own client is nobody from then on.
func (r *rig) secure() {
	r.t.Helper()
	ctx, c := r.t.Context(), r.client
	must := func(_ any, err error) {
		r.t.Helper()
		if err != nil {
			r.t.Fatal(err)
		}
	}
	for _, user := range []string{"root", "anna", "nobody"} {
		_, err := c.UserAdd(ctx, user, "pw-"+user)
		must(nil, err)
	}
	_, err := c.RoleAdd(ctx, "reader")
	must(nil, err)
	_, err = c.RoleGrantPermission(ctx, "reader", "/app/", "/app0", clientv3.PermissionType(clientv3.PermRead))
	must(nil, err)
	must(c.UserGrantRole(ctx, "anna", "reader"))
	must(c.UserGrantRole(ctx, "root", "root"))
	must(c.AuthEnable(context.WithoutCancel(ctx)))
}
