package httpapi

import (
	"net/http"

	"golang.org/x/net/trace"
)

// RegisterTraces adds /debug/requests and /debug/events: the latest calls, those under way
// and what happened to connections, if gRPC notes it (grpc.EnableTracing).
func RegisterTraces(mux *http.ServeMux) {
	mux.HandleFunc("/debug/requests", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		trace.Render(w, r, false)
	})
	mux.HandleFunc("/debug/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		trace.RenderEvents(w, r, false)
	})
}
