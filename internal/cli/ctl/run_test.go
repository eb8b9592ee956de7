package ctl

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	"bowline/internal/cli"
)

func TestExitCodesAndTexts(t *testing.T) {
	const usage = "Usage:"
	for _, c := range []struct {
		args   string
		stdin  string
		code   int
		stdout string // a part
		stderr string // a part
	}{
		{"get k", "", 0, "k\nv\n", ""},
		{"put k v", "", 0, "OK\n", ""},
		{"put k", "from stdin", 0, "OK\n", ""},
		{"put k", "", 128, "", "Error: put command needs 1 argument and input from stdin or 2 arguments\n"},
		{"del a b", "", 0, "2\n", `Warning: Keys between "a" and "b" will be deleted.`},
		{"get", "", 128, "", "Error: get command needs one argument as key"},
		{"get k -w bogus", "", 4, "", "Error: unsupported output format\n"},
		{"get k -w table", "", 4, "", "Error: table not supported as output format\n"},
		{"get k --count-only", "", 128, "", "Error: --count-only is only for `--write-out=fields`\n"},
		{"get k --bogus", "", 1, "", "Error: unknown flag: --bogus\n" + usage},
		{"get k --limit x", "", 1, "", usage},
		{"get k --endpoints=", "", 2, "", "Error: etcdclient: no available endpoints\n"},
		{"get k --cert=", "", 128, "", "Error: empty string is passed to --cert option\n"},
		{"get k --discovery-srv d", "", 1, "", "Error: dns lookup errors: no such host and no such host\n"},
		{"txn", "\n\n", 3, "", "Error: EOF\n"},
		{"txn", "\nput a 1\n\n\n", 0, "SUCCESS\n\nOK\n", ""},
		{"txn", "\nget a --bogus\n\n\n", 3, "", "Error: invalid txn request: get a --bogus\n"},
		{"txn -i", "mod(\n", 3, "compares:\n", "Error: malformed comparison"},
		{"watch -i", "foo\n", 3, "", "Invalid command foo (only support watch)\nError: error reading watch request line: EOF\n"},
		{"watch -i", "watch a --rev x\n", 128, "", "Error: invalid argument"},
		{"watch", "", 128, "", "Error: bad number of arguments\n"},
		{"bogus", "", 1, "", "Error: unknown command \"bogus\" for \"etcdctl\"\nRun 'etcdctl --help' for usage.\n"},
		{"gett", "", 1, "", "Did you mean this?\n\tget"},
		{"e", "", 1, "", `unknown command "e"`},
		{"pu k v", "", 0, "OK\n", ""},
		{"lease", "", 0, "timetolive", ""},
		{"snapshot frobnicate x", "", 0, "save", ""},
		{"snapshot restore no-such-file", "", 1, "", "Error: open no-such-file: no such file or directory\n"},
		{"snapshot restore", "", 128, "", "Deprecated: Use `etcdutl snapshot restore` instead.\n\nError: snapshot restore requires exactly one argument\n"},
		{"snapshot status no-such-file", "", 1, "", "Error: stat no-such-file: no such file or directory\n"},
		{"-h get", "", 0, "--sort-by string", ""},
		{"help bogus", "", 0, "", "Unknown help topic [`bogus`]\n" + usage},
		{"help lease grant", "", 0, "etcdctl lease grant <ttl>", ""},
		{"version extra -w json", "", 0, "etcdctl version: 3.7.1\nAPI version: 3.7\n", ""},
		{"options", "", 0, "-d, --discovery-srv string", ""},
		{"completion", "", 1, "", "Error: accepts 1 arg(s), received 0\n" + usage},
		{"completion tcsh", "", 1, "", `Error: invalid argument "tcsh" for "etcdctl completion"`},
	} {
		b := newBench(t)
		code := b.run(c.stdin, strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(b.out.String(), c.stdout) || !strings.Contains(b.err.String(), c.stderr) {
			t.Errorf("%s: exit %d, stdout %q, stderr %q", c.args, code, b.out.String(), b.err.String())
		}
		if c.stderr == "" && b.err.Len() > 0 {
			t.Errorf("%s: unexpected stderr %q", c.args, b.err.String())
		}
	}
}

func TestGlobalFlagsAreNotInCommandHelp(t *testing.T) {
	b := newBench(t)
	b.run("", "get", "-h")
	if out := b.out.String(); strings.Contains(out, "--endpoints") || !strings.Contains(out, `Use "etcdctl options"`) {
		t.Error(out)
	}
	b.run("", "options")
	if n := strings.Count(b.out.String(), "--"); n < 21 {
		t.Errorf("options lists %d flags:\n%s", n, b.out.String())
	}
}

func TestAPIVersion(t *testing.T) {
	for _, c := range []struct {
		environ string
		args    string
		code    int
		stderr  string
	}{
		{"ETCDCTL_API=", "get k", 0, ""},
		{"ETCDCTL_API=3", "get k", 0, ""},
		{"ETCDCTL_API=2", "get k", 1, "unsupported API version 2\n"}, // that is another package's
		{"ETCDCTL_API=4", "version", 1, "unsupported API version 4\n"},
		{"ETCDCTL_API=3", "set k v", 1, `Error: "set" is a command of API v2: run it with ETCDCTL_API=2`},
		{"X=y", "--endpoints e -w json --hex exec-watch k -- echo", 1, `"exec-watch" is a command of API v2`},
		{"X=y", "upd k v", 1, `unknown command "upd"`},
	} {
		b := newBench(t, c.environ)
		if code := b.run("", strings.Fields(c.args)...); code != c.code || !strings.Contains(b.err.String(), c.stderr) || (c.stderr == "") != (b.err.Len() == 0) {
			t.Errorf("%s %s: exit %d, %q", c.environ, c.args, code, b.err.String())
		}
	}
}

func TestV2CommandsAreNotV3Commands(t *testing.T) {
	b := newBench(t)
	for _, c := range newRoot(b.env).Commands() {
		if slices.Contains(v2Commands, c.Name()) {
			t.Errorf("%s is both", c.Name())
		}
	}
}

func TestEnvironment(t *testing.T) {
	const warning = `"msg":"unrecognized environment variable","environment-variable":"`
	for _, c := range []struct {
		environ string
		args    string
		code    int
		stdout  string
		stderr  string // a part; "" for nothing at all
	}{
		{"ETCDCTL_HEX=true", "get k", 0, "\\x6b\n\\x76\n", ""},
		{"ETCDCTL_HEX=bogus", "get k", 0, "k\nv\n", ""},
		{"ETCDCTL_HEX=", "get k", 0, "k\nv\n", warning + "ETCDCTL_HEX="},
		{"ETCDCTL_PREFIX=true", "get k", 0, "k\nv\n", warning + "ETCDCTL_PREFIX=true"},
		{"ETCDCTL_WRITE_OUT=json", "get k -w simple", 1, "", "is shadowed by corresponding command-line flag"},
		{"ETCDCTL_WRITE_OUT=", "get k -w simple", 1, "", `"environment-variable":"ETCDCTL_WRITE_OUT"`},
		{"ETCDCTL_ENDPOINTS=a,b", "get k", 0, "k\nv\n", ""},
		{"ETCDCTL_WATCH_KEY=a", "get k", 0, "k\nv\n", warning},
		{"PREFIX=ETCDCTL_", "get k", 0, "k\nv\n", ""},
		{"ETCDCTL_BOGUS=x", "version", 0, "etcdctl version: 3.7.1\nAPI version: 3.7\n", ""},
	} {
		b := newBench(t, c.environ)
		code := b.run("", strings.Fields(c.args)...)
		if code != c.code || b.out.String() != c.stdout || !strings.Contains(b.err.String(), c.stderr) || (c.stderr == "") != (b.err.Len() == 0) {
			t.Errorf("%s %s: exit %d, stdout %q, stderr %q", c.environ, c.args, code, b.out.String(), b.err.String())
		}
	}
}

// A value that does not parse must leave the default, not zero.
func TestUnparsableVariableKeepsDefault(t *testing.T) {
	b := newBench(t, "ETCDCTL_DIAL_TIMEOUT=bogus", "ETCDCTL_ENDPOINTS=x:1, y:2")
	b.run("", "get", "k")
	if got := b.env.globals.dialTimeout.String(); got != "2s" {
		t.Errorf("dial timeout %s", got)
	}
	if got := b.dialed[0].Endpoints; !slices.Equal(got, []string{"x:1", "y:2"}) {
		t.Errorf("endpoints %q", got)
	}
}

func TestDebugShowsSettings(t *testing.T) {
	b := newBench(t)
	b.run("", "get", "k", "--debug", "--endpoints=h:1")
	for _, line := range []string{"ETCDCTL_COMMAND_TIMEOUT=5s\n", "ETCDCTL_ENDPOINTS=[h:1]\n", "ETCDCTL_DEBUG=true\n", "ETCDCTL_WRITE_OUT=simple\n"} {
		if !strings.Contains(b.err.String(), line) {
			t.Errorf("no %q in\n%s", line, b.err.String())
		}
	}
}

func TestCredentials(t *testing.T) {
	for _, c := range []struct {
		args, stdin           string
		user, password, token string
		stdout                string
	}{
		{"", "", "", "", "", ""},
		{"--password p", "", "", "", "", ""},
		{"--user u:p:q", "", "u", "p:q", "", ""},
		{"--user u:x --password p", "", "u:x", "p", "", ""},
		{"--user u", "typed\n", "u", "typed", "", "Password: \n"},
		{"--user u", "", "u", "", "", "Password: \n"},
		{"--user u:p --auth-jwt-token tok", "", "", "", "tok", ""},
	} {
		b := newBench(t)
		if code := b.run(c.stdin, append(strings.Fields(c.args), "get", "k")...); code != 0 {
			t.Fatalf("%s: exit %d, %s", c.args, code, b.err.String())
		}
		cfg := b.dialed[0]
		if cfg.Username != c.user || cfg.Password != c.password || cfg.Token != c.token || b.out.String() != c.stdout+"k\nv\n" {
			t.Errorf("%s: %q %q %q, stdout %q", c.args, cfg.Username, cfg.Password, cfg.Token, b.out.String())
		}
	}
}

func TestDiscovery(t *testing.T) {
	b := newBench(t)
	var asked []string
	b.env.LookupSRV = func(_ context.Context, service, proto, domain string) (string, []*net.SRV, error) {
		asked = append(asked, service+"."+proto+"."+domain)
		if strings.Contains(service, "-ssl") {
			return "", []*net.SRV{{Target: "a.example.", Port: 1}}, nil
		}
		return "", []*net.SRV{{Target: "b.example.", Port: 2}}, nil
	}
	b.run("", "get", "k", "-d", "example", "--discovery-srv-name", "n")
	if want := []string{"etcd-client-ssl-n.tcp.example", "etcd-client-n.tcp.example"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q", asked)
	}
	if got := b.dialed[0]; !slices.Equal(got.Endpoints, []string{"https://a.example:1", "http://b.example:2"}) || got.TLS != nil {
		t.Errorf("endpoints %q, TLS %v", got.Endpoints, got.TLS)
	}

	b.run("", "get", "k", "-d", "example", "--insecure-discovery=false")
	got := b.dialed[1]
	if !slices.Equal(got.Endpoints, []string{"https://a.example:1"}) || got.TLS == nil || got.TLS.ServerName != "example" {
		t.Errorf("secure: endpoints %q, TLS %v", got.Endpoints, got.TLS)
	}
	if want := "ignoring discovered insecure endpoint \"http://b.example:2\"\n"; b.err.String() != want {
		t.Errorf("stderr %q", b.err.String())
	}
}

func TestRequestErrorsExitWithOne(t *testing.T) {
	b := newBench(t)
	b.kv.err = errors.New("boom")
	for _, args := range []string{"get k", "put k v", "del k"} {
		if code := b.run("", strings.Fields(args)...); code != cli.ExitFailure || b.err.String() != "Error: boom\n" {
			t.Errorf("%s: exit %d, %q", args, code, b.err.String())
		}
	}
}
