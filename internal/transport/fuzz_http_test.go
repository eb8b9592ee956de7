package transport

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// FuzzPost: whatever headers and body a message comes with, it is answered, and nobody
// becomes a member by it.
func FuzzPost(f *testing.F) {
	good, err := proto.Marshal(message(raftpb.MsgVote, 1, 2, 3))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, "3.7.1", "3.0.0", "1", "http://127.0.0.1:1")
	f.Add([]byte{0xff}, "x", "3", "zz", "unix:///,%zz")
	f.Add(good, "3.7.1", "3.0.0", "ffffffffffffffff", "http://a:1,http://a:1")
	f.Fuzz(func(t *testing.T, body []byte, version, oldest, from, urls string) {
		tr, err := New(Config{ID: 2, ClusterID: testCluster, Version: "3.7.1", MinClusterVersion: "3.0.0", Raft: newFakeRaft()})
		if err != nil {
			t.Fatal(err)
		}
		defer tr.Stop()
		req := httptest.NewRequest(http.MethodPost, pathMessages, bytes.NewReader(body))
		for name, value := range map[string]string{headerVersion: version, headerOldest: oldest, headerFrom: from,
			headerPeerURLs: urls, headerCluster: tr.cluster} {
			req.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		tr.Handler().ServeHTTP(w, req)
		if w.Code < 200 || w.Code > 599 {
			t.Error(w.Code)
		}
		if held := tr.bodies.held.Load(); held != 0 {
			t.Errorf("%d bytes are still counted", held)
		}
		for id, p := range *tr.peers.Load() {
			if p.member {
				t.Errorf("%x is a member now", id)
			}
		}
	})
}
