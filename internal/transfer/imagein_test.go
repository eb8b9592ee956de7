package transfer

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"bowline/internal/engine"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// newDiskSide is a member on a real disk, which databases need.
func newDiskSide(t *testing.T, id uint64) *side {
	t.Helper()
	s := &side{t: t, id: id, dirs: Dirs{FS: vfs.Default, Dir: t.TempDir()}, held: make(map[uint64]int)}
	dir, err := s.dirs.Current()
	must(t, err)
	s.engine, err = engine.Open(dir, engineOptions(vfs.Default))
	must(t, err)
	s.build()
	return s
}

// onlyEtcds serves what an etcd has for states, and nothing of ours.
func onlyEtcds(s *side) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(ImagePath, s.receiver.ServeImage)
	return mux
}

// incomingLeft are the names of states that were begun.
func incomingLeft(t *testing.T, s *side) (left []string) {
	t.Helper()
	names, err := os.ReadDir(s.dirs.Dir)
	must(t, err)
	for _, n := range names {
		if strings.HasPrefix(n.Name(), incomingPrefix) || strings.HasPrefix(n.Name(), enginePrefix) {
			left = append(left, n.Name())
		}
	}
	return left
}

// TestAnImageIsTaken: the state that an etcd sends becomes the member's.
func TestAnImageIsTaken(t *testing.T) {
	leader, follower := newDiskSide(t, leaderID), newDiskSide(t, followerID)
	leader.write(300, 2000)
	follower.write(20, 10)
	must(t, leader.sender.Send(context.Background(), &link{id: followerID, handler: onlyEtcds(follower)}, message(followerID)))
	if follower.fsm.Applied() != leader.fsm.Applied() || follower.hash() != leader.hash() {
		t.Errorf("applied %d and hash %+v, want %d and %+v", follower.fsm.Applied(), follower.hash(), leader.fsm.Applied(), leader.hash())
	}
	if got, want := len(follower.fsm.Members().Members()), 3; got != want {
		t.Errorf("%d members", got)
	}
	follower.write(10, 10)
	leader.close()
	follower.close()
	if left := incomingLeft(t, follower); len(left) != 1 || left[0] != "engine-303-image" {
		t.Errorf("left: %q", left)
	}
}

// TestBadImages are refused, and leave nothing.
func TestBadImages(t *testing.T) {
	leader := newDiskSide(t, leaderID)
	leader.write(50, 100)
	var good []byte
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+ImagePath, func(w http.ResponseWriter, r *http.Request) {
		good, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusNoContent)
	})
	must(t, leader.sender.Send(context.Background(), &link{id: followerID, handler: mux}, message(followerID)))
	leader.close()
	n := binary.BigEndian.Uint64(good)
	change := func(f func(*raftpb.Message)) []byte {
		m := new(raftpb.Message)
		must(t, proto.Unmarshal(good[8:8+n], m))
		f(m)
		b, err := proto.Marshal(m)
		must(t, err)
		out := binary.BigEndian.AppendUint64(nil, uint64(len(b)))
		return append(append(out, b...), good[8+n:]...)
	}
	for name, c := range map[string]struct {
		body []byte
		code int
		text string
		full bool
	}{
		"a vote":         {change(func(m *raftpb.Message) { m.Type = raftpb.MsgVote.Enum() }), 400, "wrong raft message type", false},
		"for another":    {change(func(m *raftpb.Message) { m.To = proto.Uint64(3) }), 400, "for member 3", false},
		"from another":   {change(func(m *raftpb.Message) { m.From = proto.Uint64(3) }), 400, "of member 3", false},
		"another index":  {change(func(m *raftpb.Message) { m.Snapshot.Metadata.Index = proto.Uint64(99) }), 500, "holds the state up to entry 53, not 99", false},
		"too long":       {binary.BigEndian.AppendUint64(nil, maxImageMessage+1), 400, "error limit exceeded", false},
		"nothing":        {nil, 400, "failed to decode raft message", false},
		"noise":          {append(binary.BigEndian.AppendUint64(nil, 3), 0xff, 0xff, 0xff), 400, "failed to decode raft message", false},
		"cut":            {good[:len(good)-10_000], 500, "the file ends here", false},
		"no image":       {good[:8+n], 500, "invalid database", false},
		"on a full disk": {good, 507, "does not fit", true},
		"an old one":     {change(func(m *raftpb.Message) { m.Snapshot.Metadata.Index = proto.Uint64(2) }), 409, "is applied already", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newDiskSide(t, followerID)
			defer s.close()
			if c.full {
				s.receiver.cfg.Dirs.FS = fullFS{vfs.Default}
			}
			resp, err := (&link{id: followerID, handler: onlyEtcds(s)}).Do(context.Background(), http.MethodPost, ImagePath, http.Header{}, bytes.NewReader(c.body))
			must(t, err)
			text, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != c.code || !strings.Contains(string(text), c.text) {
				t.Errorf("%d %s, want %d %s", resp.StatusCode, text, c.code, c.text)
			}
			if left := incomingLeft(t, s); len(left) > 0 {
				t.Errorf("left: %q", left)
			}
		})
	}
}
