//go:build debian

package compat

import (
	"testing"
)

func TestDebianLease(t *testing.T) {
	c, _ := newCtl(t)
	c.prints("found 0 leases", "lease", "list")
	id := c.matches(`lease ([0-9a-f]{15,16}) granted with TTL\(100s\)`, "lease", "grant", "100")[0]
	c.prints("OK", "put", "a", "1", "--lease="+id)
	c.prints("OK", "put", "b", "2", "--lease="+id)
	c.prints("found 1 leases\n"+id, "lease", "list")
	c.matches(`lease `+id+` granted with TTL\(100s\), remaining\((100|9\d)s\)`, "lease", "timetolive", id)
	c.matches(`lease `+id+` granted with TTL\(100s\), remaining\((100|9\d)s\), attached keys\(\[a b\]\)`, "lease", "timetolive", id, "--keys")
	c.prints("lease "+id+" keepalived with TTL(100)", "lease", "keep-alive", "--once", id)
	c.prints("lease "+id+" revoked", "lease", "revoke", id)
	c.prints("", "get", "", "--prefix")
	c.prints("lease "+id+" already expired", "lease", "timetolive", id)
	c.fails("failed to revoke lease (etcdserver: requested lease not found)", "lease", "revoke", id)
	c.fails("etcdserver: requested lease not found", "put", "a", "1", "--lease="+id)
}

// TestDebianKeepAlive renews a lease beyond its TTL, then lets it end.
func TestDebianKeepAlive(t *testing.T) {
	c, _ := newCtl(t)
	id := c.matches(`lease ([0-9a-f]+) granted with TTL\(2s\)`, "lease", "grant", "2")[0]
	c.prints("OK", "put", "a", "held", "--lease="+id)
	gone := c.start("watch", "a", "--rev=3")
	keeper := c.start("lease", "keep-alive", id)
	for range 4 {
		keeper.line(`lease ` + id + ` keepalived with TTL\(2\)`)
	}
	c.prints("a\nheld", "get", "a")
	must(t, keeper.cmd.Process.Kill())
	gone.line("DELETE")
	gone.line("a")
	gone.line("")
	gone.interrupt()
	c.prints("lease "+id+" already expired", "lease", "timetolive", id)
}

// TestDebianLock lets three processes queue for a lock.
func TestDebianLock(t *testing.T) {
	c, s := newCtl(t)
	client, ctx := newClient(t, s), limited(t)
	c.prints("run under the lock", "lock", "door", "echo", "run under the lock")
	first := c.start("lock", "door")
	key := first.line(`(door/[0-9a-f]+)`)[0]
	first.line("")
	second := c.start("lock", "door")
	waitForKeys(t, ctx, client, "door/", 2)
	third := c.start("lock", "door", "--ttl=5", "echo", "third")
	waitForKeys(t, ctx, client, "door/", 3)
	c.prints(key+"\n", "get", "door/", "--prefix", "--keys-only", "--sort-by=CREATE", "--limit=1")
	first.interrupt()
	second.line(`door/[0-9a-f]+`)
	second.line("")
	second.interrupt()
	third.line("third")
	third.ends()
	c.prints("", "get", "door/", "--prefix")
}

func TestDebianElect(t *testing.T) {
	c, _ := newCtl(t)
	first := c.start("elect", "chair", "one")
	key := first.line(`(chair/[0-9a-f]+)`)[0]
	first.line("one")
	listener := c.start("elect", "--listen", "chair")
	listener.line(key)
	listener.line("one")
	second := c.start("elect", "chair", "two")
	first.interrupt()
	next := second.line(`(chair/[0-9a-f]+)`)[0]
	second.line("two")
	listener.line(next)
	listener.line("two")
	second.interrupt()
	listener.interrupt()
	c.prints("", "get", "chair/", "--prefix")
}
