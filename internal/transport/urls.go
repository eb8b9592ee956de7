package transport

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"

	"bowline/internal/socket"
)

// urlPicker chooses among a peer's URLs: the same until it fails, then the next.
type urlPicker struct {
	mu     sync.Mutex // guards the fields below
	urls   []*url.URL
	picked int
}

func newURLPicker(urls []string) (*urlPicker, error) {
	if len(urls) == 0 {
		return nil, errors.New("transport: no peer URLs")
	}
	p := &urlPicker{}
	for _, s := range urls {
		u, err := url.Parse(strings.TrimSpace(s))
		switch {
		case err != nil:
			return nil, fmt.Errorf("transport: peer URL %q: %w", s, err)
		case socket.Is(u.Scheme) && (u.Port() == "" || u.Path != ""):
			return nil, fmt.Errorf("transport: peer URL %q is not %s://name:port, the name of a file", s, u.Scheme)
		case u.Scheme != "http" && u.Scheme != "https" && !socket.Is(u.Scheme) || u.Hostname() == "" || u.Path != "" && u.Path != "/":
			return nil, fmt.Errorf("transport: peer URL %q is not http://host:port or https://host:port", s)
		}
		u.Path = ""
		p.urls = append(p.urls, &url.URL{Scheme: u.Scheme, Host: u.Host})
	}
	return p, nil
}

// pick returns the URL to try, which must not be changed.
func (p *urlPicker) pick() *url.URL {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.urls[p.picked]
}

// failed moves on from a URL, unless somebody else has done so already.
func (p *urlPicker) failed(u *url.URL) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if u == p.urls[p.picked] {
		p.picked = (p.picked + 1) % len(p.urls)
	}
}

// replace takes over another picker's URLs.
func (p *urlPicker) replace(with *urlPicker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.urls, p.picked = with.urls, 0
}

// all returns the URLs as text, the picked one first.
func (p *urlPicker) all() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for i := range p.urls {
		out = append(out, p.urls[(p.picked+i)%len(p.urls)].String())
	}
	return out
}
