package ctlv2

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

func globalOptions() []option {
	return []option{
		opt("debug", flagOption, "", "show the requests as cURL commands"),
		opt("no-sync", flagOption, "", "do not ask for the members first"),
		opt("output,o", textOption, "simple", "simple, extended or json"),
		opt("discovery-srv,D", textOption, "", "domain whose SRV records name the endpoints"),
		opt("insecure-discovery", flagOption, "", "accept endpoints without TLS from SRV records"),
		opt("peers,C", textOption, "", "deprecated, use --endpoints"),
		opt("endpoint", textOption, "", "deprecated, use --endpoints"),
		opt("endpoints", textOption, "", "client URLs of members, with commas"),
		opt("cert-file", textOption, "", "certificate of this client"),
		opt("key-file", textOption, "", "key of this client"),
		opt("ca-file", textOption, "", "certificates that servers are judged by"),
		opt("username,u", textOption, "", "user[:password]"),
		opt("timeout", timeOption, "2s", "time for each request"),
		opt("total-timeout", timeOption, "5s", "time for the command"),
		opt("help,h", flagOption, "", "show help"),
		opt("version,v", flagOption, "", "show the version"),
	}
}

// session is one run of a command.
type session struct {
	ctx             context.Context
	env             *Env
	global, options values
	behind          []string // the arguments behind --
}

const defaultEndpoints = "http://127.0.0.1:2379,http://127.0.0.1:4001"

func (s *session) duration(name string, otherwise time.Duration) time.Duration {
	if s.global.has(name) {
		return s.global.duration(name)
	}
	return otherwise
}

// setting is a flag, or else its variable.
func (s *session) setting(flag, variable string) string {
	if s.global.has(flag) {
		return s.global.text(flag)
	}
	return s.env.getenv(variable)
}

// endpoints are the URLs that the command line, the environment or the DNS names.
func (s *session) endpoints() ([]string, error) {
	if domain := s.setting("discovery-srv", "ETCDCTL_DISCOVERY_SRV"); domain != "" {
		return s.discover(domain)
	}
	list := ""
	for _, from := range [][2]string{{"endpoints", "ETCDCTL_ENDPOINTS"}, {"endpoint", "ETCDCTL_ENDPOINT"}, {"peers", "ETCDCTL_PEERS"}} {
		if list = s.setting(from[0], from[1]); list != "" {
			break
		}
	}
	if list == "" {
		list = defaultEndpoints
	}
	var urls []string
	for text := range strings.SplitSeq(list, ",") {
		u, err := url.Parse(strings.TrimSpace(text))
		if err != nil {
			return nil, bare(err)
		}
		if u.Scheme == "" {
			if u, err = url.Parse("http://" + strings.TrimSpace(text)); err != nil {
				return nil, bare(err)
			}
		}
		urls = append(urls, strings.TrimSuffix(u.String(), "/"))
	}
	return urls, nil
}

func (s *session) discover(domain string) ([]string, error) {
	insecure := s.global.on("insecure-discovery") || s.env.getenv("ETCDCTL_INSECURE_DISCOVERY") != ""
	name := s.env.getenv("ETCDCTL_DISCOVERY_SRV_NAME")
	if name != "" {
		name = "-" + name
	}
	var urls []string
	var failed []string
	for _, x := range [][2]string{{"etcd-client-ssl", "https"}, {"etcd-client", "http"}} {
		service, scheme := x[0], x[1]
		_, records, err := net.DefaultResolver.LookupSRV(s.ctx, service+name, "tcp", domain)
		if err != nil {
			failed = append(failed, err.Error())
		}
		for _, r := range records {
			u := fmt.Sprintf("%s://%s", scheme, net.JoinHostPort(strings.TrimSuffix(r.Target, "."), fmt.Sprint(r.Port)))
			if scheme == "http" && !insecure {
				fmt.Fprintf(s.env.Err, "ignoring discovered insecure endpoint %q\n", u)
				continue
			}
			urls = append(urls, u)
		}
	}
	if len(urls) == 0 {
		if len(failed) == 2 {
			return nil, bare(fmt.Errorf("dns lookup errors: %s", strings.Join(failed, " and ")))
		}
		return nil, bare(fmt.Errorf("no endpoints in the DNS of %s", domain))
	}
	return urls, nil
}

// transport is HTTP with the certificates that were given.
func (s *session) transport() (*http.Transport, error) {
	timeout := s.duration("timeout", 2*time.Second)
	t := &http.Transport{
		DialContext:           (&net.Dialer{Timeout: timeout}).DialContext,
		ResponseHeaderTimeout: timeout, TLSHandshakeTimeout: timeout, TLSClientConfig: new(tls.Config),
	}
	if ca := s.setting("ca-file", "ETCDCTL_CA_FILE"); ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, bare(err)
		}
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, bareText(ca + " holds no certificate")
		}
	}
	cert, key := s.setting("cert-file", "ETCDCTL_CERT_FILE"), s.setting("key-file", "ETCDCTL_KEY_FILE")
	if cert != "" || key != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, bare(err)
		}
		t.TLSClientConfig.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

// dial makes a client, which has not asked anybody yet.
func (s *session) dial() (*client, error) {
	transport, err := s.transport()
	if err != nil {
		return nil, err
	}
	c := &client{session: s, http: transport}
	if c.urls, err = s.endpoints(); err != nil {
		return nil, err
	}
	if c.user = s.setting("username", "ETCDCTL_USERNAME"); c.user != "" {
		var given bool
		if c.user, c.password, given = strings.Cut(c.user, ":"); !given {
			if c.password, err = s.env.password("Password: "); err != nil {
				return nil, bare(err)
			}
		}
	}
	return c, nil
}

// connect is dial, after which the client knows the members, unless that is not wanted.
func (s *session) connect() (*client, error) {
	c, err := s.dial()
	if err != nil {
		return nil, err
	}
	if !s.global.on("no-sync") {
		if err := c.sync(); err != nil {
			return nil, err
		}
	}
	s.debugf("Cluster-Endpoints: %s", strings.Join(c.urls, ", "))
	return c, nil
}

func (s *session) debugf(format string, args ...any) {
	if s.global.on("debug") {
		fmt.Fprintf(s.env.Err, format+"\n", args...)
	}
}

// limited is the time that a command has.
func (s *session) limited() (context.Context, context.CancelFunc) {
	return context.WithTimeout(s.ctx, s.duration("total-timeout", 5*time.Second))
}
