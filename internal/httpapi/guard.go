package httpapi

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"

	"go.uber.org/zap"
)

// everything in a list of origins or hosts stands for all of them, and so does an
// empty list.
const everything = "*"

// Guard decides which web pages may use the HTTP API, and under which names.
type Guard struct {
	// Origins are the pages' origins, Hosts the names that requests in plain text may
	// be for: another name is how a page in a browser reaches a server that it should
	// not (DNS rebinding).
	Origins, Hosts []string
	Logger         *zap.Logger
}

func allows(list []string, s string) bool {
	return len(list) == 0 || slices.Contains(list, everything) || slices.Contains(list, s)
}

// Wrap puts the guard before h.
func (g Guard) Wrap(h http.Handler) http.Handler {
	methods, headers := []string{"POST, GET, OPTIONS, PUT, DELETE"}, []string{"accept, content-type, authorization"}
	anyOrigin, toAll := []string{everything}, allows(g.Origins, everything)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil && !allows(g.Hosts, everything) && !allows(g.Hosts, hostOf(r)) {
			host := hostOf(r)
			g.Logger.Warn("rejecting HTTP request to prevent DNS rebinding attacks", zap.String("host", host))
			http.Error(w, fmt.Sprintf(strangeHost, host, host), http.StatusMisdirectedRequest)
			return
		}
		origin := anyOrigin
		if !toAll {
			origin = []string{r.Header.Get("Origin")}
		}
		if toAll || slices.Contains(g.Origins, origin[0]) {
			// The names are in their canonical form. The values are shared by all answers: to add to
			// one, as to any that is full, copies it.
			h := w.Header()
			h["Access-Control-Allow-Origin"] = origin
			h["Access-Control-Allow-Methods"] = methods
			h["Access-Control-Allow-Headers"] = headers
		}
		if isUpgrade(r) && !g.mayConnect(r) {
			http.Error(w, "the page's origin is not among those of --cors", http.StatusForbidden)
			return
		}
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusOK)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// mayConnect tells whether a WebSocket may be opened: no browser asks beforehand.
func (g Guard) mayConnect(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || allows(g.Origins, origin) || allows(g.Origins, everything) {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host == r.Host // a page of this server's own
}

const strangeHost = `This server does not answer requests for the host %q, because a web page could use
that name to reach it (DNS rebinding, CVE-2018-5702). If it is one of the server's names,
allow it: etcd --host-whitelist "%s"`

func hostOf(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.Host); err == nil {
		return host
	}
	return r.Host
}
