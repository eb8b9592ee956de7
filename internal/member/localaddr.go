package member

import (
	"context"
	"net"
	"net/netip"
	"net/url"

	"go.uber.org/zap"
)

// peerDial makes what connects with other members; from the address that this one
// advertises, if that is asked for and there are addresses.
func peerDial(cfg *Config, log *zap.Logger) func(ctx context.Context, network, address string) (net.Conn, error) {
	sockets := net.Dialer{Timeout: dialTimeout(cfg), KeepAlive: tcpKeepAlive}
	hosts := sockets
	if cfg.DialFromAdvertised {
		if addr := ownAddress(cfg.AdvertisePeerURLs, log); addr.IsValid() {
			hosts.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr, 0))
		}
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if network == "unix" {
			return sockets.DialContext(ctx, network, address)
		}
		return hosts.DialContext(ctx, network, address)
	}
}

// ownAddress is the first address of the peer URLs that others can see, not valid if
// there is none.
func ownAddress(urls []string, log *zap.Logger) netip.Addr {
	for _, text := range urls {
		u, err := url.Parse(text)
		if err != nil {
			continue
		}
		if addr, err := netip.ParseAddr(u.Hostname()); err == nil && !addr.IsLoopback() && !addr.IsUnspecified() {
			log.Info("setting member local address", zap.String("LocalAddr", addr.String()))
			return addr
		}
	}
	log.Warn("unable to set a member local address due to lack of suitable local addresses",
		zap.Strings("advertise-peer-urls", urls))
	return netip.Addr{}
}
