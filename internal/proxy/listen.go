package proxy

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"

	"bowline/internal/certs"

	"go.etcd.io/etcd/client/pkg/v3/tlsutil"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.uber.org/zap"
)

// selfMade tells whether the proxy makes its own certificate.
func (o *options) selfMade() bool {
	return o.autoTLS && o.trustedCA == "" && o.certFile == "" && o.keyFile == ""
}

// serving is TLS towards clients: what it is called, and what does it; nil if there is none.
func (o *options) serving(log *zap.Logger) (*transport.TLSInfo, *certs.Side, error) {
	info := tlsInfo(o.trustedCA, o.certFile, o.keyFile, false)
	if o.selfMade() {
		host, _, err := net.SplitHostPort(o.listen)
		if err != nil {
			return nil, nil, err
		}
		dir := filepath.Join(o.dataDir, "fixtures", "proxy")
		cert, key, err := certs.SelfSigned(dir, []string{host}, o.selfSignedYears, log)
		if err != nil {
			return nil, nil, err
		}
		info = &transport.TLSInfo{CertFile: cert, KeyFile: key}
	}
	if info == nil {
		return nil, nil, nil
	}
	info.CRLFile = o.crl
	var err error
	if len(o.cipherSuites) > 0 {
		if info.CipherSuites, err = tlsutil.GetCipherSuites(o.cipherSuites); err != nil {
			return nil, nil, err
		}
	}
	least, errLeast := tlsutil.GetTLSVersion(o.tlsMin)
	most, errMost := tlsutil.GetTLSVersion(o.tlsMax)
	if err := errors.Join(errLeast, errMost); err != nil {
		return nil, nil, err
	}
	info.MinVersion, info.MaxVersion = least, most
	side, err := certs.New(certs.Settings{
		CertFile: info.CertFile, KeyFile: info.KeyFile, TrustedCAFile: info.TrustedCAFile, CRLFile: info.CRLFile,
		CipherSuites: info.CipherSuites, MinVersion: least, MaxVersion: most, Logger: log,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("failed to create TLS listener: %w", err)
	}
	if !side.Serves() {
		return nil, nil, fmt.Errorf("failed to create TLS listener: cannot listen on TLS for %s: KeyFile and CertFile are not presented", o.listen)
	}
	log.Info("gRPC proxy server TLS", zap.String("tls-info", fmt.Sprintf("%+v", info)))
	return info, side, nil
}

// secure makes the handshakes of a listener, if there is TLS.
func secure(l net.Listener, side *certs.Side, log *zap.Logger) net.Listener {
	if side == nil {
		return l
	}
	return certs.Listen(l, certs.ListenerConfig{TLS: side.Server("h2", "http/1.1"), Rejected: "rejected connection", Logger: log})
}

// listenMetrics is the port for metrics alone; nil if none was asked for.
func (o *options) listenMetrics(side *certs.Side, log *zap.Logger) (net.Listener, error) {
	if o.metrics == "" {
		return nil, nil
	}
	at, err := url.Parse(o.metrics)
	if err != nil {
		return nil, fmt.Errorf("cannot parse %q", o.metrics)
	}
	network, addr, withTLS := "tcp", at.Host, at.Scheme == "https" || at.Scheme == "unixs"
	if at.Scheme == "unix" || at.Scheme == "unixs" {
		network, addr = "unix", at.Host+at.Path
	}
	if withTLS && side == nil {
		return nil, fmt.Errorf("cannot listen on TLS for %s: KeyFile and CertFile are not presented", at.Scheme+"://"+at.Host)
	}
	l, err := net.Listen(network, addr)
	if err != nil {
		return nil, err
	}
	log.Info("gRPC proxy listening for metrics", zap.String("address", at.String()))
	if withTLS {
		l = secure(l, side, log)
	}
	return l, nil
}
