package config

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
)

// Limits that values are brought within.
const (
	minPeerTimeout      = 5 * time.Second
	minProgressInterval = 100 * time.Millisecond
	defaultProgress     = 10 * time.Minute
	defaultUnaryWarning = 300 * time.Millisecond
	minBcryptCost       = 4
	maxBcryptCost       = 31
	defaultBcryptCost   = 10
)

// derive fills in what follows from other settings, and brings values within their
// limits.
func (p *parser) derive() error {
	d := &p.draft
	if d.Member.DataDir == "" {
		d.Member.DataDir = d.Member.Name + ".etcd"
		p.warn("'data-dir' was empty; using default", zap.String("data-dir", d.Member.DataDir))
	}
	if !p.fromFile && p.made["listen-client-urls"] && !p.made["advertise-client-urls"] {
		d.Advertise.Client = nil // for check to find
	}
	d.Bootstrap.Existing = d.clusterState == "existing"
	d.V2.Said = p.made["enable-v2"]
	if !p.made["initial-cluster"] {
		name := d.Member.Name
		if name == "" {
			name = defaultName // which is then found not to be this member's
		}
		d.Bootstrap.Cluster = clusterOf(name, d.Advertise.Peer)
		if d.Bootstrap.SRV != "" || d.Discovery.Token != "" || len(d.Discovery.Endpoints) > 0 {
			d.Bootstrap.Cluster = ""
		}
	}
	p.deriveTimes()
	d.Auth.TokenTTL = time.Duration(d.tokenTTLSeconds) * time.Second
	d.Auth.BcryptCost = int(d.bcryptCost)
	if d.bcryptCost < minBcryptCost || d.bcryptCost > maxBcryptCost {
		d.Auth.BcryptCost = defaultBcryptCost
		p.warn("use default bcrypt cost instead of the invalid given cost", zap.Int("min-cost", minBcryptCost),
			zap.Int("max-cost", maxBcryptCost), zap.Int("default-cost", defaultBcryptCost), zap.Uint("given-cost", d.bcryptCost))
	}
	d.Metrics.Extensive = d.metricsLevel == "extensive"
	for _, words := range []*[]string{&d.HTTP.CORS, &d.HTTP.HostWhitelist} {
		if len(*words) == 0 || slices.Contains(*words, "*") {
			*words = []string{"*"}
		}
	}
	d.Features = d.gates.resolve()
	return p.deriveRotation()
}

func (p *parser) deriveTimes() {
	d := &p.draft
	p.raiseTimeout("raft-read-timeout", &d.Raft.ReadTimeout)
	p.raiseTimeout("raft-write-timeout", &d.Raft.WriteTimeout)
	if d.Raft.SnapshotCount == 0 {
		d.Raft.SnapshotCount = 10000
	}
	if d.Raft.CatchUpEntries == 0 {
		d.Raft.CatchUpEntries = 5000
	}
	switch interval := &d.Watch.ProgressInterval; {
	case *interval == 0:
		*interval = defaultProgress
	case *interval < minProgressInterval:
		p.warn("watch progress notify interval is too small; using the minimum",
			zap.Duration("given", *interval), zap.Duration("minimum", minProgressInterval))
		*interval = minProgressInterval
	}
	if d.Warn.Unary == 0 {
		d.Warn.Unary = defaultUnaryWarning
	}
}

func (p *parser) raiseTimeout(name string, timeout *time.Duration) {
	if *timeout < minPeerTimeout {
		*timeout = minPeerTimeout
		p.info(fmt.Sprintf("%s increased to minimum value: %v", name, minPeerTimeout))
	}
}

// clusterOf is the initial cluster of one member.
func clusterOf(name string, peers []url.URL) string {
	words := make([]string, len(peers))
	for i := range peers {
		words[i] = name + "=" + peers[i].String()
	}
	return strings.Join(words, ",")
}

// SetDefaultHost replaces localhost in advertised URLs that nobody has set, where
// this member listens on all addresses. host is the address of the machine's
// default route. It is to be called, if at all, before the Config is used.
func (c *Config) SetDefaultHost(host string) []Line {
	before := clusterOf(c.Member.Name, c.Advertise.Peer)
	peer := useHost(c.Listen.Peer, c.Advertise.Peer, defaultPeerURL, host)
	client := useHost(c.Listen.Client, c.Advertise.Client, defaultClientURL, host)
	if c.Bootstrap.Cluster == before {
		c.Bootstrap.Cluster = clusterOf(c.Member.Name, c.Advertise.Peer)
	}
	if !peer && !client {
		return nil
	}
	return []Line{{zap.InfoLevel, "detected default host for advertise", []zap.Field{zap.String("host", host)}}}
}

func useHost(listen, advertise []url.URL, def, host string) bool {
	if len(listen) == 0 || listen[0].Hostname() != "0.0.0.0" || len(advertise) != 1 || advertise[0].String() != def {
		return false
	}
	advertise[0].Host = net.JoinHostPort(host, listen[0].Port())
	return true
}

// deriveCompaction reads the retention: hours or a duration, or revisions.
func (p *parser) deriveCompaction() error {
	d := &p.draft
	switch d.compactionMode {
	case "periodic", "revision":
	case "":
		return errors.New("undefined auto-compaction-mode")
	default:
		return fmt.Errorf("unknown auto-compaction-mode %q", d.compactionMode)
	}
	inRevisions := d.compactionMode == "revision"
	n, err := strconv.Atoi(d.compactionRetained)
	switch {
	case err == nil && n >= 0 && inRevisions:
		d.Compaction.Revisions = int64(n)
	case err == nil && n >= 0:
		d.Compaction.Period = time.Duration(n) * time.Hour
	default:
		period, err := time.ParseDuration(d.compactionRetained)
		if err != nil {
			return fmt.Errorf("error parsing CompactionRetention: %w", err)
		}
		if inRevisions {
			d.Compaction.Revisions = int64(period) // etcd too takes the nanoseconds for revisions
		} else {
			d.Compaction.Period = period
		}
	}
	return nil
}

// deriveRotation reads how the log is rotated.
func (p *parser) deriveRotation() error {
	d := &p.draft
	if !d.rotate {
		return nil
	}
	files := 0
	for _, out := range d.Log.Outputs {
		switch out {
		case "default", "stdout", "stderr", "systemd/journal":
		default:
			files++
		}
	}
	if files != 1 {
		return errors.New("--log-outputs requires a single file path when --log-rotate-config-json is defined")
	}
	var r Rotation
	var syntax *json.SyntaxError
	switch err := json.Unmarshal([]byte(d.rotation), &r); {
	case errors.As(err, &syntax):
		return fmt.Errorf("improperly formatted log rotation config: %w", err)
	case err != nil:
		return fmt.Errorf("invalid log rotation config: %w", err)
	}
	d.Log.Rotation = &r
	return nil
}

// deriveTLS turns names of versions and cipher suites into numbers.
func (p *parser) deriveTLS() error {
	d := &p.draft
	var err error
	if d.TLS.MinVersion, err = tlsVersion(d.tlsMin); err != nil {
		return err
	}
	if d.TLS.MaxVersion, err = tlsVersion(d.tlsMax); err != nil {
		return err
	}
	if d.TLS.MaxVersion != 0 && d.TLS.MinVersion > d.TLS.MaxVersion {
		return fmt.Errorf("min version (%s) is greater than max version (%s)", d.tlsMin, d.tlsMax)
	}
	if d.TLS.MinVersion == tls.VersionTLS13 && len(d.cipherSuites) > 0 {
		return errors.New("cipher suites cannot be configured when only TLS1.3 is enabled")
	}
	d.TLS.CipherSuites = nil
	for _, name := range d.cipherSuites {
		id, ok := cipherSuite(name)
		if !ok {
			return fmt.Errorf("unexpected TLS cipher suite %q", name)
		}
		d.TLS.CipherSuites = append(d.TLS.CipherSuites, id)
	}
	return nil
}

func tlsVersion(name string) (uint16, error) {
	switch name {
	case "":
		return 0, nil // Go's choice
	case "TLS1.2":
		return tls.VersionTLS12, nil
	case "TLS1.3":
		return tls.VersionTLS13, nil
	}
	return 0, fmt.Errorf("unexpected TLS version %q (must be one of: TLS1.2, TLS1.3)", name)
}

func cipherSuite(name string) (uint16, bool) {
	// Go's former names of these two.
	switch name {
	case "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305":
		return tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, true
	case "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305":
		return tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, true
	}
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if s.Name == name {
			return s.ID, true
		}
	}
	return 0, false
}
