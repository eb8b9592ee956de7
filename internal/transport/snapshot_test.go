package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// TestRefusedStatesAreNotSentAgainAtOnce: raft, which sends the next when it hears that one
// failed, hears later and later, and the log tells of each kind of failure once in a row.
func TestRefusedStatesAreNotSentAgainAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, sent := newFakeRaft(), 0
		var outcome func() error
		core, logs := observer.New(zapcore.WarnLevel)
		tr, err := New(Config{ID: 1, ClusterID: testCluster, Version: "3.7.1", MinClusterVersion: "3.0.0", Raft: f, Logger: zap.New(core),
			Dial:         func(context.Context, string, string) (net.Conn, error) { return nil, net.ErrClosed },
			SendSnapshot: func(context.Context, Destination, *raftpb.Message) error { sent++; return outcome() }})
		if err != nil {
			t.Fatal(err)
		}
		mustAdd(t, tr.AddRemote(2, []string{"http://two:2380"}))
		m := message(raftpb.MsgSnap, 1, 2, 3)
		full := func() error { return fmt.Errorf("the state of entry %d: no room", sent) }
		for i, c := range []struct {
			outcome func() error
			took    time.Duration // until raft hears
			logged  int
		}{
			{full, 100 * time.Millisecond, 1},
			{full, 200 * time.Millisecond, 1},
			{full, 400 * time.Millisecond, 1},
			{full, 800 * time.Millisecond, 1},
			{full, 1600 * time.Millisecond, 1},
			{full, 3200 * time.Millisecond, 1},
			{full, 5 * time.Second, 1},
			{full, 5 * time.Second, 1},
			{func() error { return errors.New("removed member") }, 5 * time.Second, 2},
			{full, 5 * time.Second, 3},
			{func() error { return nil }, 0, 3},
			{full, 100 * time.Millisecond, 4},
		} {
			outcome = c.outcome
			start := time.Now()
			tr.Send([]*raftpb.Message{m})
			f.await(t, "a report", func() bool { return len(f.snapshots[2]) == i+1 })
			if took, logged := time.Since(start), logs.FilterMessage("failed to send database snapshot").Len(); took != c.took || logged != c.logged {
				t.Errorf("state %d: raft heard after %v, want %v; %d lines, want %d", i+1, took, c.took, logged, c.logged)
			}
			if sent != i+1 {
				t.Errorf("%d states were sent, want %d", sent, i+1)
			}
		}
		outcome = full
		tr.Send([]*raftpb.Message{m})
		start := time.Now()
		tr.Stop() // does not wait for the pause to be over
		if took := time.Since(start); took != 0 {
			t.Errorf("stopped after %v", took)
		}
	})
}
