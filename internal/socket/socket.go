// Package socket lets an HTTP client follow URLs that name unix sockets, as members of
// etcd do with each other's: unix://name:port is plain HTTP over the socket whose file
// is called name:port, in the directory that the process works in, and unixs://name:port
// is HTTPS. It owns nothing but the connections that are kept, starts no goroutines of
// its own, and does not know what is asked.
package socket

import (
	"context"
	"net"
	"net/http"
)

// over is what is spoken at URLs of sockets.
var over = map[string]string{"unix": "http", "unixs": "https"}

// Is tells whether a URL of that scheme names a socket.
func Is(scheme string) bool { return over[scheme] != "" }

// Client is an http.Transport, and a second one for the URLs of sockets.
type Client struct{ hosts, sockets *http.Transport }

// Follow makes t, which must have a DialContext and is not used by the caller any more,
// follow URLs of sockets too. Its functions that dial are called with the network
// "unix" and the name of the file for them.
func Follow(t *http.Transport) *Client {
	c := &Client{hosts: t, sockets: t.Clone()}
	c.sockets.DialContext = dialUnix(t.DialContext)
	if t.DialTLSContext != nil {
		c.sockets.DialTLSContext = dialUnix(t.DialTLSContext)
	}
	return c
}

type dial = func(ctx context.Context, network, address string) (net.Conn, error)

func dialUnix(d dial) dial {
	return func(ctx context.Context, _, address string) (net.Conn, error) { return d(ctx, "unix", address) }
}

// RoundTrip implements http.RoundTripper.
func (c *Client) RoundTrip(r *http.Request) (*http.Response, error) {
	spoken := over[r.URL.Scheme]
	if spoken == "" {
		return c.hosts.RoundTrip(r)
	}
	at := *r.URL
	at.Scheme = spoken
	r = r.WithContext(r.Context()) // a copy: who asks keeps its own as it is
	r.URL = &at
	return c.sockets.RoundTrip(r)
}

// CloseIdleConnections closes the connections that are not in use.
func (c *Client) CloseIdleConnections() {
	c.hosts.CloseIdleConnections()
	c.sockets.CloseIdleConnections()
}
