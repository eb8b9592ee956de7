package cluster

import "testing"

func TestIDsAreEtcds(t *testing.T) {
	// Observed on etcd: a static single member with the default token.
	id := MemberID([]string{"http://127.0.0.1:21002"}, "etcd-cluster")
	if id != 0x6d9b916f3baf8a3e {
		t.Errorf("member ID %x, want 6d9b916f3baf8a3e", id)
	}
	if got := ID([]uint64{id}); got != 0xdb5ec434d3beeac9 {
		t.Errorf("cluster ID %x, want db5ec434d3beeac9", got)
	}
}
