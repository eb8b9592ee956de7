//go:build debian

package compat

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"bowline/internal/testkit"
)

// debianServer is Debian's etcd 3.4 on a data directory, not started.
func debianServer(t *testing.T, dataDir string) *testkit.Server {
	t.Helper()
	return serverOn(t, debianProgram(t, "etcd", "BOWLINE_DEBIAN_ETCD"), dataDir)
}

// serverOn is a server on a data directory, not started. It is killed at the end.
func serverOn(t *testing.T, program, dataDir string) *testkit.Server {
	t.Helper()
	s, err := testkit.NewServer(program, t.TempDir(), &ports)
	must(t, err)
	if dataDir != "" {
		s.DataDir = dataDir
	}
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() {
			t.Logf("the end of the log of %s:\n%s", program, s.Log(10))
		}
	})
	return s
}

// furnish writes something of everything with Debian's etcdctl.
func (c *ctl) furnish() {
	c.t.Helper()
	for i := range 60 {
		c.prints("OK", "put", fmt.Sprintf("key%02d", i), fmt.Sprint("value", i))
	}
	c.prints("OK", "put", "key00", "again")
	c.prints("1", "del", "key01")
	c.matches(`lease [0-9a-f]+ granted with TTL\(7200s\)`, "lease", "grant", "7200")
	c.prints("OK", "put", "leased", "x", "--lease="+c.lease())
	c.prints("compacted revision 30", "compaction", "30", "--physical")
	c.answers("\nput txn/a 1\nput txn/b 2\n\n\n", "SUCCESS\n\nOK\n\nOK", "txn")
	c.answers("secret\n", "User alice created", "user", "add", "alice", "--interactive=false")
	c.prints("Role reader created", "role", "add", "reader")
	c.prints("Role reader updated", "role", "grant-permission", "reader", "read", "key", "kez")
	c.prints("Role reader is granted to user alice", "user", "grant-role", "alice", "reader")
}

// lease is the only lease there is.
func (c *ctl) lease() string {
	c.t.Helper()
	return c.matches(`found 1 leases\n([0-9a-f]+)`, "lease", "list")[0]
}

// raftNumbers differ between clusters.
var raftNumbers = regexp.MustCompile(`"(cluster_id|member_id|raft_term)":\d+,?`)

// everything is all that clients can see, as text.
func (c *ctl) everything() string {
	c.t.Helper()
	var b strings.Builder
	for _, args := range [][]string{
		{"get", "", "--from-key", "--write-out=json"}, {"get", "", "--from-key", "--rev=40", "--write-out=json"},
		{"lease", "timetolive", c.lease(), "--keys", "--write-out=json"},
		{"user", "list"}, {"user", "get", "alice"}, {"role", "list"}, {"role", "get", "reader"}, {"alarm", "list"},
	} {
		got := c.run("", args...)
		if got.exit != 0 {
			c.t.Fatalf("etcdctl %q ended with %d: %s", args, got.exit, got.stderr)
		}
		text := raftNumbers.ReplaceAllString(got.stdout, "")
		fmt.Fprintf(&b, "%q\n%s\n", args, regexp.MustCompile(`"ttl":\d+`).ReplaceAllString(text, `"ttl":N`))
	}
	b.WriteString(strings.Join(c.matches(`[^,]+, (\d+)`, "endpoint", "hashkv"), ""))
	return b.String()
}

// restore restores a snapshot with a tool for a server.
func (c *ctl) restore(tool []string, file string, s *testkit.Server) {
	c.t.Helper()
	d := *c
	d.program = tool[0]
	args := append(tool[1:len(tool):len(tool)], "snapshot", "restore", file, "--data-dir="+s.DataDir, "--name=default",
		"--initial-cluster=default="+s.PeerURL(), "--initial-advertise-peer-urls="+s.PeerURL())
	if got := d.run("", args...); got.exit != 0 {
		c.t.Fatalf("%q ended with %d: %s", args, got.exit, got.stderr)
	}
}

// TestDebianRoundTrip takes a snapshot of etcd 3.4 here, and back again.
func TestDebianRoundTrip(t *testing.T) {
	theirs := debianServer(t, "")
	must(t, theirs.Restart())
	first := ctlFor(t, theirs.Addr)
	first.furnish()
	want := first.everything()
	first.prints("Snapshot saved at one.db", "snapshot", "save", "one.db")

	ours := serverOn(t, server.Path(t), "")
	first.restore([]string{etcdutl.Path(t)}, "one.db", ours)
	must(t, ours.Restart())
	second := ctlFor(t, ours.Addr)
	second.dir = first.dir
	if got := second.everything(); got != want {
		t.Errorf("here it is\n%s\nwant\n%s", got, want)
	}
	second.prints("Snapshot saved at two.db", "snapshot", "save", "two.db")

	back := debianServer(t, "")
	first.restore([]string{first.program}, "two.db", back)
	must(t, back.Restart())
	third := ctlFor(t, back.Addr)
	if got := third.everything(); got != want {
		t.Errorf("back again it is\n%s\nwant\n%s", got, want)
	}
	third.prints("OK", "put", "more", "1")
}

// TestDebianInPlace starts on a data directory of etcd 3.4, which still starts there
// afterwards from where its files are kept.
func TestDebianInPlace(t *testing.T) {
	theirs := debianServer(t, "")
	must(t, theirs.Restart())
	first := ctlFor(t, theirs.Addr)
	first.furnish()
	want := first.everything()
	member := first.matches(`([0-9a-f]+), started, .*`, "member", "list")[0]
	theirs.Kill()

	ours := serverOn(t, server.Path(t), theirs.DataDir)
	must(t, ours.Restart())
	second := ctlFor(t, ours.Addr)
	if got := second.everything(); got != want {
		t.Errorf("here it is\n%s\nwant\n%s", got, want)
	}
	second.matches(member+`, started, default, .*`, "member", "list")
	second.prints("OK", "put", "more", "1")
	must(t, ours.Stop())
	must(t, ours.Restart())
	second.prints("more\n1", "get", "more")
	must(t, ours.Stop())

	kept := filepath.Join(theirs.DataDir, "from-etcd")
	if _, err := os.Stat(filepath.Join(kept, "member", "snap", "db")); err != nil {
		t.Fatal(err)
	}
	again := debianServer(t, kept)
	must(t, again.Restart())
	if got := ctlFor(t, again.Addr).everything(); got != want {
		t.Errorf("under etcd it is\n%s\nwant\n%s", got, want)
	}
}
