package httpapi

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// TestNamesDoNotCountAtTheGateway: a caller whose certificate has a name is told so,
// and nothing is called.
func TestNamesDoNotCountAtTheGateway(t *testing.T) {
	conn, err := grpc.NewClient("passthrough:///nobody", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	g, err := NewGateway(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	g.Named = func(r *http.Request) bool { return r.Header.Get("Named") != "" }
	mux := http.NewServeMux()
	g.Register(mux)
	for path, c := range map[string]struct {
		named bool
		code  int
		text  string
	}{
		"/v3/kv/range":     {true, http.StatusBadRequest, "CommonName of client"},
		"/v3beta/kv/range": {true, http.StatusBadRequest, "CommonName of client"},
		"/v3/none":         {false, http.StatusNotFound, "Not Found"},
		"/v3beta/none":     {false, http.StatusNotFound, "Not Found"},
	} {
		req := httptest.NewRequest(http.MethodPost, path, strings.NewReader("{}"))
		if c.named {
			req.Header.Set("Named", "yes")
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, req)
		if w.Code != c.code || !strings.Contains(w.Body.String(), c.text) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}
