//go:build debian

package compat

import (
	"regexp"
	"strings"
	"testing"

	"bowline/internal/testkit"
)

// v2Sessions are command lines of API v2; what comes in follows a |. They run one after
// the other against servers that are new, so that even indexes are equal.
var v2Sessions = map[string][]string{
	"keys": {
		"set /foo bar", "get foo", "-o extended get foo", "-o json get foo", "-o json set foo bar2", "-o extended update foo bar3",
		"mk foo x", "mk new x", "-o json mk new2 y", "set stdin |from outside", "get stdin", "get none", "update none x", "set",
		"set k v --ttl 100", "set --swap-with-value v k w", "set --swap-with-value v k w", "set --swap-with-index 1 k w",
		"rm --with-value no k", "rm --with-value w k", "rm foo", "-o json rm new", "rm none", "set / x", "get -q stdin",
		"mk --in-order q a", "-o json mk --in-order q b", "ls --sort", "ls --sort -p", "ls -r --sort", "watch --after-index 3 /foo",
	},
	"directories": {
		"mkdir d", "mkdir d", "setdir d", "-o json setdir e", "set d/a 1", "set d/b/c 2", "get d", "ls --sort d", "ls -r -p --sort",
		"-o json ls -r --sort d", "-o extended ls d", "rm d", "rmdir d", "rm --dir d", "rm -r d", "ls d", "rmdir e", "set f v",
		"set f/x v", "rmdir f", "updatedir none", "mkdir --ttl 100 t", "updatedir t", "rm -r /", "set _hidden x", "ls --sort", "get _hidden",
	},
	"users": {
		"user list", "role list", "auth enable", "auth disable", "user add root:rootpw", "user add alice:pw", "user list", "role add r1",
		"role add r1", "role get r1", "role grant --path /foo* --read r1", "role grant --path /bar --readwrite r1", "role get r1",
		"role revoke --path /bar --write r1", "role revoke --path /bar --write r1", "user grant --roles r1 alice", "user grant --roles r1 alice",
		"user revoke --roles r2 alice", "user get nobody", "auth enable", "user list", "-u root:rootpw user list",
		"-u root:rootpw role revoke --path /* --rw guest", "set foo x", "-u root:rootpw set foo x", "-u alice:pw get foo",
		"-u alice:pw set foo y", "-u alice:bad get foo", "-u root:rootpw role get guest", "-u root:rootpw auth disable",
		"role remove r1", "role remove r1", "user remove alice", "user remove alice",
	},
	"members": {
		"member list", "cluster-health", "member add x", "member remove abcd", "member update abcd http://127.0.0.1:1", "member list x",
	},
}

// changing is what may differ between two runs: times, IDs and addresses.
var changing = regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+Z|"ttl":\d+|TTL: \d+|\b[0-9a-f]{13,16}\b|127\.0\.0\.1:\d+|name=\w+`)

// TestDebianV2 has Debian's etcdctl and ours drive Debian's etcd and ours, and wants the
// same of all four.
func TestDebianV2(t *testing.T) {
	ours, err := testkit.Build(t.TempDir(), "etcdctl")
	if err != nil {
		t.Fatal(err)
	}
	debian := debianProgram(t, "etcdctl", "BOWLINE_DEBIAN_ETCDCTL")
	for name, lines := range v2Sessions {
		t.Run(name, func(t *testing.T) {
			want := playV2(t, debian, debianProgram(t, "etcd", "BOWLINE_DEBIAN_ETCD"), lines)
			for _, pair := range []struct{ who, client, server string }{
				{"Debian's etcdctl, our server", debian, server.Path(t)},
				{"our etcdctl, Debian's server", ours, debianProgram(t, "etcd", "BOWLINE_DEBIAN_ETCD")},
				{"our etcdctl, our server", ours, server.Path(t)},
			} {
				got := playV2(t, pair.client, pair.server, lines)
				for i := range lines {
					if got[i] != want[i] {
						t.Errorf("%s: etcdctl %s\n--- Debian's, with Debian's:\n%+v\n--- got:\n%+v", pair.who, lines[i], want[i], got[i])
					}
				}
			}
		})
	}
}

// playV2 runs command lines against a new server.
func playV2(t *testing.T, client, program string, lines []string) (outcomes []outcome) {
	t.Helper()
	s, err := testkit.StartServer(program, t.TempDir(), &ports, "--enable-v2=true")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Kill()
	c := &ctl{t: t, program: client, dir: t.TempDir()}
	c.env = append(testkit.CleanEnv(), "ETCDCTL_API=2", "ETCDCTL_ENDPOINTS=http://"+s.Addr)
	for _, line := range lines {
		line, in, _ := strings.Cut(line, "|")
		o := c.run(in, strings.Fields(line)...)
		o.stdout, o.stderr = changing.ReplaceAllString(o.stdout, "~"), changing.ReplaceAllString(o.stderr, "~")
		// The reference puts two blanks before a user's roles.
		o.stdout = strings.ReplaceAll(o.stdout, "Roles:  ", "Roles: ")
		outcomes = append(outcomes, o)
	}
	return outcomes
}
