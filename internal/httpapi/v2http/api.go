package v2http

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"bowline/internal/auth"
	"bowline/internal/cluster"
	"bowline/internal/v2"
	"bowline/internal/wire"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
)

// Member is what API v2 asks of the member.
type Member interface {
	// Tree is the tree as it is here, and Current waits until it has all that was agreed
	// on before the call.
	Tree() *v2.Store
	Current(ctx context.Context) error
	// Change has a request agreed on and applied; a refusal is a *v2.Error.
	Change(ctx context.Context, req wire.V2Request) (*v2.Event, error)

	Members() *cluster.View
	MemberAdd(ctx context.Context, peerURLs []string) (*pb.Member, error)
	MemberRemove(ctx context.Context, id uint64) error
	MemberUpdate(ctx context.Context, id uint64, peerURLs []string) error

	// Progress is raft's: the commit index and the term.
	Progress() (commit, term uint64)
	Standing() Standing
	// SetLogLevel changes what is logged; false if there is no such level.
	SetLogLevel(level string) bool
}

// Config of an API.
type Config struct {
	Member              Member
	MemberID, ClusterID uint64
	// CertificateNames has a caller without credentials be who his certificate names.
	CertificateNames bool
	// BcryptCost is the cost of hashing passwords; 0 is bcrypt's default.
	BcryptCost int
	// Stopping is closed when watches must end.
	Stopping <-chan struct{}
	Logger   *zap.Logger
}

// API is the handlers of API v2.
type API struct {
	Config
	cluster   []string // the value of a header, shared by all answers
	passwords *auth.Passwords
	bounds    bounds
	buffers   buffers
}

// New returns the handlers.
func New(c Config) *API {
	return &API{Config: c, cluster: []string{strconv.FormatUint(c.ClusterID, 16)}, passwords: auth.NewPasswords(c.BcryptCost), bounds: newBounds()}
}

// route is who answers on a path, and to which methods; "" is all.
type route struct {
	methods string
	serve   func(*API, http.ResponseWriter, *http.Request)
}

// routed finds who answers on a clean path.
func routed(path string) (route, bool) {
	const keys, members, item = "HEAD,GET,PUT,POST,DELETE", "GET,POST,DELETE,PUT", "GET,PUT,DELETE"
	switch path {
	case "/v2/keys":
		return route{keys, (*API).keys}, true
	case "/v2/members":
		return route{members, (*API).members}, true
	case "/v2/machines":
		return route{"GET,HEAD", (*API).machines}, true
	case "/v2/stats/self":
		return route{"GET", (*API).statsSelf}, true
	case "/v2/stats/leader":
		return route{"GET", (*API).statsLeader}, true
	case "/v2/stats/store":
		return route{"GET", (*API).statsStore}, true
	case "/v2/auth/enable":
		return route{item, (*API).authEnable}, true
	case "/v2/auth/users", "/v2/auth/users/":
		return route{"GET", (*API).usersList}, true
	case "/v2/auth/roles", "/v2/auth/roles/":
		return route{"GET", (*API).rolesList}, true
	case "/config/local/log":
		return route{"PUT", (*API).logLevel}, true
	}
	switch {
	case strings.HasPrefix(path, "/v2/keys/"):
		return route{keys, (*API).keys}, true
	case strings.HasPrefix(path, "/v2/members/"):
		return route{members, (*API).members}, true
	}
	for _, kind := range []struct {
		prefix string
		serve  func(*API, http.ResponseWriter, *http.Request)
	}{{"/v2/auth/users/", (*API).user}, {"/v2/auth/roles/", (*API).role}} {
		name, found := strings.CutPrefix(path, kind.prefix)
		if found && strings.Contains(strings.TrimSuffix(name, "/"), "/") {
			return route{"", (*API).invalidPath}, true
		}
		if found {
			return route{item, kind.serve}, true
		}
	}
	return route{}, false
}

// Wrap has API v2 answered before everything else.
func (a *API) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cleaned := cleanPath(r.URL.Path)
		found, ours := routed(cleaned)
		switch {
		case !ours && !strings.HasPrefix(cleaned, "/v2/") && !strings.HasPrefix(r.URL.Path, "/v2/"):
			next.ServeHTTP(w, r)
		case cleaned != r.URL.Path:
			to := url.URL{Path: cleaned, RawQuery: r.URL.RawQuery}
			http.Redirect(w, r, to.String(), http.StatusMovedPermanently)
		case !ours:
			http.NotFound(w, r)
		case allowed(w, r, found.methods):
			found.serve(a, w, r)
		}
	})
}

// cleanPath is path without what leads nowhere; a slash at its end stays.
func cleanPath(p string) string {
	if p == "" {
		return "/"
	}
	if p[0] != '/' {
		p = "/" + p
	}
	cleaned := path.Clean(p)
	if p[len(p)-1] == '/' && cleaned != "/" {
		cleaned += "/"
	}
	return cleaned
}

func allowed(w http.ResponseWriter, r *http.Request, methods string) bool {
	if methods == "" {
		return true
	}
	for m := range strings.SplitSeq(methods, ",") {
		if r.Method == m {
			return true
		}
	}
	w.Header().Set("Allow", methods)
	http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
	return false
}

const (
	headerCluster   = "X-Etcd-Cluster-Id"
	headerIndex     = "X-Etcd-Index"
	headerRaftIndex = "X-Raft-Index"
	headerRaftTerm  = "X-Raft-Term"

	contentJSON = "application/json"
)

// maxBody bounds what is read of a request that is not a form.
const maxBody = 1 << 20

// refusal is an error of everything but keys.
type refusal struct {
	status  int
	Message string `json:"message"`
}

func (e *refusal) Error() string { return e.Message }

func refuse(status int, message string) *refusal { return &refusal{status, message} }

// refuse sends the error as JSON, without a newline.
func (a *API) refuse(w http.ResponseWriter, err error) {
	var r *refusal
	if !errors.As(err, &r) {
		a.Logger.Error("a request of API v2 failed", zap.Error(err))
		r = refuse(http.StatusInternalServerError, "Internal Server Error")
	}
	body, err := json.Marshal(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentJSON)
	w.WriteHeader(r.status)
	_, _ = w.Write(body) // the connection is gone: nobody is left to tell
}

// answer sends JSON with a newline.
func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", contentJSON)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the connection is gone: nobody is left to tell
}

// figures sends JSON without one.
func figures(w http.ResponseWriter, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentJSON)
	_, _ = w.Write(body) // the connection is gone: nobody is left to tell
}

// identify adds the cluster's ID to an answer.
func (a *API) identify(w http.ResponseWriter) { w.Header()[headerCluster] = a.cluster }

func now() int64 { return time.Now().UnixNano() }

func (a *API) logLevel(w http.ResponseWriter, r *http.Request) {
	var level struct{ Level string }
	if json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&level) != nil {
		a.refuse(w, refuse(http.StatusBadRequest, "Invalid json body"))
		return
	}
	if !a.Member.SetLogLevel(level.Level) {
		a.refuse(w, refuse(http.StatusBadRequest, "Invalid log level "+level.Level))
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
