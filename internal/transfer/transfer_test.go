package transfer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"bowline/internal/node"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/raft/v3/raftpb"
)

func pair(t *testing.T) (leader, follower *side, to *link) {
	leader, follower = newSide(t, leaderID, vfs.NewCrashableMem()), newSide(t, followerID, vfs.NewCrashableMem())
	return leader, follower, &link{id: followerID, handler: follower.receiver}
}

func checkSame(t *testing.T, leader, follower *side) {
	t.Helper()
	if a, b := leader.hash(), follower.hash(); a != b || leader.fsm.Applied() != follower.fsm.Applied() {
		t.Errorf("the follower is at %d with %+v, the leader at %d with %+v", follower.fsm.Applied(), b, leader.fsm.Applied(), a)
	}
	if left := append(leader.left(), follower.left()...); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// TestSend moves states that grow; what the follower has from the last time is not
// sent again.
func TestSend(t *testing.T) {
	leader, follower, to := pair(t)
	ctx := context.Background()
	leader.write(2000, 3000)
	leader.settle()
	must(t, leader.sender.Send(ctx, to, message(followerID)))
	checkSame(t, leader, follower)
	if at := follower.taken[0].GetSnapshot().GetMetadata(); at.GetIndex() != 2003 || at.GetTerm() != 1 || len(at.GetConfState().GetVoters()) != 3 {
		t.Errorf("the message names %v", at)
	}
	first := to.bytes
	leader.write(20, 100)
	must(t, leader.sender.Send(ctx, to, message(followerID)))
	checkSame(t, leader, follower)
	if second := to.bytes - first; second > first/4 {
		t.Errorf("%d bytes the first time, %d the second", first, second)
	}
	// Nothing is new: nothing is sent.
	before := to.n
	must(t, leader.sender.Send(ctx, to, message(followerID)))
	if to.n != before+1 {
		t.Errorf("%d requests to send nothing", to.n-before)
	}
	// The log is held from the states on, for a while.
	if leader.held[2003] != 1 || leader.held[2023] == 0 {
		t.Errorf("held: %v", leader.held)
	}
	follower.write(5, 10)
	leader.close()
	follower.close()
	follower.open() // the pointer file names what was installed
	if follower.fsm.Applied() != 2028 {
		t.Errorf("reopened at %d", follower.fsm.Applied())
	}
	follower.close()
}

// TestBreaksAreResumed breaks the connection at each seventh request, with the request
// lost or its answer: each attempt gets further with the tables, which are the bulk, and
// few bytes travel twice.
func TestBreaksAreResumed(t *testing.T) {
	leader, follower, to := pair(t)
	leader.write(3000, 3000)
	leader.settle()
	broken := errors.New("broken")
	to.tamper = func(n int, _ string, header http.Header, b []byte) ([]byte, error) {
		if n%7 == 0 {
			return nil, broken
		}
		return b, nil
	}
	to.lose = func(n int) error {
		if n%14 == 4 {
			return broken
		}
		return nil
	}
	attempts := 0
	for {
		attempts++
		err := leader.sender.Send(context.Background(), to, message(followerID))
		if err == nil {
			break
		}
		if !errors.Is(err, broken) || attempts > 200 {
			t.Fatalf("attempt %d: %v", attempts, err)
		}
	}
	if attempts < 2 {
		t.Errorf("%d attempts", attempts)
	}
	checkSame(t, leader, follower)
	if size := leader.engine.Size().Total; to.bytes > 2*size {
		t.Errorf("%d bytes for a state of %d", to.bytes, size)
	}
	leader.close()
	follower.close()
}

// TestDamage: a chunk changed on its way, with and without a checksum that fits, is
// noticed, and the next attempt is whole.
func TestDamage(t *testing.T) {
	for _, fits := range []bool{false, true} {
		leader, follower, to := pair(t)
		leader.write(500, 1000)
		var done atomic.Bool
		to.tamper = func(_ int, path string, header http.Header, b []byte) ([]byte, error) {
			if path == pathChunk && len(b) > 1000 && done.CompareAndSwap(false, true) {
				b[500] ^= 1
				if fits {
					header.Set(headerChecksum, checksumOf(b))
				}
			}
			return b, nil
		}
		err := leader.sender.Send(context.Background(), to, message(followerID))
		want := "damaged on its way"
		if fits {
			want = "has checksum"
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a damaged chunk: %v", err)
		}
		if follower.fsm.Applied() != 3 || len(follower.taken) != 0 {
			t.Error("a damaged state was taken")
		}
		must(t, leader.sender.Send(context.Background(), to, message(followerID)))
		checkSame(t, leader, follower)
		leader.close()
		follower.close()
	}
}

// TestRaftRefuses: a state that raft has no use for leaves no trace.
func TestRaftRefuses(t *testing.T) {
	leader, follower, to := pair(t)
	leader.write(10, 10)
	follower.step = func(*raftpb.Message) error { return node.ErrNotTaken }
	if err := leader.sender.Send(context.Background(), to, message(followerID)); err == nil || !strings.Contains(err.Error(), "no use") {
		t.Errorf("a state that raft refuses: %v", err)
	}
	names, err := follower.fs.List("member")
	must(t, err)
	if fmt.Sprint(names) != "[engine]" {
		t.Errorf("left: %q", names)
	}
	if err := leader.sender.Send(context.Background(), &link{id: 77, handler: follower.receiver}, message(77)); err == nil {
		t.Error("a state was sent to one that is no member in it")
	}
	if len(leader.left()) > 0 || leader.held[13] != 0 {
		t.Errorf("left: %q, held %v", leader.left(), leader.held)
	}
	leader.close()
	follower.close()
}

// TestStatesAreShared: who asks soon after gets the same checkpoint; there are never
// more than two, and they go with who uses them.
func TestStatesAreShared(t *testing.T) {
	leader := newSide(t, leaderID, vfs.NewCrashableMem())
	leader.write(10, 10)
	s, ctx := leader.sender.states, context.Background()
	now := s.now()
	s.now = func() time.Time { return now }
	a, err := s.acquire(ctx)
	must(t, err)
	b, err := s.acquire(ctx)
	must(t, err)
	if a != b {
		t.Error("two checkpoints at once")
	}
	now = now.Add(shareAge)
	c, err := s.acquire(ctx)
	must(t, err)
	if c == a {
		t.Error("an old checkpoint is shared")
	}
	now = now.Add(shareAge)
	if _, err := s.acquire(ctx); !errors.Is(err, ErrTooMany) {
		t.Errorf("a third: %v", err)
	}
	for _, st := range []*state{a, b, c} {
		s.release(st)
	}
	if len(leader.left()) > 0 || leader.held[13] != 0 {
		t.Errorf("left: %q, held %v", leader.left(), leader.held)
	}
	leader.close()
}
