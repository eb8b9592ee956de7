package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"bowline/internal/socket"
)

// stallTimeout is how long a stream may be silent, and how long a piece of data may take to be written. It is etcd's; a
// stream's writer says something at least three times as often.
const (
	stallTimeout      = 5 * time.Second
	heartbeatInterval = stallTimeout / 3
)

// readBytes is how much is read from a connection at a time: what one write of the other side has brought, mostly.
const readBytes = 32 << 10

// Ways of the protocol.
const (
	pathMessages = "/raft"
	pathStreams  = "/raft/stream/"
	pathProbing  = "/raft/probing"
)

// Headers of the protocol.
const (
	headerFrom     = "X-Server-From"
	headerVersion  = "X-Server-Version"
	headerOldest   = "X-Min-Cluster-Version"
	headerCluster  = "X-Etcd-Cluster-ID"
	headerPeerURLs = "X-PeerURLs"
	headerTo       = "X-Raft-To"
)

// What a peer says when it will not work with this member.
const (
	sayVersion = "incompatible version"
	sayCluster = "cluster ID mismatch"
	sayRemoved = "removed member"
)

var (
	errVersion = errors.New(sayVersion)
	errCluster = errors.New(sayCluster)
)

// timedConn gives each read and each write its own time.
type timedConn struct {
	net.Conn
	read, write time.Duration // 0 is without a limit
}

func (c *timedConn) Read(b []byte) (int, error) {
	if c.read > 0 {
		if err := c.SetReadDeadline(time.Now().Add(c.read)); err != nil {
			return 0, err
		}
	}
	return c.Conn.Read(b)
}

func (c *timedConn) Write(b []byte) (int, error) {
	if c.write > 0 {
		if err := c.SetWriteDeadline(time.Now().Add(c.write)); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(b)
}

func newStreamClient(cfg *Config) *socket.Client { return newClient(cfg, cfg.ReadTimeout) }

// newPostClient does not limit reads: its idle connections are kept.
func newPostClient(cfg *Config) *socket.Client { return newClient(cfg, 0) }

func newClient(cfg *Config, readTimeout time.Duration) *socket.Client {
	http1 := new(http.Protocols)
	http1.SetHTTP1(true)
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, cfg.DialTimeout)
		defer cancel()
		c, err := cfg.Dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &timedConn{Conn: c, read: readTimeout, write: cfg.WriteTimeout}, nil
	}
	var dialTLS func(ctx context.Context, network, address string) (net.Conn, error)
	if cfg.Handshake != nil {
		dialTLS = func(ctx context.Context, network, address string) (net.Conn, error) {
			host, _, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			c, err := dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return cfg.Handshake(ctx, c, host)
		}
	}
	return socket.Follow(&http.Transport{
		DialContext:            dial,
		DialTLSContext:         dialTLS,
		TLSHandshakeTimeout:    10 * time.Second,
		Protocols:              http1,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    postSenders,
		ReadBufferSize:         readBytes,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	})
}

// stamp adds the headers by which a member makes itself known.
func (t *Transport) stamp(h http.Header) {
	h.Set(headerFrom, t.id)
	h.Set(headerVersion, t.cfg.Version)
	h.Set(headerOldest, t.cfg.MinClusterVersion)
	h.Set(headerCluster, t.cluster)
	if t.cfg.PeerURLs != nil {
		if urls := t.cfg.PeerURLs(); len(urls) > 0 {
			h.Set(headerPeerURLs, strings.Join(urls, ","))
		}
	}
}

// at is a request's URL: u's host with a path.
func at(u *url.URL, path string) string { return u.Scheme + "://" + u.Host + path }

// refusal reads what an answer other than the expected one means, and closes its body.
func refusal(resp *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10)) // what has come explains the status
	resp.Body.Close()
	text := strings.TrimSpace(string(body))
	switch {
	case resp.StatusCode == http.StatusGone:
		return ErrRemoved
	case resp.StatusCode == http.StatusPreconditionFailed && text == sayVersion:
		return errVersion
	case resp.StatusCode == http.StatusPreconditionFailed && text == sayCluster:
		return errCluster
	}
	return fmt.Errorf("answer %d: %.200q", resp.StatusCode, text)
}
