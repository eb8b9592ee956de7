//go:build debian

package compat

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"bowline/internal/testkit"
)

func TestDebianMaintenance(t *testing.T) {
	c, s := newCtl(t)
	c.prints("OK", "put", "a", "1")
	c.prints("Finished defragmenting etcd member["+s.Addr+"]", "defrag")
	c.prints("", "alarm", "list")
	c.prints("", "alarm", "disarm")
	if got := c.run("", "endpoint", "health"); got.exit != 0 || got.stdout+got.stderr == "" {
		t.Errorf("endpoint health ended with %d: %s%s", got.exit, got.stdout, got.stderr)
	}
	c.matches(s.Addr+`, \d+`, "endpoint", "hashkv")
	id := c.matches(s.Addr+`, ([0-9a-f]+), 3\.7\.1, [0-9.]+ [kM]?B, true, false, 2, \d+, \d+, `, "endpoint", "status")[0]
	peer := c.matches(id+`, started, default, (http://127\.0\.0\.1:\d+), http://`+s.Addr+`, false`, "member", "list")[0]
	c.matches(`\+-+.*\n\|\s+ID\s+\|\s+STATUS\s+\|\s+NAME\s+\|\s+PEER ADDRS\s+\|\s+CLIENT ADDRS\s+\|\s+IS LEARNER\s+\|\n\+-+.*\n`+
		`\|\s+`+id+`\s+\|\s+started\s+\|\s+default\s+\|\s+`+peer+`\s+\|\s+http://`+s.Addr+`\s+\|\s+false\s+\|\n\+-+.*`,
		"member", "list", "--write-out=table")
	c.matches(`\[\{"Endpoint":"`+s.Addr+`","Status":\{"header":\{"cluster_id":\d+,"member_id":\d+,"revision":2,"raft_term":2\},`+
		`"version":"3\.7\.1","dbSize":\d+,"leader":\d+,"raftIndex":\d+,"raftTerm":2,"raftAppliedIndex":\d+,"dbSizeInUse":\d+\}\}\]`,
		"endpoint", "status", "--write-out=json")
}

func TestDebianAlarm(t *testing.T) {
	c, _ := newCtl(t, "--quota-backend-bytes=1048576")
	large := filepath.Join(c.dir, "large")
	must(t, os.WriteFile(large, make([]byte, 1<<20), 0o600))
	for i := 0; ; i++ {
		input, err := os.ReadFile(large)
		must(t, err)
		if got := c.run(string(input), "put", fmt.Sprint("large", i)); got.exit != 0 {
			break
		}
		if i == 20 {
			t.Fatal("20 MiB have gone into a quota of 1 MiB")
		}
	}
	c.fails("etcdserver: mvcc: database space exceeded", "put", "a", "1")
	id := c.matches(`memberID:(\d+) alarm:NOSPACE `, "alarm", "list")[0]
	c.matches(`\d+`, "del", "large", "--prefix")
	c.prints("memberID:"+id+" alarm:NOSPACE ", "alarm", "disarm")
	c.prints("", "alarm", "list")
}

// TestDebianReadsOurSnapshot saves a snapshot with Debian's etcdctl, restores it,
// and lets Debian's etcd 3.4 serve it.
func TestDebianReadsOurSnapshot(t *testing.T) {
	c, _ := newCtl(t)
	for i := range 50 {
		c.prints("OK", "put", fmt.Sprintf("key%02d", i), "value")
	}
	c.prints("1", "del", "key00")
	id := c.matches(`lease ([0-9a-f]+) granted with TTL\(1000s\)`, "lease", "grant", "1000")[0]
	c.prints("OK", "put", "leased", "x", "--lease="+id)
	c.prints("compacted revision 20", "compaction", "20", "--physical")
	c.prints("Snapshot saved at saved.db", "snapshot", "save", "saved.db")
	c.matches(`\{"hash":\d+,"revision":53,"totalKey":\d+,"totalSize":\d+\}`, "snapshot", "status", "saved.db", "--write-out=json")
	c.matches(`\+-+.*\n\|\s+HASH\s+\|\s+REVISION\s+\|\s+TOTAL KEYS\s+\|\s+TOTAL SIZE\s+\|\n\+-+.*\n\|\s+[0-9a-f]+\s+\|\s+53\s+\|\s+\d+\s+\|\s+\d+ kB\s+\|\n\+-+.*`,
		"snapshot", "status", "saved.db", "--write-out=table")

	restored, err := testkit.NewServer(debianProgram(t, "etcd", "BOWLINE_DEBIAN_ETCD"), t.TempDir(), &ports)
	must(t, err)
	defer restored.Kill()
	if got := c.run("", "snapshot", "restore", "saved.db", "--data-dir="+restored.DataDir, "--name=default",
		"--initial-cluster=default="+restored.PeerURL(), "--initial-advertise-peer-urls="+restored.PeerURL()); got.exit != 0 {
		t.Fatalf("snapshot restore ended with %d: %s", got.exit, got.stderr)
	}
	must(t, restored.Restart())
	theirs := ctlFor(t, restored.Addr)
	theirs.prints("leased\nx", "get", "leased")
	theirs.prints("key49\nvalue", "get", "key", "--prefix", "--order=DESCEND", "--limit=1")
	theirs.prints("", "get", "key00")
	theirs.prints("key00\nvalue", "get", "key00", "--rev=20")
	theirs.fails("etcdserver: mvcc: required revision has been compacted", "get", "a", "--rev=19")
	theirs.matches(`lease `+id+` granted with TTL\(1000s\), remaining\(\d+s\), attached keys\(\[leased\]\)`, "lease", "timetolive", id, "--keys")
	theirs.prints("OK", "put", "key00", "again")
}
