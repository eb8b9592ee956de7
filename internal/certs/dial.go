package certs

import (
	"context"
	"crypto/tls"
	"net"
	"time"
)

// handshakeTimeout bounds a handshake from the first byte to the last, on either side.
const handshakeTimeout = 10 * time.Second

// Handshake makes a connection to a server at host a secure one. When it fails the connection is closed.
func (s *Side) Handshake(ctx context.Context, c net.Conn, host string) (net.Conn, error) {
	config, err := s.Client(host)
	if err != nil {
		c.Close()
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	secure := tls.Client(c, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return secure, nil
}

// Dialer makes a function that connects securely out of one that connects; http.Transport takes both.
func (s *Side) Dialer(dial func(ctx context.Context, network, address string) (net.Conn, error)) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return s.Handshake(ctx, c, host)
	}
}
