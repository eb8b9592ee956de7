package node

import (
	"testing"

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
