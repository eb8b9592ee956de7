package member

import (
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"bowline/internal/certs"
	"bowline/internal/config"

	"go.uber.org/zap"
)

// sides are TLS towards clients and between members.
type sides struct {
	clients *certs.Side // nil if no client URL is secure
	peers   *certs.Side
}

// fixturesDirName is where in the data directory certificates are that a member makes.
const fixturesDirName = "fixtures"

// readCertificates reads the files that the settings name, before there is anything
// else that a wrong one could leave behind.
func (m *Member) readCertificates() (err error) {
	c := &m.cfg
	if !makes(c.PeerTLS) {
		if m.sides.peers, err = certs.New(c.peerTLS()); err != nil {
			return err
		}
	}
	if c.servesSecurely() && !makes(c.ClientTLS) {
		m.sides.clients, err = certs.New(c.clientTLS())
	}
	return err
}

// makeCertificates makes those certificates, in the data directory, that nobody
// brought, or takes those made before.
func (m *Member) makeCertificates() (err error) {
	c := &m.cfg
	own := func(s certs.Settings, name string, urls ...[]url.URL) (*certs.Side, error) {
		s.CertFile, s.KeyFile, err = certs.SelfSigned(filepath.Join(c.DataDir, fixturesDirName, name), hostsOf(urls...), c.TLS.SelfSignedYears, m.log)
		if err != nil {
			return nil, fmt.Errorf("self-signed certificate: %w", err)
		}
		s.SkipVerify = true
		return certs.New(s)
	}
	if makes(c.PeerTLS) {
		if m.sides.peers, err = own(c.peerTLS(), "peer", c.ListenPeerURLs); err != nil {
			return err
		}
	}
	if c.servesSecurely() && makes(c.ClientTLS) {
		m.sides.clients, err = own(c.clientTLS(), "client", c.ListenClientURLs, c.ListenHTTPURLs)
	}
	return err
}

// makes tells whether a side's certificate is made by the member.
func makes(c config.Certificates) bool { return c.Auto && c.CertFile == "" && c.KeyFile == "" }

func hostsOf(sets ...[]url.URL) []string {
	var hosts []string
	for _, u := range slices.Concat(sets...) {
		if !slices.Contains(hosts, u.Hostname()) {
			hosts = append(hosts, u.Hostname())
		}
	}
	return hosts
}

// isSecure tells whether TLS is spoken at a URL.
func isSecure(u url.URL) bool { return u.Scheme == "https" || u.Scheme == "unixs" }

// servesSecurely tells whether clients, or those who watch, come with TLS.
func (c *Config) servesSecurely() bool {
	return slices.ContainsFunc(slices.Concat(c.ListenClientURLs, c.ListenHTTPURLs, c.ListenMetricsURLs), isSecure)
}

func (c *Config) clientTLS() certs.Settings { return c.settingsOf(&c.ClientTLS) }

// peerTLS is TLS between members. Where DNS has named them and no authority is set,
// a certificate is for the domain and not for a host.
func (c *Config) peerTLS() certs.Settings {
	s := c.settingsOf(&c.PeerTLS)
	s.MatchAddress = !c.PeerTLS.SkipSANVerification
	secure := slices.ContainsFunc(c.AdvertisePeerURLs, func(u string) bool { return strings.HasPrefix(u, "https://") })
	if c.SRV != "" && secure && s.TrustedCAFile == "" {
		s.ServerName = c.SRV
	}
	return s
}

func (c *Config) settingsOf(from *config.Certificates) certs.Settings {
	return certs.Settings{
		CertFile: from.CertFile, KeyFile: from.KeyFile, ClientCertFile: from.ClientCertFile, ClientKeyFile: from.ClientKeyFile,
		ClientCertAuth: from.ClientCertAuth, TrustedCAFile: from.TrustedCAFile, CRLFile: from.CRLFile,
		AllowedCNs: from.AllowedCNs, AllowedHostnames: from.AllowedHostnames,
		CipherSuites: c.TLS.CipherSuites, MinVersion: c.TLS.MinVersion, MaxVersion: c.TLS.MaxVersion, Logger: c.Logger,
	}
}

// warnOfPlain tells that certificates do not count where there is no TLS.
func warnOfPlain(log *zap.Logger, kind string, urls []url.URL, c *config.Certificates) {
	scheme, flag := "http or unix", "--client-cert-auth"
	if kind == "peer" {
		scheme, flag = "HTTP", "--peer-client-cert-auth"
	}
	for i := range urls {
		if isSecure(urls[i]) {
			continue
		}
		at := zap.String(kind+"-url", urls[i].String())
		if c.CertFile != "" || c.KeyFile != "" || c.Auto {
			log.Warn("scheme is "+scheme+" while key and cert files are present; ignoring key and cert files", at)
		}
		if c.ClientCertAuth {
			log.Warn("scheme is "+scheme+" while "+flag+" is enabled; ignoring client cert auth for this URL", at)
		}
	}
}
