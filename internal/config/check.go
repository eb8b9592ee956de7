package config

import (
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const (
	maxElectionTimeout      = 50 * time.Second
	recommendedRequestBytes = 10 << 20
	recommendedQuotaBytes   = 8 << 30
)

// check applies the rules that concern what is set together, in the order in which
// etcd does, so that of several faults the same one is named.
func (p *parser) check() error {
	for _, rule := range []func() error{
		p.checkLog, p.checkURLs, p.checkBootstrap, p.checkRaft, p.checkAdvertised, p.deriveCompaction, p.checkTracing,
		p.checkLimits, p.checkGates, p.checkHashes, p.deriveTLS, p.checkCertificates, p.checkBackup,
	} {
		if err := rule(); err != nil {
			return err
		}
	}
	p.advise()
	return nil
}

func (p *parser) checkLog() error {
	d := &p.draft
	switch d.logger {
	case "zap":
	case "capnslog":
		return errors.New("--logger=capnslog is removed in v3.5")
	default:
		return fmt.Errorf("unknown logger option %q", d.logger)
	}
	if _, err := zapcore.ParseLevel(d.Log.Level); err != nil {
		return &Exit{Code: exitUsage, Stderr: err.Error() + "\n", err: err}
	}
	if len(d.Log.Outputs) == 0 {
		d.Log.Outputs = []string{"default"}
	}
	for _, alone := range []string{"default", "systemd/journal"} {
		if len(d.Log.Outputs) > 1 && slices.Contains(d.Log.Outputs, alone) {
			return fmt.Errorf("multi logoutput for %q is not supported yet", alone)
		}
	}
	if d.Log.Format != "json" && d.Log.Format != "console" {
		return fmt.Errorf("unknown log format: %s, supported values json, console", d.Log.Format)
	}
	return nil
}

func (p *parser) checkURLs() error {
	d := &p.draft
	for _, all := range [][]url.URL{d.Listen.Peer, d.Listen.Client, d.Listen.ClientHTTP, d.Listen.Metrics} {
		if err := checkBind(all); err != nil {
			return err
		}
	}
	for i := range d.Listen.ClientHTTP {
		u := &d.Listen.ClientHTTP[i]
		if slices.ContainsFunc(d.Listen.Client, func(c url.URL) bool { return c.Host == u.Host && c.Path == u.Path }) {
			return fmt.Errorf("cannot bind both --listen-client-urls and --listen-client-http-urls on the same url %s", u)
		}
	}
	if err := checkHost(d.Advertise.Peer); err != nil {
		return fmt.Errorf(`--initial-advertise-peer-urls %q must be "host:port" (%w)`, joinURLs(d.Advertise.Peer), err)
	}
	if err := checkHost(d.Advertise.Client); err != nil {
		return fmt.Errorf(`--advertise-client-urls %q must be in the format "host:port", "unix:/path/to/socket" or "unixs:/path/to/socket" (%w)`,
			joinURLs(d.Advertise.Client), err)
	}
	return nil
}

func (p *parser) checkBootstrap() error {
	d := &p.draft
	if d.discoveryFallback == "proxy" {
		return errors.New(`v2 proxy is deprecated, and --discovery-fallback can't be configured as "proxy"`)
	}
	ways := 0
	for _, used := range []bool{d.Bootstrap.Cluster != "", len(d.Discovery.Endpoints) > 0, d.Bootstrap.SRV != ""} {
		if used {
			ways++
		}
	}
	if d.clusterState != "new" && d.clusterState != "existing" {
		return fmt.Errorf("unexpected clusterState %q", d.clusterState)
	}
	if ways > 1 {
		return errors.New(`multiple discovery or bootstrap flags are set. Choose one of "initial-cluster", "discovery-endpoints" or "discovery-srv"`)
	}
	if (d.Discovery.Token != "") != (len(d.Discovery.Endpoints) > 0) {
		return errors.New("both --discovery-token and --discovery-endpoints must be set")
	}
	for _, e := range d.Discovery.Endpoints {
		if strings.TrimSpace(e) == "" {
			return errors.New("--discovery-endpoints must not contain empty endpoints")
		}
	}
	return nil
}

func (p *parser) checkRaft() error {
	beat, election := p.draft.Raft.Heartbeat.Milliseconds(), p.draft.Raft.ElectionTimeout.Milliseconds()
	switch {
	case beat <= 0:
		return fmt.Errorf("--heartbeat-interval must be >0 (set to %dms)", beat)
	case election <= 0:
		return fmt.Errorf("--election-timeout must be >0 (set to %dms)", election)
	case 5*beat > election:
		return fmt.Errorf("--election-timeout[%dms] should be at least as 5 times as --heartbeat-interval[%dms]", election, beat)
	case election > maxElectionTimeout.Milliseconds():
		return fmt.Errorf("--election-timeout[%dms] is too long, and should be set less than %dms", election, maxElectionTimeout.Milliseconds())
	}
	return nil
}

func (p *parser) checkAdvertised() error {
	if len(p.draft.Listen.Client) > 0 && len(p.draft.Advertise.Client) == 0 {
		return errors.New("--advertise-client-urls is required when --listen-client-urls is set explicitly")
	}
	return nil
}

func (p *parser) checkTracing() error {
	t := p.draft.Tracing
	if !t.Enabled {
		return nil
	}
	var err error
	switch {
	case t.PerMillion < 0:
		err = errors.New("tracing sampling rate must be positive")
	case t.PerMillion > 1_000_000:
		err = errors.New("tracing sampling rate must be less than 1000000")
	default:
		return nil
	}
	return fmt.Errorf("distributed tracing configurition is not valid: (%w)", err)
}

func (p *parser) checkLimits() error {
	d := &p.draft
	if d.Audit.Path != "" && d.Audit.MaxSizeMB == 0 {
		return errors.New("--audit-log-max-size must be >0 (set to 0)")
	}
	for name, n := range map[string]uint{"audit-log-max-size": d.Audit.MaxSizeMB, "audit-log-max-files": d.Audit.MaxFiles} {
		if n > math.MaxInt32 {
			return fmt.Errorf("--%s must be at most %d (set to %d)", name, math.MaxInt32, n)
		}
	}
	return nil
}

func (p *parser) checkGates() error {
	if f := p.draft.Features; f.LeaseCheckpointPersist && !f.LeaseCheckpoint {
		return errors.New("enabling feature gate LeaseCheckpointPersist requires enabling feature gate LeaseCheckpoint")
	}
	return nil
}

func (p *parser) checkHashes() error {
	if every := p.draft.Checks.CompactHash; every <= 0 {
		return fmt.Errorf("--compact-hash-check-time must be >0 (set to %v)", every)
	}
	return nil
}

func (p *parser) checkCertificates() error {
	d := &p.draft
	for i := range d.Listen.Client {
		if u := &d.Listen.Client[i]; isSecure(u) && d.ClientTLS.empty() {
			return fmt.Errorf("TLS key/cert (--cert-file, --key-file) must be provided for client url %s with HTTPS scheme", u)
		}
	}
	for i := range d.Listen.ClientHTTP {
		if u := &d.Listen.ClientHTTP[i]; isSecure(u) && d.ClientTLS.empty() {
			return fmt.Errorf("TLS key/cert (--cert-file, --key-file) must be provided for client url %s with HTTPS scheme", u)
		}
	}
	for i := range d.Listen.Peer {
		if u := &d.Listen.Peer[i]; isSecure(u) && d.PeerTLS.empty() {
			return fmt.Errorf("TLS key/cert (--peer-cert-file, --peer-key-file) must be provided for peer url %s with HTTPS scheme", u)
		}
	}
	if d.ClientTLS.empty() && slices.ContainsFunc(d.Listen.Metrics, func(u url.URL) bool { return isSecure(&u) }) {
		return errors.New("client TLS key/cert (--cert-file, --key-file) must be provided for metrics secure url")
	}
	secure := func(lists ...[]url.URL) bool {
		return slices.ContainsFunc(slices.Concat(lists...), func(u url.URL) bool { return isSecure(&u) })
	}
	inUse := map[*Certificates]bool{
		&d.ClientTLS: secure(d.Listen.Client, d.Listen.ClientHTTP, d.Listen.Metrics),
		&d.PeerTLS:   secure(d.Listen.Peer, d.Advertise.Peer),
	}
	for _, c := range []*Certificates{&d.ClientTLS, &d.PeerTLS} {
		if !inUse[c] {
			continue // there is a warning of certificates that do not count
		}
		for _, pair := range [][2]string{{c.KeyFile, c.CertFile}, {c.ClientKeyFile, c.ClientCertFile}} {
			if (pair[0] == "") != (pair[1] == "") {
				return fmt.Errorf("KeyFile and CertFile must both be present[key: %v, cert: %v]", pair[0], pair[1])
			}
		}
		if len(c.AllowedCNs) > 0 && len(c.AllowedHostnames) > 0 {
			return fmt.Errorf("AllowedCNs and AllowedHostnames are mutually exclusive (cns=%v, hostnames=%v)", c.AllowedCNs, c.AllowedHostnames)
		}
	}
	if d.TLS.SelfSignedYears == 0 && (d.ClientTLS.Auto || d.PeerTLS.Auto) {
		return errors.New("selfSignedCertValidity is invalid,it should be greater than 0")
	}
	return nil
}

// advise adds lines about what is allowed and not recommended.
func (p *parser) advise() {
	d := &p.draft
	if len(d.Listen.ClientHTTP) == 0 {
		p.warn("Running http and grpc server on single port. This is not recommended for production.")
	}
	if d.Member.Name == defaultName {
		p.warn("it isn't recommended to use default name, please set a value for --name. "+
			"Note that etcd might run into issue when multiple members have the same default name", zap.String("name", d.Member.Name))
	}
	if p.made["max-snapshots"] {
		p.warn("--max-snapshots is deprecated in 3.6 and will be decommissioned in 3.8.")
	}
	if p.made["v2-deprecation"] {
		p.warn("--v2-deprecation is deprecated and scheduled for removal in v3.8. The default value is enforced, ignoring user input.")
	}
	if d.Limits.MaxRequestBytes > recommendedRequestBytes {
		p.warn("exceeded recommended request limit", zap.Uint("max-request-bytes", d.Limits.MaxRequestBytes),
			zap.String("max-request-size", humanize.Bytes(uint64(d.Limits.MaxRequestBytes))),
			zap.Int("recommended-request-bytes", recommendedRequestBytes), zap.String("recommended-request-size", humanize.Bytes(recommendedRequestBytes)))
	}
	if d.Storage.QuotaBytes > recommendedQuotaBytes {
		p.info("quota is larger than etcd recommends; here the disk is the limit", zap.Int64("quota-size-bytes", d.Storage.QuotaBytes),
			zap.Int64("recommended-quota-size-bytes", recommendedQuotaBytes))
	}
	if d.ClientTLS.Auto && d.ClientTLS.CertFile != "" {
		p.warn("ignoring client auto TLS since certs given")
	}
	if d.PeerTLS.Auto && d.PeerTLS.CertFile != "" {
		p.warn("ignoring peer auto TLS since certs given")
	}
}

func (p *parser) checkBackup() error {
	b := &p.draft.Backup
	if b.Interval < 0 || b.CheckpointEvery < 0 || b.Retention < 0 || b.BytesPerSecond < 0 {
		return errors.New("--backup-interval, --backup-checkpoint-interval, --backup-retention and --backup-bandwidth must not be negative")
	}
	return nil
}
