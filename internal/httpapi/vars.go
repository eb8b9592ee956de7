package httpapi

import (
	"encoding/json"
	"net/http"
	"os"
	"runtime"
)

// RegisterVars adds /debug/vars: the command line, the state of Go's memory, and
// what vars returns, as JSON. It is what package expvar serves, but of one member,
// where expvar has one set for the whole program.
func RegisterVars(mux *http.ServeMux, vars func() map[string]any) {
	mux.HandleFunc("/debug/vars", func(w http.ResponseWriter, r *http.Request) {
		if !getOnly(w, r) {
			return
		}
		all := vars()
		all["cmdline"] = os.Args
		var memory runtime.MemStats
		runtime.ReadMemStats(&memory)
		all["memstats"] = memory
		body, err := json.MarshalIndent(all, "", " ")
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.Write(body)
	})
}
