package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"go.uber.org/zap"
)

// Settings are the files and rules of one side: towards clients, or between members.
type Settings struct {
	// CertFile and KeyFile are shown by the server, and by the client where ClientCertFile and ClientKeyFile are not set.
	CertFile, KeyFile             string
	ClientCertFile, ClientKeyFile string
	// TrustedCAFile holds the authorities, and ClientCertAuth demands certificates of those who connect. Authorities, and
	// allowed names, do so too. Without authorities those of the system count.
	TrustedCAFile  string
	ClientCertAuth bool
	// CRLFile holds revoked certificates: one list in DER, or some in PEM.
	CRLFile string
	// AllowedCNs and AllowedHostnames are the names of which a certificate must have one; at most one of them is set.
	AllowedCNs, AllowedHostnames []string
	// MatchAddress compares the names in the certificate of who connects with the address it connects from.
	MatchAddress bool
	// SkipVerify does not verify servers: their certificates are their own.
	SkipVerify bool
	// ServerName is the name that servers must have instead of the host that was dialed.
	ServerName string

	CipherSuites           []uint16
	MinVersion, MaxVersion uint16

	// Resolver is what MatchAddress asks; nil means the system's.
	Resolver Resolver
	Logger   *zap.Logger
}

// Side is TLS by some Settings.
type Side struct {
	Settings
	server, client *watched[*tls.Certificate] // nil if there is none
	authorities    *watched[*x509.CertPool]   // nil for the system's
	revoked        *watched[revocations]      // nil if there are none
}

// New reads all files once: what is wrong with them now is an error.
func New(s Settings) (*Side, error) {
	if s.Logger == nil {
		s.Logger = zap.NewNop()
	}
	if s.MinVersion == 0 {
		s.MinVersion = tls.VersionTLS12
	}
	if s.Resolver == nil {
		s.Resolver = systemResolver()
	}
	side := &Side{Settings: s}
	var err error
	if side.server, err = watchPair(s.Logger, "KeyFile and CertFile", s.CertFile, s.KeyFile); err != nil {
		return nil, err
	}
	if side.client, err = watchPair(s.Logger, "ClientKeyFile and ClientCertFile", s.ClientCertFile, s.ClientKeyFile); err != nil {
		return nil, err
	}
	if side.client == nil {
		side.client = side.server
	}
	if s.TrustedCAFile != "" {
		side.authorities = &watched[*x509.CertPool]{paths: []string{s.TrustedCAFile}, parse: parseAuthorities, log: s.Logger, keep: true}
		if _, err := side.authorities.get(); err != nil {
			return nil, err
		}
	}
	if s.CRLFile != "" {
		side.revoked = &watched[revocations]{paths: []string{s.CRLFile}, parse: parseRevocations, log: s.Logger}
		if _, err := side.revoked.get(); err != nil {
			return nil, err
		}
	}
	return side, nil
}

func watchPair(log *zap.Logger, what, cert, key string) (*watched[*tls.Certificate], error) {
	switch {
	case cert == "" && key == "":
		return nil, nil
	case cert == "" || key == "":
		return nil, fmt.Errorf("%s must both be present[key: %v, cert: %v]", what, key, cert)
	}
	w := &watched[*tls.Certificate]{paths: []string{cert, key}, parse: parsePair, log: log, keep: true}
	_, err := w.get()
	return w, err
}

func parsePair(contents [][]byte) (*tls.Certificate, error) {
	pair, err := tls.X509KeyPair(contents[0], contents[1])
	return &pair, err
}

func parseAuthorities(contents [][]byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(contents[0]) {
		return nil, errors.New("no certificate of an authority is in the file")
	}
	return pool, nil
}

// Serves tells whether there is a certificate for a server.
func (s *Side) Serves() bool { return s.server != nil }

// DemandsCertificates tells whether those who connect must show certificates.
func (s *Side) DemandsCertificates() bool {
	return s.ClientCertAuth || s.TrustedCAFile != "" || len(s.AllowedCNs) > 0 || len(s.AllowedHostnames) > 0
}

// common is what servers and clients have in common. Sessions are not resumed: what was verified when one began need
// not be true any more.
func (s *Side) common() *tls.Config {
	return &tls.Config{
		MinVersion: s.MinVersion, MaxVersion: s.MaxVersion, CipherSuites: s.CipherSuites,
		SessionTicketsDisabled: true,
	}
}

// Server is the configuration of a server that speaks these protocols, best first.
func (s *Side) Server(protocols ...string) *tls.Config {
	base := s.common()
	base.NextProtos = protocols
	config := base.Clone()
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) { return s.configFor(base, hello) }
	return config
}

// configFor is a server's configuration for one handshake.
func (s *Side) configFor(base *tls.Config, hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if s.server == nil {
		return nil, errors.New("there is no certificate to serve TLS with")
	}
	pair, err := s.server.get()
	if err != nil {
		return nil, err
	}
	config := base.Clone()
	config.Certificates = []tls.Certificate{*pair}
	if !s.DemandsCertificates() {
		return config, nil
	}
	config.ClientAuth = tls.RequireAndVerifyClientCert
	if s.authorities != nil {
		if config.ClientCAs, err = s.authorities.get(); err != nil {
			return nil, err
		}
	}
	ctx, from := hello.Context(), hello.Conn.RemoteAddr()
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if err := s.judge(state); err != nil {
			return err
		}
		if s.MatchAddress {
			return matchAddress(ctx, s.Resolver, state.PeerCertificates[0], from)
		}
		return nil
	}
	return config, nil
}

// Client is the configuration for one handshake with a server at host.
func (s *Side) Client(host string) (*tls.Config, error) {
	config := s.common()
	config.ServerName, config.InsecureSkipVerify = host, s.SkipVerify
	if s.ServerName != "" {
		config.ServerName = s.ServerName
	}
	if s.authorities != nil {
		pool, err := s.authorities.get()
		if err != nil {
			return nil, err
		}
		config.RootCAs = pool
	}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if s.client == nil {
			return new(tls.Certificate), nil
		}
		return s.client.get()
	}
	config.VerifyConnection = s.judge
	return config, nil
}

// judge applies the rules beyond a valid signature to whoever is at the other end.
func (s *Side) judge(state tls.ConnectionState) error {
	if err := s.checkNames(state); err != nil {
		return err
	}
	if s.revoked == nil {
		return nil
	}
	revoked, err := s.revoked.get()
	if err != nil {
		return err
	}
	return revoked.check(state)
}

// errNames is what etcd says, too.
var errNames = errors.New("client certificate authentication failed")

func (s *Side) checkNames(state tls.ConnectionState) error {
	if len(s.AllowedCNs) == 0 && len(s.AllowedHostnames) == 0 {
		return nil
	}
	for _, chain := range state.VerifiedChains {
		if slices.Contains(s.AllowedCNs, chain[0].Subject.CommonName) ||
			slices.ContainsFunc(s.AllowedHostnames, func(host string) bool { return chain[0].VerifyHostname(host) == nil }) {
			return nil
		}
	}
	return errNames
}
