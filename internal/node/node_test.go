package node

import (
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// processorTime is what this process has used, in user and system mode.
func processorTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// waitFor waits until the status of n, which changes with its role or leader, satisfies ok.
func waitFor(t testing.TB, n *Node, ok func(Status) bool) {
	t.Helper()
	timeout := time.After(time.Minute)
	for {
		changed := n.LeaderChanged()
		if ok(n.Status()) {
			return
		}
		select {
		case <-changed:
		case <-time.After(10 * time.Millisecond): // commit and applied indexes have no channel
		case <-timeout:
			t.Fatalf("timed out; status %+v", n.Status())
		}
	}
}
