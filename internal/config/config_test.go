package config

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"
)

// parse returns the settings, which must be right.
func parse(t *testing.T, args ...string) (*Config, []Line) {
	t.Helper()
	c, lines, err := Parse(args, nil)
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return c, lines
}

// wantExit parses what must be wrong.
func wantExit(t *testing.T, code int, message string, environ []string, args ...string) *Exit {
	t.Helper()
	_, _, err := Parse(args, environ)
	var exit *Exit
	if !errors.As(err, &exit) || exit.Code != code || err.Error() != message {
		t.Fatalf("%v %v:\n got %v\nwant %s (exit %d)", args, environ, err, message, code)
	}
	return exit
}

// messages returns the lines that come besides those of any start.
func messages(lines []Line) []string {
	var all []string
	for _, l := range lines {
		switch {
		case strings.HasPrefix(l.Message, "Running http and grpc"), strings.HasPrefix(l.Message, "it isn't recommended"),
			strings.HasPrefix(l.Message, "'data-dir' was empty"):
			continue
		}
		enc := zapcore.NewMapObjectEncoder()
		for _, f := range l.Fields {
			f.AddTo(enc)
		}
		all = append(all, fmt.Sprintf("%s: %s %v", l.Level, l.Message, enc.Fields))
	}
	return all
}

func TestDefaults(t *testing.T) {
	c, lines := parse(t)
	if got := messages(lines); got != nil {
		t.Errorf("lines: %q", got)
	}
	if len(lines) != 3 {
		t.Errorf("%d lines", len(lines))
	}
	for what, pair := range map[string][2]any{
		"name":                   {c.Member.Name, "default"},
		"data dir":               {c.Member.DataDir, "default.etcd"},
		"heartbeat":              {c.Raft.Heartbeat, 100 * time.Millisecond},
		"election timeout":       {c.Raft.ElectionTimeout, time.Second},
		"election ticks":         {c.Raft.ElectionTicks(), 10},
		"request timeout":        {c.Raft.RequestTimeout(), 7 * time.Second},
		"pre-vote":               {c.Raft.PreVote, true},
		"strict reconfiguration": {c.Raft.StrictReconfig, true},
		"learners":               {c.Raft.MaxLearners, 1},
		"listen peer":            {joinURLs(c.Listen.Peer), "http://localhost:2380"},
		"listen client":          {joinURLs(c.Listen.Client), "http://localhost:2379"},
		"listen http":            {len(c.Listen.ClientHTTP) + len(c.Listen.Metrics), 0},
		"advertise peer":         {joinURLs(c.Advertise.Peer), "http://localhost:2380"},
		"advertise client":       {joinURLs(c.Advertise.Client), "http://localhost:2379"},
		"initial cluster":        {c.Bootstrap.Cluster, "default=http://localhost:2380"},
		"existing":               {c.Bootstrap.Existing, false},
		"token":                  {c.Bootstrap.Token, "etcd-cluster"},
		"quota":                  {c.Storage.QuotaBytes, int64(0)},
		"txn ops":                {c.Limits.MaxTxnOps, uint(128)},
		"message bytes":          {c.Limits.MaxMessageBytes(), 2097152},
		"streams":                {c.Limits.MaxConcurrentStreams, uint32(4294967295)},
		"keepalive":              {c.GRPC, GRPC{5 * time.Second, 2 * time.Hour, 20 * time.Second}},
		"compaction":             {c.Compaction, Compaction{}},
		"tls":                    {c.TLS.MinVersion, uint16(tls.VersionTLS12)},
		"cors":                   {strings.Join(c.HTTP.CORS, ","), "*"},
		"hosts":                  {strings.Join(c.HTTP.HostWhitelist, ","), "*"},
		"gateway":                {c.HTTP.Gateway, true},
		"console":                {c.HTTP.Console, true},
		"auth":                   {c.Auth, Auth{"simple", 300 * time.Second, 10, false}},
		"watch":                  {c.Watch.ProgressInterval, 10 * time.Minute},
		"warnings":               {c.Warn, Warn{300 * time.Millisecond, 100 * time.Millisecond}},
		"log":                    {fmt.Sprint(c.Log), fmt.Sprint(Log{"info", "json", []string{"default"}, nil})},
		"metrics":                {c.Metrics, Metrics{}},
		"tracing":                {c.Tracing, Tracing{Address: "localhost:4317", ServiceName: "etcd"}},
		"checks":                 {c.Checks, Checks{5 * time.Minute, time.Minute, 5 * time.Second}},
		"unsafe":                 {c.Unsafe, Unsafe{}},
		"v2":                     {c.V2, V2{}},
		"features":               {c.Features, Features{FastLeaseKeepAlive: true, TxnModeWriteWithSharedBuffer: true}},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s is %v, want %v", what, pair[0], pair[1])
		}
	}
}

// TestEachSetting gives each a good value, which must arrive as it was written, and
// a bad one, which must be refused by package flag with etcd's words.
func TestEachSetting(t *testing.T) {
	values := settingValues()
	rows := table()
	for i := range rows {
		row := &rows[i]
		v, ok := values[row.name]
		if !ok {
			t.Errorf("no values for %s", row.name)
			continue
		}
		delete(values, row.name)
		for _, spelling := range append([]string{row.name}, row.former...) {
			p := newParser()
			if _, err := p.commandLine([]string{"--" + spelling + "=" + v.good}); err != nil {
				t.Errorf("--%s=%s: %v", spelling, v.good, err)
				continue
			}
			want := v.good
			if v.reads != "" {
				want = v.reads
			}
			if got := row.to(&p.draft).String(); got != want && row.group != groupIgnored {
				t.Errorf("--%s=%s reads as %q", spelling, v.good, got)
			}
			if v.bad == "" {
				continue
			}
			want = fmt.Sprintf("invalid value %q for flag -%s: %s", v.bad, spelling, v.why)
			if v.why == "" {
				want = fmt.Sprintf("invalid boolean value %q for -%s: parse error", v.bad, spelling)
			}
			if _, err := newParser().commandLine([]string{"-" + spelling + "=" + v.bad}); err == nil || err.Error() != want {
				t.Errorf("got %v\nwant %s", err, want)
			}
		}
	}
	for name := range values {
		t.Errorf("values for %s, which is no setting", name)
	}
}

type settingValue struct {
	good  string
	bad   string // "" if every value can be read
	why   string // "" for booleans
	reads string // how good reads back, if not as it is written
}

func settingValues() map[string]settingValue {
	const number, outOfRange = "parse error", "value out of range"
	b := settingValue{good: "true", bad: "maybe"}
	u := settingValue{good: "7", bad: "-1", why: number}
	i := settingValue{good: "-7", bad: "x", why: number}
	d := settingValue{good: "3s", bad: "3", why: number}
	s := settingValue{good: "any"}
	l := settingValue{good: "a,c,b"}
	peer := settingValue{good: "http://10.0.0.1:2380,http://10.0.0.1:1", reads: "http://10.0.0.1:1,http://10.0.0.1:2380",
		bad: "ftp://x:1", why: "URL scheme must be http, https, unix, or unixs: ftp://x:1"}
	client := settingValue{good: "unix:///tmp/a.sock", bad: "http://x", why: `URL address does not have the form "host:port": http://x`}
	page := settingValue{good: "https://localhost:1", bad: "http://x:1/a", why: "URL must not contain a path: http://x:1/a"}
	all := map[string]settingValue{
		"version": b, "config-file": s, "name": s, "data-dir": s, "wal-dir": s,
		"snapshot-count": u, "snapshot-catchup-entries": u, "heartbeat-interval": u, "election-timeout": u,
		"initial-election-tick-advance": b, "listen-peer-urls": peer, "listen-client-urls": client, "listen-client-http-urls": page,
		"max-txn-ops": u, "max-request-bytes": u,
		"max-concurrent-streams": {good: "4294967295", bad: "4294967296", why: outOfRange},
		"enable-grpc-gateway":    b, "enable-console": b, "grpc-keepalive-min-time": d, "grpc-keepalive-interval": d, "grpc-keepalive-timeout": d,
		"socket-reuse-port": b, "socket-reuse-address": b, "raft-read-timeout": d, "raft-write-timeout": d,
		"feature-gates":       {good: "InitialCorruptCheck=true", bad: "NoSuch=true", why: "unrecognized feature gate: NoSuch"},
		"quota-backend-bytes": {good: "-1", bad: "9223372036854775808", why: outOfRange},
		"memory-mlock":        b, "max-snapshots": u, "max-wals": u, "backend-bbolt-freelist-type": s,
		"backend-batch-interval": d, "backend-batch-limit": i,
		"initial-advertise-peer-urls": peer, "initial-cluster": s, "initial-cluster-token": s, "advertise-client-urls": client,
		"initial-cluster-state": {good: "existing", bad: "old", why: "invalid value"},
		"discovery-fallback":    {good: "proxy", bad: "else", why: "invalid value"},
		"discovery-srv":         s, "discovery-srv-name": s, "strict-reconfig-check": b, "pre-vote": b,
		"auto-compaction-retention": s, "auto-compaction-mode": s,
		"v2-deprecation":  {good: "gone", bad: "soon", why: "invalid value"},
		"discovery-token": s, "discovery-endpoints": {good: "a:1,b:1"}, "discovery-dial-timeout": d, "discovery-request-timeout": d,
		"discovery-keepalive-time": d, "discovery-keepalive-timeout": d, "discovery-insecure-transport": b,
		"discovery-insecure-skip-tls-verify": b, "discovery-cert": s, "discovery-key": s, "discovery-cacert": s,
		"discovery-user": s, "discovery-password": s,
		"cert-file": s, "key-file": s, "client-cert-file": s, "client-key-file": s, "client-cert-auth": b, "client-crl-file": s,
		"client-cert-allowed-hostname": l, "trusted-ca-file": s, "auto-tls": b,
		"peer-cert-file": s, "peer-key-file": s, "peer-client-cert-file": s, "peer-client-key-file": s, "peer-client-cert-auth": b,
		"peer-trusted-ca-file": s, "peer-crl-file": s, "peer-auto-tls": b, "peer-cert-allowed-cn": l, "peer-cert-allowed-hostname": l,
		"peer-skip-client-san-verification": b, "self-signed-cert-validity": u, "cipher-suites": l, "tls-min-version": s, "tls-max-version": s,
		"cors":           {good: "http://a:1", bad: "http://a", why: `URL address does not have the form "host:port": http://a`},
		"host-whitelist": {good: "b,a,b", reads: "a,b"},
		"auth-token":     s, "bcrypt-cost": u, "auth-token-ttl": u, "auth-watch-revocation": b,
		"audit-log": s, "audit-log-max-size": u, "audit-log-max-files": u, "user-request-rate": u, "user-byte-rate": u,
		"memory-watermark": {good: "80%", bad: "101%", why: number},
		"enable-pprof":     b, "metrics": s, "listen-metrics-urls": page, "logger": s, "log-level": s, "log-format": s,
		"log-outputs": {good: "stdout,/a,/a", reads: "/a,stdout"}, "enable-log-rotation": b, "log-rotation-config-json": s,
		"warning-unary-request-duration": d, "warning-apply-duration": d,
		"enable-distributed-tracing": b, "distributed-tracing-address": s, "distributed-tracing-service-name": s,
		"distributed-tracing-instance-id": s, "distributed-tracing-sampling-rate": i,
		"enable-v2": b, "corrupt-check-time": d, "compact-hash-check-time": d, "compaction-batch-limit": i,
		"compaction-sleep-interval": d, "watch-progress-notify-interval": d, "downgrade-check-time": d, "max-learners": i,
		"bootstrap-defrag-threshold-megabytes": u, "experimental-enable-v2v3": s,
		"force-new-cluster": b, "unsafe-no-fsync": b,
		"backup-to": s, "backup-interval": d, "backup-checkpoint-interval": d, "backup-retention": d, "backup-bandwidth": i,
	}
	for _, row := range formerRows() {
		if row.gate != "" {
			all[row.name] = b
		}
	}
	for _, row := range ignoredRows() {
		all[row.name] = b
	}
	return all
}

func TestCommandLine(t *testing.T) {
	c, _ := parse(t, "-name", "a", "--name=b", "--pre-vote=false", "--initial-cluster-state", "existing")
	if c.Member.Name != "b" || c.Raft.PreVote || c.Member.DataDir != "b.etcd" || !c.Bootstrap.Existing {
		t.Errorf("got %+v", c)
	}
	exit := wantExit(t, 2, "flag provided but not defined: -nonsense", nil, "--nonsense")
	if exit.Stderr != "flag provided but not defined: -nonsense\n"+Usage() || exit.Stdout != "" {
		t.Errorf("stderr is %q", exit.Stderr)
	}
	wantExit(t, 2, "flag provided but not defined: -discovery", nil, "--discovery=x")
	wantExit(t, 1, `"foo" is not a valid flag`, nil, "foo")
	wantExit(t, 1, `"false" is not a valid flag`, nil, "--pre-vote", "false")
	exit = wantExit(t, 0, "flag: help requested", nil, "-h")
	if exit.Stderr != Usage() || exit.Stdout != Help() {
		t.Error("help is not in its place")
	}
	if _, _, err := Parse([]string{"--version"}, nil); !errors.Is(err, ErrVersion) {
		t.Errorf("--version: %v", err)
	}
	_, lines, _ := Parse([]string{"foo"}, nil)
	if got := messages(lines); !slices.Equal(got, []string{`warn: failed to verify flags map[error:"foo" is not a valid flag]`}) {
		t.Errorf("lines: %q", got)
	}
}

func TestEnvironment(t *testing.T) {
	c, lines, err := Parse([]string{"--name", "a"}, []string{
		"PATH=/bin", "ETCDCTL_API=3", "ETCD_HEARTBEAT_INTERVAL=50", "ETCD_DATA_DIR=", "ETCD_NONSENSE=1",
		"ETCD_VERSION=true", "ETCD_UNSUPPORTED_ARCH=riscv64", "ETCD_V=1",
		"ETCD_EXPERIMENTAL_WATCH_PROGRESS_NOTIFY_INTERVAL=5s", "ETCD_EXPERIMENTAL_INITIAL_CORRUPT_CHECK=true",
		"ETCD_DISCOVERY_USER=anna:hush-hush",
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.Raft.Heartbeat != 50*time.Millisecond || c.Watch.ProgressInterval != 5*time.Second || !c.Features.InitialCorruptCheck {
		t.Errorf("got %+v", c)
	}
	want := []string{
		"warn: cannot set special environment variable map[key:ETCD_VERSION value:true]",
		"info: recognized and used environment variable map[variable-name:ETCD_HEARTBEAT_INTERVAL variable-value:50]",
		"info: recognized and used environment variable map[variable-name:ETCD_DISCOVERY_USER variable-value:(set)]",
		"info: recognized and used environment variable map[variable-name:ETCD_EXPERIMENTAL_WATCH_PROGRESS_NOTIFY_INTERVAL variable-value:5s]",
		"info: recognized and used environment variable map[variable-name:ETCD_EXPERIMENTAL_INITIAL_CORRUPT_CHECK variable-value:true]",
		"info: recognized and used environment variable map[variable-name:ETCD_V variable-value:1]",
		"warn: unrecognized environment variable map[environment-variable:ETCD_NONSENSE=1]",
		"info: setting is accepted and has no effect map[reason:it has had none for long setting:--v]",
	}
	if got := messages(lines); !slices.Equal(got, want) {
		t.Errorf("lines:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}

	wantExit(t, 1, `invalid value "abc" for ETCD_HEARTBEAT_INTERVAL: parse error`, []string{"ETCD_HEARTBEAT_INTERVAL=abc"})
	// The environment counts as setting explicitly.
	wantExit(t, 1, "--advertise-client-urls is required when --listen-client-urls is set explicitly",
		[]string{"ETCD_LISTEN_CLIENT_URLS=http://127.0.0.1:1"})

	const conflict = "conflicting environment variable is shadowed by corresponding command-line flag " +
		"(either unset environment variable or disable flag)): ETCD_NAME"
	for _, v := range []string{"a", "b", ""} {
		wantExit(t, 1, conflict, []string{"ETCD_NAME=" + v}, "--name=a")
	}
	_, lines, _ = Parse([]string{"--name=a"}, []string{"ETCD_NAME=a"})
	if last := lines[len(lines)-1]; last.Level != zapcore.FatalLevel || last.Fields[0].Key != "environment-variable" {
		t.Errorf("last line is %+v", last)
	}

	// A former name never overrides the name of today.
	c, lines, err = Parse([]string{"--max-learners=3"}, []string{"ETCD_EXPERIMENTAL_MAX_LEARNERS=5"})
	if err != nil || c.Raft.MaxLearners != 3 || len(messages(lines)) != 1 {
		t.Errorf("got %v, %v, %v", c, messages(lines), err)
	}
	c, _, err = Parse([]string{"--feature-gates=InitialCorruptCheck=false"}, []string{"ETCD_EXPERIMENTAL_INITIAL_CORRUPT_CHECK=true"})
	if err != nil || c.Features.InitialCorruptCheck {
		t.Errorf("got %v, %v", c, err)
	}
}

func TestKubeadm(t *testing.T) {
	c, lines := parse(t,
		"--name=cp1", "--feature-gates=InitialCorruptCheck=true", "--listen-client-urls=https://127.0.0.1:2379,https://10.0.0.1:2379",
		"--advertise-client-urls=https://10.0.0.1:2379", "--listen-peer-urls=https://10.0.0.1:2380",
		"--initial-advertise-peer-urls=https://10.0.0.1:2380", "--data-dir=/var/lib/etcd",
		"--cert-file=/pki/server.crt", "--key-file=/pki/server.key", "--trusted-ca-file=/pki/ca.crt", "--client-cert-auth=true",
		"--peer-cert-file=/pki/peer.crt", "--peer-key-file=/pki/peer.key", "--peer-trusted-ca-file=/pki/ca.crt",
		"--peer-client-cert-auth=true", "--snapshot-count=10000", "--listen-metrics-urls=http://127.0.0.1:2381",
		"--watch-progress-notify-interval=5s", "--initial-cluster=cp1=https://10.0.0.1:2380", "--initial-cluster-state=existing",
	)
	if len(messages(lines)) != 0 || !c.Features.InitialCorruptCheck || c.Watch.ProgressInterval != 5*time.Second || !c.ClientTLS.ClientCertAuth ||
		joinURLs(c.Listen.Client) != "https://10.0.0.1:2379,https://127.0.0.1:2379" || c.PeerTLS.CertFile != "/pki/peer.crt" {
		t.Errorf("got %+v\n%v", c, messages(lines))
	}
	members, err := c.Bootstrap.InitialMembers()
	if err != nil || len(members) != 1 || members[0].Name != "cp1" {
		t.Errorf("initial members %v, %v", members, err)
	}
}

func TestInitialMembers(t *testing.T) {
	b := Bootstrap{Cluster: "b=http://b:1, a=http://a:2,a=http://a:1"}
	members, err := b.InitialMembers()
	if err != nil || len(members) != 2 || members[0].Name != "a" || joinURLs(members[0].URLs) != "http://a:1,http://a:2" {
		t.Errorf("got %v, %v", members, err)
	}
	for cluster, want := range map[string]string{
		"a":          `error setting up initial cluster: URL scheme must be http, https, unix, or unixs: `,
		"a=http://x": `error setting up initial cluster: URL address does not have the form "host:port": http://x`,
	} {
		if _, err := (Bootstrap{Cluster: cluster}).InitialMembers(); err == nil || err.Error() != want {
			t.Errorf("%s: %v", cluster, err)
		}
	}
}

func TestDefaultHost(t *testing.T) {
	c, _ := parse(t, "--name=a", "--listen-peer-urls=http://0.0.0.0:2381", "--listen-client-urls=http://0.0.0.0:2378",
		"--advertise-client-urls=http://localhost:2379")
	lines := c.SetDefaultHost("10.0.0.7")
	if joinURLs(c.Advertise.Peer) != "http://10.0.0.7:2381" || joinURLs(c.Advertise.Client) != "http://10.0.0.7:2378" ||
		c.Bootstrap.Cluster != "a=http://10.0.0.7:2381" || len(lines) != 1 {
		t.Errorf("got %+v %+v %v", c.Advertise, c.Bootstrap, lines)
	}
	c, _ = parse(t, "--listen-peer-urls=http://127.0.0.1:2380")
	if lines := c.SetDefaultHost("10.0.0.7"); lines != nil || c.Bootstrap.Cluster != "default=http://localhost:2380" {
		t.Errorf("got %+v %v", c, lines)
	}
}

// TestHelp compares with a file, so that each change of the surface is seen.
// UPDATE_GOLDEN=1 writes the file anew.
func TestHelp(t *testing.T) {
	golden(t, "help.txt", Usage()+"\n"+Help())
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs from what is made now; look at the difference and run with UPDATE_GOLDEN=1", path)
	}
}

func TestTableIsSound(t *testing.T) {
	seen := map[string]bool{}
	files := map[string]bool{}
	rows := table()
	for i := range rows {
		row := &rows[i]
		for _, name := range append([]string{row.name}, row.former...) {
			if seen[name] {
				t.Errorf("%s is there twice", name)
			}
			seen[name] = true
		}
		if key := row.fileKey(); key != "" && files[key] {
			t.Errorf("file key %s is there twice", key)
		} else {
			files[key] = true
		}
		if row.help == "" && row.group != groupIgnored {
			t.Errorf("%s has no help", row.name)
		}
		if row.gate != "" && !knownGate(row.gate) {
			t.Errorf("%s names the gate %s", row.name, row.gate)
		}
	}
	for _, name := range []string{"listen-client-urls", "test.coverprofile"} {
		if key := envKey(name); key != map[string]string{
			"listen-client-urls": "ETCD_LISTEN_CLIENT_URLS", "test.coverprofile": "ETCD_TEST.COVERPROFILE"}[name] {
			t.Errorf("%s is read from %s", name, key)
		}
	}
}
