//go:build debian

package compat

import (
	"strings"
	"testing"
)

func TestDebianPutAndGet(t *testing.T) {
	c, _ := newCtl(t)
	c.prints("OK", "put", "a", "1")
	c.prints("OK", "put", "b", "2")
	c.prints("OK", "put", "c", "3")
	c.prints("OK\na\n1", "put", "a", "one", "--prev-kv")
	c.prints("a\none", "get", "a")
	c.prints("a\n1", "get", "a", "--rev=2")
	c.prints("", "get", "missing")
	c.prints("one\n2", "get", "a", "c", "--print-value-only")
	c.prints("b\n2\nc\n3", "get", "b", "--from-key")
	c.prints("a\none\nb\n2", "get", "", "--prefix", "--limit=2")
	c.prints("a\none", "get", "a", "--consistency=s")
	c.prints("\\x61\n\\x6f\\x6e\\x65", "get", "a", "--hex")
	c.matches(`\{"header":\{"cluster_id":\d+,"member_id":\d+,"revision":5,"raft_term":2\},`+
		`"kvs":\[\{"key":"YQ==","create_revision":2,"mod_revision":5,"version":2,"value":"b25l"\}\],"count":1\}`,
		"get", "a", "--write-out=json")
	c.matches(lines(`"ClusterID" : \d+`, `"MemberID" : \d+`, `"Revision" : 5`, `"RaftTerm" : 2`,
		`"Key" : "a"`, `"CreateRevision" : 2`, `"ModRevision" : 5`, `"Version" : 2`, `"Value" : "one"`, `"Lease" : 0`,
		`"More" : false`, `"Count" : 1`), "get", "a", "--write-out=fields")
	c.answers("from standard input", "OK", "put", "d")
	c.prints("d\nfrom standard input", "get", "d")
	c.prints("OK", "put", "a", "ignored", "--ignore-lease")
	c.prints("1\na\nignored", "del", "a", "--prev-kv")
	c.prints("0", "del", "a")
	c.prints("2", "del", "b", "d")
	c.prints("1", "del", "", "--prefix")
	c.fails("etcdserver: key not found", "put", "a", "--ignore-value")
	c.fails("etcdserver: mvcc: required revision is a future revision", "get", "a", "--rev=1000")
}

// TestDebianSorts asks for each order by each part of a key. What is equal stays
// in the order of the keys.
func TestDebianSorts(t *testing.T) {
	c, _ := newCtl(t)
	// a has been written last, most often, and first of all; its value is largest.
	for _, kv := range []string{"a 3", "b 1", "c 2", "a 9"} {
		key, value, _ := strings.Cut(kv, " ")
		c.prints("OK", "put", key, value)
	}
	for target, keys := range map[string][2]string{ // ascending, descending
		"CREATE":  {"a b c", "c b a"},
		"KEY":     {"a b c", "c b a"},
		"MODIFY":  {"b c a", "a c b"},
		"VALUE":   {"b c a", "a c b"},
		"VERSION": {"b c a", "a b c"},
	} {
		for i, order := range []string{"ASCEND", "DESCEND"} {
			want := strings.ReplaceAll(keys[i], " ", "\n\n") + "\n"
			c.prints(want, "get", "", "--prefix", "--keys-only", "--sort-by="+target, "--order="+order)
		}
	}
}

func TestDebianTxn(t *testing.T) {
	c, _ := newCtl(t)
	c.prints("OK", "put", "a", "1")
	c.answers("val(\"a\") = \"1\"\n\nput b 2\nget a\ndel zz\n\nput b wrong\n\n", lines("SUCCESS", "", "OK", "", "a", "1", "", "0"), "txn")
	c.answers("mod(\"a\") > \"2\"\ncreate(\"zz\") = \"0\"\n\nput b wrong\n\nget b\n\n", lines("FAILURE", "", "b", "2"), "txn")
	c.answers("ver(\"a\") < \"2\"\n\nput c 3\n\n\n", lines("SUCCESS", "", "OK"), "txn")
	c.prints("a\n1\nb\n2\nc\n3", "get", "", "--prefix")
}

func TestDebianWatch(t *testing.T) {
	c, _ := newCtl(t)
	c.prints("OK", "put", "a", "1")
	history := c.start("watch", "a", "--rev=2", "--prev-kv")
	for _, line := range []string{"PUT", "a", "1"} {
		history.line(line)
	}
	prefix := c.start("watch", "", "--prefix", "--rev=3", "--write-out=json")
	c.prints("OK", "put", "a", "2")
	for _, line := range []string{"PUT", "a", "1", "a", "2"} {
		history.line(line)
	}
	prefix.line(`\{"Header":\{"cluster_id":\d+,"member_id":\d+,"revision":3,"raft_term":2\},` +
		`"Events":\[\{"kv":\{"key":"YQ==","create_revision":2,"mod_revision":3,"version":2,"value":"Mg=="\}\}\],` +
		`"CompactRevision":0,"Canceled":false,"Created":false\}`)
	c.prints("1", "del", "a")
	for _, line := range []string{"DELETE", "a", "2", "a", ""} {
		history.line(line)
	}
	prefix.line(`.*"revision":4.*"type":1.*`)
	history.interrupt()
	prefix.interrupt()
}

func TestDebianCompaction(t *testing.T) {
	c, _ := newCtl(t)
	for _, value := range []string{"1", "2", "3"} {
		c.prints("OK", "put", "a", value)
	}
	c.prints("compacted revision 3", "compaction", "3")
	c.prints("compacted revision 4", "compaction", "4", "--physical")
	c.prints("a\n3", "get", "a", "--rev=4")
	c.fails("etcdserver: mvcc: required revision has been compacted", "get", "a", "--rev=3")
	c.fails("etcdserver: mvcc: required revision has been compacted", "compaction", "4")
	c.fails("etcdserver: mvcc: required revision is a future revision", "compaction", "5")
}
