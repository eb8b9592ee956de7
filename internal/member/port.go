package member

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"bowline/internal/certs"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// port is a listener, and how it is spoken to: with TLS, in plain text, or both, if
// URLs of both kinds lead to it.
type port struct {
	net.Listener
	url, address string
	tls, plain   bool
}

// openPorts binds the listeners of some URLs.
func openPorts(cfg *Config, urls []url.URL) (ports []*port, err error) {
	at := make(map[string]*port)
	for _, u := range urls {
		p := at[placeOf(u)]
		if p == nil {
			p = &port{url: u.String(), address: addressOf(u)}
			if p.Listener, err = listen(cfg, u); err != nil {
				return ports, err
			}
			at[placeOf(u)] = p
			ports = append(ports, p)
		}
		p.tls, p.plain = p.tls || isSecure(u), p.plain || !isSecure(u)
	}
	return ports, nil
}

// placeOf is the same for URLs that lead to one listener.
func placeOf(u url.URL) string {
	if isUnix(u) {
		return "unix:" + socketOf(u)
	}
	return u.Host
}

func isUnix(u url.URL) bool { return u.Scheme == "unix" || u.Scheme == "unixs" }

// socketOf is the file of a unix socket: host and path together.
func socketOf(u url.URL) string {
	if u.Host == "" {
		return u.Path
	}
	return filepath.Join(u.Host, u.Path)
}

func addressOf(u url.URL) string {
	if u.Host != "" {
		return u.Host
	}
	return u.Path
}

func listen(cfg *Config, u url.URL) (net.Listener, error) {
	if isUnix(u) {
		path := socketOf(u)
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		return net.Listen("unix", path)
	}
	c := net.ListenConfig{Control: socketOptions(cfg), KeepAlive: tcpKeepAlive}
	return c.Listen(context.Background(), "tcp", u.Host)
}

// What is logged of connections that are rejected; etcd's words.
const (
	clientRejected = "rejected connection on client endpoint"
	peerRejected   = "rejected connection on peer endpoint"
)

// What is spoken over connections with TLS.
const (
	alpnHTTP1 = "http/1.1"
	alpnHTTP2 = "h2"
)

// secure makes the handshakes of a port with TLS, of which so many may be under way.
// From now on it accepts connections.
func (p *port) secure(side *certs.Side, log *zap.Logger, rejected string, handshakes int, protocols ...string) {
	if p.tls {
		p.Listener = certs.Listen(p.Listener, certs.ListenerConfig{
			TLS: side.Server(protocols...), Plain: p.plain, Handshakes: handshakes, Rejected: rejected, Logger: log,
		})
	}
}

// tcpKeepAlive is how often an idle connection is probed.
const tcpKeepAlive = 30 * time.Second

// socketOptions sets SO_REUSEPORT and SO_REUSEADDR where asked.
func socketOptions(cfg *Config) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		set := func(fd uintptr, option int) {
			if err == nil {
				err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, option, 1)
			}
		}
		cerr := c.Control(func(fd uintptr) {
			if cfg.ReusePort {
				set(fd, unix.SO_REUSEPORT)
			}
			if cfg.ReuseAddress {
				set(fd, unix.SO_REUSEADDR)
			}
		})
		return errors.Join(cerr, err)
	}
}
