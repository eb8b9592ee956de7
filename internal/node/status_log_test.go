package node

import (
	"slices"
	"testing"

	"bowline/internal/wal"

	"go.etcd.io/raft/v3"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestRaftLoggerLeavesOutALineForEachProposal(t *testing.T) {
	core, seen := observer.New(zap.InfoLevel)
	l := raftLogger{zap.New(core).Sugar()}
	l.Infof("entry at index %d missing from unstable log; ignoring", 7)
	l.Infof("%x became leader at term %d", 1, 2)
	if all := seen.All(); len(all) != 1 || all[0].Message != "1 became leader at term 2" {
		t.Errorf("logged: %v", all)
	}
}

func TestEachChangeOfTheLeaderIsTold(t *testing.T) {
	core, seen := observer.New(zap.InfoLevel)
	l := loop{node: &Node{cfg: Config{ID: 0xa, Logger: zap.New(core)}}}
	for term, lead := range []uint64{raft.None, 0xb, 0xb, raft.None, 0xb, 0xa} {
		l.hard = wal.HardState{Term: uint64(term)}
		l.leadChanged(raft.SoftState{Lead: lead})
	}
	var got []string
	for _, e := range seen.All() {
		got = append(got, e.Message)
	}
	want := []string{"raft.node: a elected leader b at term 1", "raft.node: a lost leader b at term 3",
		"raft.node: a elected leader b at term 4", "raft.node: a changed leader from b to a at term 5"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
