package member

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"

	"bowline/internal/console"
	"bowline/internal/httpapi"
	"bowline/internal/recent"
)

// openRecent lets the calls be remembered that the console shows.
func (m *Member) openRecent() {
	if m.cfg.Console {
		m.recent = recent.New()
		m.calls.Remember(m.recent, min(m.cfg.SlowApply, m.cfg.SlowRequest))
	}
}

// openConsole adds the console. It has the calls as JSON from a gateway of its own, so
// that it does not depend on whether others are served one; names in certificates
// count there as little as at the gateway, but who has one may log in.
func (m *Member) openConsole(mux *http.ServeMux) error {
	calls, err := httpapi.NewGateway(context.Background(), m.gateway)
	if err != nil {
		return err
	}
	m.console, err = console.New(console.Config{
		Conn: m.gateway, Calls: calls, Dial: m.dialClientURL, MemberID: m.id.memberID,
		InTouch:        func(id uint64) bool { return !m.activeSince(id).IsZero() },
		ClusterVersion: m.fsm.ClusterVersion, Metrics: m.registry, Recent: m.recent,
	})
	if err == nil {
		m.console.Register(mux)
	}
	return err
}

// dialClientURL connects to where another member serves clients, as a client would that
// has the certificates of this member's side towards clients.
func (m *Member) dialClientURL(ctx context.Context, to url.URL) (net.Conn, error) {
	network, address := "tcp", to.Host
	if to.Scheme == "unix" || to.Scheme == "unixs" {
		network, address = "unix", to.Host+to.Path
	}
	c, err := (&net.Dialer{Timeout: dialTimeout(&m.cfg)}).DialContext(ctx, network, address)
	if err != nil || !isSecure(to) {
		return c, err
	}
	if m.sides.clients == nil {
		c.Close()
		return nil, errors.New("it is served with TLS, and this member has no certificates for clients")
	}
	config, err := m.sides.clients.Client(to.Hostname())
	if err != nil {
		c.Close()
		return nil, err
	}
	config.NextProtos = []string{alpnHTTP2}
	secure := tls.Client(c, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return secure, nil
}
