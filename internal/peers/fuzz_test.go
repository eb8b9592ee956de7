package peers

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"
)

// FuzzQuestions: whatever a body and a header say, each path answers.
func FuzzQuestions(f *testing.F) {
	f.Add(uint8(0), []byte(`{"revision":3}`), "1", "5")
	f.Add(uint8(1), []byte{8, 7}, "", "")
	f.Add(uint8(2), wrap([]byte{8, 7, 16, 1}), "x", "18446744073709551616")
	f.Fuzz(func(t *testing.T, which uint8, body []byte, cluster, id string) {
		mux := http.NewServeMux()
		(&Handler{API: new(fake), ClusterID: 1}).Register(mux)
		paths := []struct{ method, path string }{
			{http.MethodGet, pathHashKV}, {http.MethodGet, pathTreeHash}, {http.MethodPost, pathLeases}, {http.MethodPost, pathLeasesDetails},
			{http.MethodPost, pathPromote}, {http.MethodGet, pathMembers}, {http.MethodGet, pathDowngrade},
		}
		at := paths[int(which)%len(paths)]
		req := httptest.NewRequest(at.method, at.path, bytes.NewReader(body))
		req.Header.Set(headerClusterID, cluster)
		if at.path == pathPromote {
			req.URL.Path += id
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, req)
		if w.Code < 200 || w.Code > 599 {
			t.Errorf("%s: %d", at.path, w.Code)
		}
	})
}
