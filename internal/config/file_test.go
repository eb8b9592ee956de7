package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "etcd.yml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const wholeFile = `
name: a
data-dir: /d
heartbeat-interval: 50
election-timeout: 500
quota-backend-bytes: -1
listen-client-urls: http://127.0.0.1:1, http://127.0.0.1:2
cors: http://b:1,http://a:1
host-whitelist: y,x
log-outputs: [stderr, /var/log/etcd]
cipher-suites: [TLS_RSA_WITH_AES_128_CBC_SHA]
feature-gates: InitialCorruptCheck=true,PriorityRequest=true
grpc-keepalive-interval: 3000000000
watch-progress-notify-interval: 5000000000
strict-reconfig-check: false
max-learners: 2
Auto-Compaction-Retention: "3"
nonsense: {a: 1}
listen-metrics-urls: ""
socket-options: {reuse-port: true, reuse-address: true}
client-transport-security:
  cert-file: /c
  key-file: /k
  client-cert-auth: true
  trusted-ca-file: /ca
  auto-tls: true
  allowed-hostname: [h2, h1]
peer-transport-security:
  cert-file: /pc
  key-file: /pk
  allowed-cn: [x]
  skip-client-san-verification: true
experimental-warning-apply-duration: 200000000
experimental-enable-lease-checkpoint: true
`

func TestFile(t *testing.T) {
	path := writeFile(t, wholeFile)
	for _, where := range []struct {
		args, environ []string
	}{
		{[]string{"--config-file", path}, nil},
		{nil, []string{"ETCD_CONFIG_FILE=" + path}},
		// All else is ignored, conflicts too.
		{[]string{"--config-file", path, "--name=z", "--heartbeat-interval=7"}, []string{"ETCD_NAME=y", "ETCD_NONSENSE=1"}},
	} {
		c, lines, err := Parse(where.args, where.environ)
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprint(c.Member, c.Raft.Heartbeat, c.Raft.ElectionTimeout, c.Storage.QuotaBytes, joinURLs(c.Listen.Client),
			joinURLs(c.Advertise.Client), c.HTTP.CORS, c.HTTP.HostWhitelist, c.Log.Outputs, len(c.TLS.CipherSuites), c.Features.PriorityRequest,
			c.GRPC.KeepAliveInterval, c.Watch.ProgressInterval, c.Raft.StrictReconfig, c.Raft.MaxLearners, c.Compaction.Period,
			len(c.Listen.Metrics), c.Listen.ReusePort, c.Listen.ReuseAddress, c.Warn.Apply, c.Features.LeaseCheckpoint)
		want := "{a /d } 50ms 500ms -1http://127.0.0.1:1,http://127.0.0.1:2http://localhost:2379[http://a:1 http://b:1] [x y] " +
			"[/var/log/etcd stderr] 1 true 3s 5s false 2 3h0m0s 0 true true 200ms true"
		if strings.ReplaceAll(got, "  ", " ") != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if fmt.Sprintf("%+v", c.ClientTLS) != fmt.Sprintf("%+v", Certificates{CertFile: "/c", KeyFile: "/k", ClientCertAuth: true,
			TrustedCAFile: "/ca", Auto: true, AllowedHostnames: []string{"h2", "h1"}}) {
			t.Errorf("client: %+v", c.ClientTLS)
		}
		if fmt.Sprintf("%+v", c.PeerTLS) != fmt.Sprintf("%+v", Certificates{CertFile: "/pc", KeyFile: "/pk",
			AllowedCNs: []string{"x"}, SkipSANVerification: true}) {
			t.Errorf("peer: %+v", c.PeerTLS)
		}
		if first := messages(lines)[0]; first != "info: loaded server configuration, other configuration command line flags and "+
			"environment variables will be ignored if provided map[path:"+path+"]" {
			t.Errorf("first line %s", first)
		}
	}
}

func TestDiscoveryInFile(t *testing.T) {
	c, _, err := Parse([]string{"--config-file", writeFile(t, `
discovery-config:
  token: t
  client:
    endpoints: [b:1, a:1]
    dial-timeout: 1000000000
    secure: {cert: c, insecure-transport: false}
    auth: {username: u, password: p}
`)}, nil)
	want := Discovery{Token: "t", Endpoints: []string{"b:1", "a:1"}, DialTimeout: time.Second, RequestTimeout: 5 * time.Second,
		KeepAliveTime: 2 * time.Second, KeepAliveTimeout: 6 * time.Second, CertFile: "c", User: "u", Password: "p"}
	if err != nil || fmt.Sprint(c.Discovery) != fmt.Sprint(want) || c.Bootstrap.Cluster != "" {
		t.Errorf("got %+v, %v", c, err)
	}
}

func TestJSONFile(t *testing.T) {
	c, _, err := Parse([]string{"--config-file", writeFile(t, `{"name": "a", "pre-vote": false}`)}, nil)
	if err != nil || c.Member.Name != "a" || c.Raft.PreVote || c.Bootstrap.Cluster != "a=http://localhost:2380" {
		t.Errorf("got %+v, %v", c, err)
	}
	c, _, err = Parse([]string{"--config-file", writeFile(t, ``)}, nil)
	if err != nil || c.Member.Name != "default" {
		t.Errorf("an empty file: %+v, %v", c, err)
	}
}

func TestBadFiles(t *testing.T) {
	for text, want := range map[string]string{
		"heartbeat-interval: abc": "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal string into Go struct field " +
			"configYAML.heartbeat-interval of type uint",
		"corrupt-check-time: 5s": "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal string into Go struct field " +
			"configYAML.corrupt-check-time of type time.Duration",
		"log-outputs: stdout": "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal string into Go struct field " +
			"configYAML.log-outputs of type []string",
		"client-transport-security: {auto-tls: 1}": "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal number into " +
			"Go struct field configYAML.client-transport-security.auto-tls of type bool",
		"[]":                           "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal array into Go value of type embed.configYAML",
		"name: a\n\tb":                 "error converting YAML to JSON: yaml: line 2: found a tab character that violates indentation",
		"initial-cluster-state: x":     `unexpected clusterState "x"`,
		"feature-gates: X=true":        "unrecognized feature gate: X",
		"heartbeat-interval: 0":        "--heartbeat-interval must be >0 (set to 0ms)",
		"listen-client-urls: http://x": `unexpected error setting up listen-client-urls: URL address does not have the form "host:port": http://x`,
		"advertise-client-urls: x":     "unexpected error setting up advertise-peer-urls: URL scheme must be http, https, unix, or unixs: x",
		"cors: http://a":               `unexpected error setting up cors: URL address does not have the form "host:port": http://a`,
	} {
		exit := wantExit(t, 1, want, nil, "--config-file", writeFile(t, text))
		if printed := strings.HasPrefix(want, "unexpected error setting up"); printed != (exit.Stderr == want+"\n") {
			t.Errorf("%s: printed is %q", text, exit.Stderr)
		}
	}
	missing := filepath.Join(t.TempDir(), "none")
	wantExit(t, 1, "open "+missing+": no such file or directory", nil, "--config-file", missing)
	wantExit(t, 2, "flag provided but not defined: -x", nil, "--config-file", missing, "--x")
	wantExit(t, 0, "flag: help requested", nil, "--config-file", missing, "--help")
}

// TestFileKeys sees that each key can be read: its default as it stands or as a
// string, a list, or nanoseconds.
func TestFileKeys(t *testing.T) {
	rows := table()
	for i := range rows {
		row := &rows[i]
		if row.fileKey() == "" || row.gate != "" {
			continue
		}
		quoted, err := json.Marshal(row.def)
		if err != nil {
			t.Fatal(err)
		}
		taken := false
		for _, raw := range []string{row.def, string(quoted), "[]", "0"} {
			p := newParser()
			taken = taken || json.Valid([]byte(raw)) && row.to(&p.draft).fromFile([]byte(raw)) == nil
		}
		if !taken {
			t.Errorf("%s takes nothing from a file", row.fileKey())
		}
	}
}
