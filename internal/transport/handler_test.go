package transport

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
)

// served is a Transport of member 2 with member 1 as a peer that cannot be reached, and 9 removed.
func served(t *testing.T) (*Transport, *fakeRaft) {
	f := newFakeRaft()
	f.removed[9] = true
	tr, err := New(Config{ID: 2, ClusterID: testCluster, Version: "3.7.1", MinClusterVersion: "3.0.0", Raft: f})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.Stop(); goleak.VerifyNone(t) })
	mustAdd(t, tr.AddPeer(1, []string{"http://127.0.0.1:1"}))
	return tr, f
}

// TestAnswers asks what members ask, rightly and wrongly.
func TestAnswers(t *testing.T) {
	encoded := func(m *raftpb.Message) string {
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	good := encoded(message(raftpb.MsgVote, 1, 2, 3))
	for _, c := range []struct {
		name         string
		method, path string
		header       string // "Name: value" by lines, beside those of a proper request; without a value it is left out
		body         string
		status       int
		text         string
	}{
		{"a message", "POST", "/raft", "", good, 204, ""},
		{"method", "GET", "/raft", "", "", 405, "Method Not Allowed"},
		{"not a message", "POST", "/raft", "", "\xff", 400, "error unmarshalling raft message"},
		{"to another", "POST", "/raft", "", encoded(message(raftpb.MsgVote, 1, 7, 3)), 500, "error processing raft message"},
		{"from a removed one", "POST", "/raft", "", encoded(message(raftpb.MsgVote, 9, 2, 3)), 403, "cannot process message from removed member"},
		{"a local message", "POST", "/raft", "", encoded(message(raftpb.MsgHup, 1, 2, 3)), 500, "error processing raft message"},
		{"a type that is none", "POST", "/raft", "", encoded(message(-5, 1, 2, 3)), 500, "error processing raft message"},
		{"a state without one", "POST", "/raft", "", encoded(message(raftpb.MsgSnap, 1, 2, 3)), 500, "error processing raft message"},
		{"without a version", "POST", "/raft", "X-Server-Version", good, 412, "incompatible version"},
		{"old version", "POST", "/raft", "X-Server-Version: 2.3.9", good, 412, "incompatible version"},
		{"newer version", "POST", "/raft", "X-Server-Version: 3.9.0-rc.1+x", good, 204, ""},
		{"wants a newer one", "POST", "/raft", "X-Min-Cluster-Version: 3.8.0", good, 412, "incompatible version"},
		{"no version", "POST", "/raft", "X-Server-Version: three", good, 400, "transport: \"three\" is not a version"},
		{"other cluster", "POST", "/raft", "X-Etcd-Cluster-ID: c2", good, 412, "cluster ID mismatch"},
		{"no cluster", "POST", "/raft", "X-Etcd-Cluster-ID", good, 412, "cluster ID mismatch"},
		{"URLs that are none", "POST", "/raft", "X-PeerURLs: ftp://a", good, 400, "transport: peer URL \"ftp://a\" is not http://host:port or https://host:port"},
		{"a socket without a name", "POST", "/raft", "X-PeerURLs: unix:///tmp/s", good, 400, "transport: peer URL \"unix:///tmp/s\" is not unix://name:port, the name of a file"},
		{"a socket", "POST", "/raft", "X-PeerURLs: unixs://localhost:2380", good, 204, ""},
		{"kind of stream", "GET", "/raft/stream/other/1", "", "", 404, "invalid path"},
		{"no kind of stream", "GET", "/raft/stream/", "", "", 404, "invalid path"},
		{"not an ID", "GET", "/raft/stream/message/x", "", "", 404, "invalid from"},
		{"removed", "GET", "/raft/stream/message/9", "", "", 410, "removed member"},
		{"not known", "GET", "/raft/stream/msgapp/5", "X-Server-From: 5", "", 404, "error sender not found"},
		{"another is meant", "GET", "/raft/stream/msgapp/1", "X-Raft-To: 3", "", 412, "to field mismatch"},
		{"stream by POST", "POST", "/raft/stream/msgapp/1", "", "", 405, "Method Not Allowed"},
		{"stream of another cluster", "GET", "/raft/stream/msgapp/1", "X-Etcd-Cluster-ID: c2", "", 412, "cluster ID mismatch"},
		{"elsewhere", "GET", "/members", "", "", 404, "404 page not found"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr, _ := served(t)
			w := httptest.NewRecorder()
			tr.Handler().ServeHTTP(w, request(c.method, c.path, c.header, c.body))
			if text := strings.TrimSuffix(w.Body.String(), "\n"); w.Code != c.status || text != c.text {
				t.Errorf("answered %d %q, want %d %q", w.Code, text, c.status, c.text)
			}
			// Over an answer of "404 page not found" this package has no say, and none about methods.
			if got := w.Header().Get("X-Etcd-Cluster-Id"); c.status != 405 && c.path != "/members" && got != "c1" {
				t.Errorf("answered for the cluster %q", got)
			}
		})
	}
}

func request(method, path, header, body string) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for _, line := range []string{"X-Server-From: 1", "X-Server-Version: 3.6.14", "X-Min-Cluster-Version: 3.0.0",
		"X-Etcd-Cluster-ID: c1", "X-PeerURLs: http://127.0.0.1:1", "X-Raft-To: 2", header} {
		name, value, _ := strings.Cut(line, ": ")
		if value == "" {
			r.Header.Del(name)
		} else {
			r.Header.Set(name, value)
		}
	}
	return r
}

// TestSendersAreRememberedWithinLimits: who sends without being known can be answered, but not any number of them.
func TestSendersAreRememberedWithinLimits(t *testing.T) {
	tr, _ := served(t)
	for i := range 10 * maxRemotes {
		id := hex(uint64(100 + i))
		w := httptest.NewRecorder()
		tr.Handler().ServeHTTP(w, request("GET", "/raft/stream/message/"+id, "X-Server-From: "+id, ""))
		if w.Code != 404 {
			t.Fatalf("answered %d", w.Code)
		}
	}
	if n := len(*tr.peers.Load()); n != maxRemotes+1 {
		t.Errorf("remembers %d", n)
	}
	if len(tr.Peers()) != 1 {
		t.Errorf("tells of %v", tr.Peers())
	}
	if tr.peer(9) != nil {
		t.Error("a removed member is remembered")
	}
	// A remote can become a member, and one more is welcome then.
	mustAdd(t, tr.AddPeer(100, []string{"http://127.0.0.1:1"}))
	if len(tr.Peers()) != 2 {
		t.Errorf("tells of %v", tr.Peers())
	}
}

func TestProbe(t *testing.T) {
	tr, _ := served(t)
	w := httptest.NewRecorder()
	tr.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/raft/probing", nil))
	var h health
	if err := json.Unmarshal(w.Body.Bytes(), &h); err != nil || w.Code != 200 || !h.OK || h.Now.IsZero() {
		t.Errorf("answered %d %s: %v", w.Code, w.Body, err)
	}
}

// TestDestination: who moves states can ask the member for anything.
func TestDestination(t *testing.T) {
	tr, _ := served(t)
	asked := make(chan http.Header, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Header
		w.WriteHeader(http.StatusNoContent)
	}))
	defer s.Close()
	// The first URL does not work: the next request takes the second.
	mustAdd(t, tr.UpdatePeer(1, []string{"http://127.0.0.1:1", s.URL}))
	d := Destination{tr.peer(1)}
	if resp, err := d.Do(context.Background(), http.MethodPost, "/raft/snapshot", nil, nil); err == nil {
		resp.Body.Close()
		t.Fatal("a closed port has answered")
	}
	resp, err := d.Do(context.Background(), http.MethodPost, "/raft/snapshot", http.Header{"Content-Type": {"application/octet-stream"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	h := <-asked
	if h.Get("X-Server-From") != "2" || h.Get("X-Etcd-Cluster-ID") != "c1" || h.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("sent %v", h)
	}
	if d.ID() != 1 || len(d.URLs()) != 2 || d.URLs()[0] != s.URL {
		t.Errorf("destination %d at %v", d.ID(), d.URLs())
	}
}
