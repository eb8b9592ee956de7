package cluster

import (
	"errors"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
)

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

// TestTheLastVoterStays: learners do not make up for it.
func TestTheLastVoterStays(t *testing.T) {
	for name, c := range map[string]struct {
		members []Member
		remove  uint64
		want    error
	}{
		"alone":                {[]Member{{ID: 1}}, 1, ErrNotEnoughStarted},
		"beside learners":      {[]Member{{ID: 1}, {ID: 2, IsLearner: true}, {ID: 3, IsLearner: true}}, 1, ErrNotEnoughStarted},
		"a learner beside it":  {[]Member{{ID: 1}, {ID: 2, IsLearner: true}}, 2, nil},
		"one of two":           {[]Member{{ID: 1}, {ID: 2}, {ID: 3, IsLearner: true}}, 1, nil},
		"one that is not here": {[]Member{{ID: 1}}, 2, ErrIDNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			v := NewView(c.members, nil)
			next, err := v.Apply(&raftpb.ConfChange{Type: raftpb.ConfChangeType_ConfChangeRemoveNode.Enum(), NodeId: &c.remove}, 0)
			if !errors.Is(err, c.want) {
				t.Fatalf("%v, want %v", err, c.want)
			}
			if err == nil && next.Member(c.remove) != nil {
				t.Error("it is still there")
			}
		})
	}
}
