package member

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"bowline/internal/config"

	"go.uber.org/zap"
)

// elsewhere are settings that do not end in a member's configuration.
var elsewhere = map[string]string{
	"logger": "there is one", "log-outputs": "NewLogger", "log-level": "NewLogger", "log-format": "NewLogger",
	"enable-log-rotation": "NewLogger", "log-rotation-config-json": "NewLogger",
	"v2-deprecation": "told as deprecated", "discovery-fallback": "there is one",
}

// unusual are arguments for what has other values, or needs another setting beside it.
var unusual = map[string]string{
	"initial-cluster": "default=http://h:1", "initial-cluster-state": "existing", "memory-watermark": "80%",
	"listen-peer-urls": "http://127.0.0.1:1", "listen-client-urls": "http://127.0.0.1:1 --advertise-client-urls=http://localhost:2379",
	"listen-client-http-urls": "http://127.0.0.1:1", "listen-metrics-urls": "http://127.0.0.1:1",
	"initial-advertise-peer-urls": "http://h:1", "advertise-client-urls": "http://h:1",
	"discovery-token": "t --discovery-endpoints=h:1", "discovery-endpoints": "h:1 --discovery-token=t",
	"auto-compaction-mode": "revision --auto-compaction-retention=5", "auto-compaction-retention": "5",
	"heartbeat-interval": "50", "election-timeout": "2000", "tls-min-version": "TLS1.3", "tls-max-version": "TLS1.2",
	"cipher-suites": "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "cors": "http://h:1", "metrics": "extensive",
	"raft-read-timeout": "6s", "raft-write-timeout": "6s", "backup-to": "/b",
	"feature-gates": "InitialCorruptCheck=true",
}

// TestEverySettingReachesTheMember: what is accepted changes the member, or the log says
// that it does not.
func TestEverySettingReachesTheMember(t *testing.T) {
	parse := func(args string) (cfg Config, idle bool) {
		t.Helper()
		settings, lines, err := config.Parse(strings.Fields(args), nil)
		if err != nil {
			t.Errorf("%s: %v", args, err)
			return cfg, true
		}
		cfg, err = FromSettings(settings, zap.NewNop())
		if err != nil {
			t.Errorf("%s: %v", args, err)
		}
		cfg.Gates = nil // are shown, whatever they do
		return cfg, slices.ContainsFunc(lines, func(l config.Line) bool { return strings.HasPrefix(l.Message, "setting is accepted and has no effect") })
	}
	usual, _ := parse("")
	check := func(args, what string) {
		t.Helper()
		if cfg, idle := parse(args); !idle && reflect.DeepEqual(cfg, usual) {
			t.Errorf("%s does nothing, and nobody is told", what)
		}
	}
	defaults, rest := config.Defaults(), maps.Clone(unusual)
	for _, f := range config.Flags() {
		value := unusual[f.Name]
		delete(rest, f.Name)
		switch was := defaults[f.Name]; {
		case elsewhere[f.Name] != "" || strings.HasPrefix(f.Name, "experimental-"): // former names of what is tried
			continue
		case value != "":
		case f.Bool && was == "true":
			value = "false"
		case f.Bool:
			value = "true"
		case strings.HasSuffix(was, "s") && strings.ContainsAny(was[:1], "0123456789"):
			value = "33s"
		default:
			value = "7"
		}
		check("--"+f.Name+"="+value, "--"+f.Name)
	}
	for name := range rest {
		t.Errorf("--%s has an argument, and is no setting", name)
	}
	for _, g := range (config.Features{}).Gates() {
		if g.Name == "LeaseCheckpointPersist" { // goes with LeaseCheckpoint
			continue
		}
		value := "true"
		if g.Stage == "BETA" { // which are on
			value = "false"
		}
		check("--feature-gates="+g.Name+"="+value, "the gate "+g.Name)
	}
}
