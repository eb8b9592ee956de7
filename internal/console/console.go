package console

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"bowline/internal/recent"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
)

// Path is where the console is.
const Path = "/console/"

// apiPath is below which the page's questions are, and callPath below which API v3 is
// as JSON, whether or not it is served to others.
const (
	apiPath  = Path + "api/"
	callPath = apiPath + "v3/"
)

//go:embed assets
var assets embed.FS

// Config of a console.
type Config struct {
	// Conn is a connection to the member's own calls, and Calls the same as JSON, below
	// /v3/. A caller's name comes from its token alone.
	Conn  grpc.ClientConnInterface
	Calls http.Handler
	// Dial connects to a client URL of another member, with TLS if that has it.
	Dial func(ctx context.Context, to url.URL) (net.Conn, error)
	// MemberID is the member's own, and InTouch tells whether raft's messages reach
	// another.
	MemberID uint64
	InTouch  func(id uint64) bool
	// ClusterVersion is "" if it is not decided.
	ClusterVersion func() string
	Metrics        prometheus.Gatherer
	Recent         *recent.Requests
}

// Console serves the page and what it asks.
type Console struct {
	Config
	files map[string]*file
	slots chan struct{} // one for each of its own questions under way
	peers peers
	seen  seen
}

// file is one of the page's.
type file struct {
	kind, tag string
	text      []byte
}

// maxQuestions is how many of the console's own questions are answered at a time.
const maxQuestions = 32

// New returns a console; the caller must Close it.
func New(c Config) (*Console, error) {
	s := &Console{Config: c, files: make(map[string]*file), slots: make(chan struct{}, maxQuestions)}
	s.peers.conns = make(map[uint64]peer)
	kinds := map[string]string{
		".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
		".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
	}
	return s, fs.WalkDir(assets, "assets", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := assets.ReadFile(name)
		if err != nil {
			return err
		}
		kind := kinds[path.Ext(name)]
		if kind == "" {
			return fmt.Errorf("console: what kind of file is %s?", name)
		}
		sum := sha256.Sum256(text)
		s.files[strings.TrimPrefix(name, "assets/")] = &file{kind: kind, tag: `"` + hex.EncodeToString(sum[:8]) + `"`, text: text}
		return nil
	})
}

// Close ends the connections to other members.
func (c *Console) Close() { c.peers.close() }

// Register adds the console to mux.
func (c *Console) Register(mux *http.ServeMux) {
	mux.Handle(Path, protect(http.HandlerFunc(c.page)))
	api := http.NewServeMux()
	api.Handle(callPath, http.StripPrefix(strings.TrimSuffix(apiPath, "/"), c.Calls))
	for name, answer := range map[string]answerer{
		"overview": c.overview, "figures": c.figures, "tree": c.tree, "search": c.search, "history": c.history,
		"leases": c.leases, "load": c.load,
	} {
		api.Handle(apiPath+name, c.question(answer))
	}
	mux.Handle(apiPath, protect(fromThePage(api)))
}

// policy lets the page load what this server has, and nothing else: no script that is
// in the page itself, no other server, no frame around it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// protect says to browsers what may be done with an answer.
func protect(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range map[string]string{
			"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
			"Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			w.Header().Set(name, value)
		}
		h.ServeHTTP(w, r)
	})
}

// marker is a header that the page sends with every question. A form of another site
// cannot send it, and a script of one would have to ask first, which is refused:
// httpapi.Guard allows no such header.
const marker = "X-Bowline-Console"

// fromThePage refuses questions that another site's page has a browser ask.
func fromThePage(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		site := r.Header.Get("Sec-Fetch-Site")
		if r.Header.Get(marker) == "" || site != "" && site != "same-origin" && site != "none" {
			refuse(w, http.StatusForbidden, codePermissionDenied, "console: questions need the header "+marker+", and no other site's page may ask")
			return
		}
		h.ServeHTTP(w, r)
	})
}

// page serves a file of the page.
func (c *Console) page(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
		return
	}
	name := strings.TrimPrefix(r.URL.Path, Path)
	if name == "" {
		name = "index.html"
	}
	f := c.files[name]
	if f == nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", f.kind)
	w.Header().Set("ETag", f.tag)
	w.Header().Set("Cache-Control", "no-cache") // ask whether it has changed
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(f.text))
}
