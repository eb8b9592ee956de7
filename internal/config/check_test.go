package config

import (
	"crypto/tls"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestRules breaks each rule; the messages are etcd's.
func TestRules(t *testing.T) {
	const client = "--advertise-client-urls=http://a:1"
	for _, c := range []struct {
		args    string
		message string
	}{
		{"--heartbeat-interval=0", "--heartbeat-interval must be >0 (set to 0ms)"},
		{"--election-timeout=0", "--election-timeout must be >0 (set to 0ms)"},
		{"--heartbeat-interval=300", "--election-timeout[1000ms] should be at least as 5 times as --heartbeat-interval[300ms]"},
		{"--election-timeout=60000", "--election-timeout[60000ms] is too long, and should be set less than 50000ms"},
		{"--listen-peer-urls=http://example.com:1", "expected IP in URL for binding (http://example.com:1)"},
		{"--listen-client-urls=http://:1 " + client, "expected IP in URL for binding (http://:1)"},
		{"--listen-client-http-urls=http://h:1", "expected IP in URL for binding (http://h:1)"},
		{"--listen-metrics-urls=http://h:1", "expected IP in URL for binding (http://h:1)"},
		{"--listen-client-urls=http://127.0.0.1:1", "--advertise-client-urls is required when --listen-client-urls is set explicitly"},
		{"--listen-client-http-urls=http://localhost:2379",
			"cannot bind both --listen-client-urls and --listen-client-http-urls on the same url http://localhost:2379"},
		{"--initial-advertise-peer-urls=http://:1",
			`--initial-advertise-peer-urls "http://:1" must be "host:port" (unexpected empty host (http://:1))`},
		{"--advertise-client-urls=http://:1", `--advertise-client-urls "http://:1" must be in the format "host:port", ` +
			`"unix:/path/to/socket" or "unixs:/path/to/socket" (unexpected empty host (http://:1))`},
		{"--discovery-token=x", "both --discovery-token and --discovery-endpoints must be set"},
		{"--discovery-endpoints=x", "both --discovery-token and --discovery-endpoints must be set"},
		{"--discovery-token=x --discovery-endpoints=a,,b", "--discovery-endpoints must not contain empty endpoints"},
		{"--discovery-fallback=proxy", `v2 proxy is deprecated, and --discovery-fallback can't be configured as "proxy"`},
		{"--discovery-srv=d --initial-cluster=a=http://a:1", `multiple discovery or bootstrap flags are set. ` +
			`Choose one of "initial-cluster", "discovery-endpoints" or "discovery-srv"`},
		{"--discovery-srv=d --discovery-token=x --discovery-endpoints=a", `multiple discovery or bootstrap flags are set. ` +
			`Choose one of "initial-cluster", "discovery-endpoints" or "discovery-srv"`},
		{"--auto-compaction-retention=x", `error parsing CompactionRetention: time: invalid duration "x"`},
		{"--auto-compaction-retention=-1", `error parsing CompactionRetention: time: missing unit in duration "-1"`},
		{"--auto-compaction-mode=", "undefined auto-compaction-mode"},
		{"--auto-compaction-mode=x", `unknown auto-compaction-mode "x"`},
		{"--listen-client-urls=https://127.0.0.1:1 " + client,
			"TLS key/cert (--cert-file, --key-file) must be provided for client url https://127.0.0.1:1 with HTTPS scheme"},
		{"--listen-client-urls=unixs:///tmp/s " + client,
			"TLS key/cert (--cert-file, --key-file) must be provided for client url unixs:///tmp/s with HTTPS scheme"},
		{"--listen-client-http-urls=https://127.0.0.1:1",
			"TLS key/cert (--cert-file, --key-file) must be provided for client url https://127.0.0.1:1 with HTTPS scheme"},
		{"--listen-peer-urls=https://127.0.0.1:1",
			"TLS key/cert (--peer-cert-file, --peer-key-file) must be provided for peer url https://127.0.0.1:1 with HTTPS scheme"},
		{"--cert-file=c --listen-client-http-urls=https://127.0.0.1:1", "KeyFile and CertFile must both be present[key: , cert: c]"},
		{"--peer-client-key-file=k --peer-auto-tls --initial-advertise-peer-urls=https://127.0.0.1:2380", "KeyFile and CertFile must both be present[key: k, cert: ]"},
		{"--peer-cert-allowed-cn=a,b --peer-cert-allowed-hostname=c --peer-auto-tls --listen-peer-urls=https://127.0.0.1:2380",
			"AllowedCNs and AllowedHostnames are mutually exclusive (cns=[a b], hostnames=[c])"},
		{"--self-signed-cert-validity=0 --auto-tls", "selfSignedCertValidity is invalid,it should be greater than 0"},
		{"--cipher-suites=TLS_RSA_WITH_AES_128_CBC_SHA,x", `unexpected TLS cipher suite "x"`},
		{"--cipher-suites=TLS_RSA_WITH_AES_128_CBC_SHA --tls-min-version=TLS1.3",
			"cipher suites cannot be configured when only TLS1.3 is enabled"},
		{"--tls-min-version=TLS1.1", `unexpected TLS version "TLS1.1" (must be one of: TLS1.2, TLS1.3)`},
		{"--tls-max-version=x", `unexpected TLS version "x" (must be one of: TLS1.2, TLS1.3)`},
		{"--tls-min-version=TLS1.3 --tls-max-version=TLS1.2", "min version (TLS1.3) is greater than max version (TLS1.2)"},
		{"--logger=x", `unknown logger option "x"`},
		{"--logger=capnslog", "--logger=capnslog is removed in v3.5"},
		{"--log-format=foo", "unknown log format: foo, supported values json, console"},
		{"--log-outputs=default,stdout", `multi logoutput for "default" is not supported yet`},
		{"--enable-log-rotation", "--log-outputs requires a single file path when --log-rotate-config-json is defined"},
		{"--enable-log-rotation --log-outputs=/a,/b", "--log-outputs requires a single file path when --log-rotate-config-json is defined"},
		{"--enable-log-rotation --log-outputs=/a --log-rotation-config-json={",
			"improperly formatted log rotation config: unexpected end of JSON input"},
		{`--enable-log-rotation --log-outputs=/a --log-rotation-config-json={"maxsize":"x"}`,
			"invalid log rotation config: json: cannot unmarshal string into Go struct field Rotation.maxsize of type int"},
		{"--enable-distributed-tracing --distributed-tracing-sampling-rate=-1",
			"distributed tracing configurition is not valid: (tracing sampling rate must be positive)"},
		{"--enable-distributed-tracing --distributed-tracing-sampling-rate=1000001",
			"distributed tracing configurition is not valid: (tracing sampling rate must be less than 1000000)"},
		{"--feature-gates=LeaseCheckpointPersist=true",
			"enabling feature gate LeaseCheckpointPersist requires enabling feature gate LeaseCheckpoint"},
		{"--compact-hash-check-time=0", "--compact-hash-check-time must be >0 (set to 0s)"},
	} {
		wantExit(t, 1, c.message, nil, strings.Fields(c.args)...)
	}
	// etcd panics here.
	wantExit(t, 2, `unrecognized level: "loud"`, nil, "--log-level=loud")
}

func TestWhatFollows(t *testing.T) {
	for _, c := range []struct {
		args string
		get  func(*Config) any
		want any
	}{
		{"--name=a", func(c *Config) any { return c.Bootstrap.Cluster }, "a=http://localhost:2380"},
		{"--name=a --initial-advertise-peer-urls=http://x:2,http://x:1", func(c *Config) any { return c.Bootstrap.Cluster },
			"a=http://x:1,a=http://x:2"},
		{"--name= --data-dir=d", func(c *Config) any { return c.Bootstrap.Cluster }, "default=http://localhost:2380"},
		{"--listen-peer-urls= --advertise-client-urls= --listen-client-urls=",
			func(c *Config) any {
				return joinURLs(slices.Concat(c.Listen.Peer, c.Advertise.Client, c.Listen.Client))
			},
			"http://localhost:2380,http://localhost:2379,http://localhost:2379"},
		{"--cert-file=c --peer-client-key-file=k --peer-cert-allowed-cn=a --peer-cert-allowed-hostname=b --self-signed-cert-validity=0",
			func(c *Config) any { return c.ClientTLS.CertFile }, "c"}, // nothing speaks TLS
		{"--initial-cluster=b=http://x:1", func(c *Config) any { return c.Bootstrap.Cluster }, "b=http://x:1"},
		{"--discovery-srv=d", func(c *Config) any { return c.Bootstrap.Cluster }, ""},
		{"--discovery-token=x --discovery-endpoints=b,a", func(c *Config) any { return c.Bootstrap.Cluster }, ""},
		{"--data-dir=/d --wal-dir=/w", func(c *Config) any { return c.Member }, Member{"default", "/d", "/w"}},
		{"--raft-read-timeout=6s --raft-write-timeout=1s", func(c *Config) any { return c.Raft.ReadTimeout + c.Raft.WriteTimeout }, 11 * time.Second},
		{"--snapshot-count=0 --snapshot-catchup-entries=0", func(c *Config) any { return c.Raft.SnapshotCount + c.Raft.CatchUpEntries }, uint64(15000)},
		{"--auto-compaction-retention=3", func(c *Config) any { return c.Compaction }, Compaction{Period: 3 * time.Hour}},
		{"--auto-compaction-retention=90m", func(c *Config) any { return c.Compaction }, Compaction{Period: 90 * time.Minute}},
		{"--auto-compaction-retention=3 --auto-compaction-mode=revision", func(c *Config) any { return c.Compaction }, Compaction{Revisions: 3}},
		{"--bcrypt-cost=3", func(c *Config) any { return c.Auth.BcryptCost }, 10},
		{"--bcrypt-cost=32", func(c *Config) any { return c.Auth.BcryptCost }, 10},
		{"--bcrypt-cost=31 --auth-token-ttl=7", func(c *Config) any { return c.Auth }, Auth{"simple", 7 * time.Second, 31, false}},
		{"--auth-token=", func(c *Config) any { return c.Auth.Token }, ""},
		{"--watch-progress-notify-interval=1ms", func(c *Config) any { return c.Watch.ProgressInterval }, 100 * time.Millisecond},
		{"--watch-progress-notify-interval=100ms", func(c *Config) any { return c.Watch.ProgressInterval }, 100 * time.Millisecond},
		{"--warning-unary-request-duration=0", func(c *Config) any { return c.Warn.Unary }, 300 * time.Millisecond},
		{"--host-whitelist=", func(c *Config) any { return c.HTTP.HostWhitelist }, []string{"*"}},
		{"--cors=", func(c *Config) any { return c.HTTP.CORS }, []string{"*"}},
		{"--cors=http://b:1,http://a:1,http://b:1", func(c *Config) any { return c.HTTP.CORS }, []string{"http://a:1", "http://b:1"}},
		{"--metrics=extensive --enable-pprof", func(c *Config) any { return c.Metrics }, Metrics{true, true}},
		{"--cipher-suites=TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305,TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305,TLS_RSA_WITH_RC4_128_SHA",
			func(c *Config) any { return c.TLS.CipherSuites },
			[]uint16{tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_RSA_WITH_RC4_128_SHA}},
		{"--tls-max-version=TLS1.3 --tls-min-version=", func(c *Config) any { return [2]uint16{c.TLS.MinVersion, c.TLS.MaxVersion} },
			[2]uint16{0, tls.VersionTLS13}},
		{`--enable-log-rotation --log-outputs=/a --log-rotation-config-json={"maxsize":1,"maxage":2,"maxbackups":3,"localtime":true,"compress":true}`,
			func(c *Config) any { return *c.Log.Rotation }, Rotation{1, 2, 3, true, true}},
		{"--log-outputs=", func(c *Config) any { return c.Log.Outputs }, []string{"default"}},
		{"--feature-gates=AllAlpha=true,PriorityRequest=false,AllBeta=false", func(c *Config) any { return c.Features }, Features{
			CompactHashCheck: true, InitialCorruptCheck: true, LeaseCheckpoint: true, LeaseCheckpointPersist: true,
			SetMemberLocalAddr: true, StopGRPCServiceOnDefrag: true, AllAlpha: true}},
		{"--experimental-enable-lease-checkpoint --experimental-enable-lease-checkpoint-persist=1",
			func(c *Config) any { return c.Features.LeaseCheckpoint && c.Features.LeaseCheckpointPersist }, true},
		{"--experimental-txn-mode-write-with-shared-buffer=false",
			func(c *Config) any { return c.Features.TxnModeWriteWithSharedBuffer }, false},
		{"--enable-v2", func(c *Config) any { return c.V2.Enabled }, true},
		{"--listen-peer-urls=http://[::1]:1,http://[fe80::1%25eth0]:1", func(c *Config) any { return len(c.Listen.Peer) }, 2},
		{"--auto-tls --listen-client-urls=https://127.0.0.1:1 --advertise-client-urls=https://127.0.0.1:1",
			func(c *Config) any { return c.ClientTLS.Auto }, true},
	} {
		got, _ := parse(t, strings.Fields(c.args)...)
		if v := c.get(got); !reflect.DeepEqual(v, c.want) {
			t.Errorf("%s: got %v, want %v", c.args, v, c.want)
		}
	}
}

func TestGateErrors(t *testing.T) {
	for arg, want := range map[string]string{
		"X":             "missing bool value for X",
		"X=true":        "unrecognized feature gate: X",
		"AllAlpha=many": `invalid value of AllAlpha=many, err: strconv.ParseBool: parsing "many": invalid syntax`,
	} {
		_, err := newParser().commandLine([]string{"--feature-gates=" + arg})
		var exit *Exit
		if !errors.As(err, &exit) || err.Error() != "invalid value \""+arg+"\" for flag -feature-gates: "+want {
			t.Errorf("%s: %v", arg, err)
		}
	}
	gates := Features{PriorityRequest: true}.Gates()
	if len(gates) != 11 || !slices.Contains(gates, Gate{"PriorityRequest", "ALPHA", true}) || !slices.Contains(gates, Gate{"FastLeaseKeepAlive", "BETA", false}) {
		t.Errorf("gates are %v", gates)
	}
}

func TestAdvice(t *testing.T) {
	for args, want := range map[string]string{
		"--max-snapshots=5":           "warn: --max-snapshots is deprecated in 3.6 and will be decommissioned in 3.8. map[]",
		"--v2-deprecation=write-only": "warn: --v2-deprecation is deprecated and scheduled for removal in v3.8. The default value is enforced, ignoring user input. map[]",
		"--max-request-bytes=10485761": "warn: exceeded recommended request limit map[max-request-bytes:10485761 " +
			"max-request-size:10 MB recommended-request-bytes:10485760 recommended-request-size:10 MB]",
		"--raft-read-timeout=1s":  "info: raft-read-timeout increased to minimum value: 5s map[]",
		"--backend-batch-limit=5": "info: setting is accepted and has no effect map[reason:the store is not bbolt setting:--backend-batch-limit]",
		"--backend-batch-limit=0": "",
		"--quota-backend-bytes=8589934593": "info: quota is larger than etcd recommends; here the disk is the limit " +
			"map[quota-size-bytes:8589934593 recommended-quota-size-bytes:8589934592]",
		"--auto-tls --cert-file=c --key-file=k": "warn: ignoring client auto TLS since certs given map[]",
		"--bcrypt-cost=99": "warn: use default bcrypt cost instead of the invalid given cost " +
			"map[default-cost:10 given-cost:99 max-cost:31 min-cost:4]",
	} {
		_, lines := parse(t, strings.Fields(args)...)
		if got := strings.Join(messages(lines), "\n"); got != want {
			t.Errorf("%s:\n got %s\nwant %s", args, got, want)
		}
	}
}
