package cluster

import (
	"encoding/json"
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

// TestRefusalsOfAdditions: of several, the first is the one that etcd tells.
func TestRefusalsOfAdditions(t *testing.T) {
	v := NewView([]Member{{ID: 1, PeerURLs: []string{"http://a:1"}}, {ID: 2, PeerURLs: []string{"http://b:1"}, IsLearner: true}}, []uint64{3})
	for name, c := range map[string]struct {
		add  Member
		want error
	}{
		"removed, its URL taken, one learner too many":     {Member{ID: 3, PeerURLs: []string{"http://b:1"}, IsLearner: true}, ErrIDRemoved},
		"a member, its URL taken, one learner too many":    {Member{ID: 2, PeerURLs: []string{"http://b:1"}, IsLearner: true}, ErrIDExists},
		"a URL that is taken, one learner too many":        {Member{ID: 4, PeerURLs: []string{"http://b:1"}, IsLearner: true}, ErrPeerURLExists},
		"one learner too many":                             {Member{ID: 4, PeerURLs: []string{"http://c:1"}, IsLearner: true}, ErrTooManyLearners},
		"a voter, for which learners are not too many yet": {Member{ID: 4, PeerURLs: []string{"http://c:1"}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			context, err := json.Marshal(ChangeContext{Member: c.add})
			if err != nil {
				t.Fatal(err)
			}
			_, err = v.Apply(&raftpb.ConfChange{Type: raftpb.ConfChangeType_ConfChangeAddLearnerNode.Enum(), NodeId: &c.add.ID, Context: context}, 1)
			if !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}
