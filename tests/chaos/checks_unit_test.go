package chaos

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"bowline/internal/testkit"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.uber.org/goleak"
)

func TestWatchersWantEachRevisionOnceInOrder(t *testing.T) {
	for _, c := range []struct {
		name      string
		revisions []int64
		fine      bool
	}{
		{"in order", []int64{6, 7, 9}, true},
		{"two events of one revision", []int64{6, 6, 7}, true},
		{"seen before", []int64{5, 6}, false},
		{"going back", []int64{7, 6}, false},
	} {
		var events []*mvccpb.Event
		for _, r := range c.revisions {
			events = append(events, &mvccpb.Event{Kv: &mvccpb.KeyValue{Key: []byte("k"), ModRevision: r}})
		}
		if _, _, err := decode(events, 5); (err == nil) != c.fine {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	a, b := event{Key: "a", Revision: 2}, event{Key: "b", Revision: 3}
	for revision, want := range map[int64]int{1: 0, 2: 1, 3: 2, 9: 2} {
		if got := upTo(revision, []event{a, b}); len(got) != want {
			t.Errorf("up to revision %d: %v", revision, got)
		}
	}
	for name, got := range map[string][]event{"missing": {a}, "another": {a, a}, "too many": {a, b, b}, "order": {b, a}} {
		if sameEvents("w", got, []event{a, b}) == nil {
			t.Errorf("%s: not found", name)
		}
	}
}

// TestKeeperNoticesALostLease revokes a lease behind the back of whoever keeps it.
func TestKeeperNoticesALostLease(t *testing.T) {
	s, err := testkit.StartServer(etcd.Path(t), t.TempDir(), &ports)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	c, err := dial(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.conn.Close() })
	k := &keeper{load: &load{conns: []*client{c}}, key: "kept"}
	k.turn(t.Context())
	k.turn(t.Context())
	if k.err() != nil || k.looks != 2 || k.kept != 1 {
		t.Fatalf("kept %d times, found %d times: %v", k.kept, k.looks, k.err())
	}
	if _, err := c.LeaseRevoke(t.Context(), &pb.LeaseRevokeRequest{ID: k.lease}); err != nil {
		t.Fatal(err)
	}
	k.look(t.Context(), c)
	if err := k.err(); err == nil || !strings.Contains(err.Error(), "is gone") {
		t.Errorf("the key's loss was not noticed: %v", err)
	}
}

// TestProxyCutsOneDirection sends lines both ways through a proxy.
func TestProxyCutsOneDirection(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	block, err := ports.Take()
	if err != nil {
		t.Fatal(err)
	}
	defer block.Release()
	p := newProxies()
	defer p.close()
	site, err := p.Site("b", block)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", site.Peer)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialer, err := net.Dial("tcp", site.Reached)
	if err != nil {
		t.Fatal(err)
	}
	defer dialer.Close()
	head := "GET /raft HTTP/1.1\r\nX-Server-From: a1\r\n\r\n"
	if _, err := io.WriteString(dialer, head); err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	in, out := bufio.NewReader(accepted), bufio.NewReader(dialer)
	for range strings.Count(head, "\n") {
		if _, err := in.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	// arrives tells whether a line that is sent arrives, or one that was held back.
	arrives := func(to net.Conn, from *bufio.Reader, reader net.Conn, line string) bool {
		if line != "" {
			fmt.Fprintln(to, line)
		}
		if err := reader.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		_, err := from.ReadString('\n')
		return err == nil
	}
	if err := p.isolate(context.Background(), map[string]string{"a1": "a"}, "b", []string{"a"}, true, false); err != nil {
		t.Fatal(err)
	}
	if arrives(dialer, in, accepted, "held") {
		t.Error("a line came through a link that is cut")
	}
	if !arrives(accepted, out, dialer, "passes") {
		t.Error("the other direction is cut too")
	}
	if err := p.heal(context.Background()); err != nil {
		t.Fatal(err)
	}
	if !arrives(nil, in, accepted, "") {
		t.Error("what was held back did not come when the link was mended")
	}
}
