package transfer

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"bowline/internal/cluster"
	"bowline/internal/engine"
	"bowline/internal/fsm"
	"bowline/internal/mvcc"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	leaderID, followerID = 1, 2
	clusterID            = 9
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// side is a member's state, without a node.
type side struct {
	t         testing.TB
	id        uint64
	fs        *vfs.MemFS
	dirs      Dirs
	engine    *engine.Engine
	fsm       *fsm.FSM
	installer *Installer
	sender    *Sender
	receiver  *Receiver

	mu    sync.Mutex // guards the fields below
	held  map[uint64]int
	taken []*raftpb.Message
	step  func(*raftpb.Message) error
}

func newSide(t testing.TB, id uint64, fs *vfs.MemFS) *side {
	t.Helper()
	must(t, fs.MkdirAll("member", 0o700))
	s := &side{t: t, id: id, fs: fs, dirs: Dirs{FS: fs, Dir: "member"}, held: make(map[uint64]int)}
	s.open()
	return s
}

func engineOptions(fs vfs.FS) engine.Options {
	return engine.Options{FS: fs, CacheBytes: 1 << 20, MemTableBytes: 256 << 10, Logger: zap.NewNop()}
}

func (s *side) open() {
	s.t.Helper()
	dir, err := s.dirs.Current()
	must(s.t, err)
	s.engine, err = engine.Open(dir, engineOptions(s.fs))
	must(s.t, err)
	s.build()
}

// build makes everything above the engine.
func (s *side) build() {
	s.t.Helper()
	at, err := fsm.ReadApplied(s.engine, false)
	must(s.t, err)
	if at.Index == 0 {
		members := []cluster.Member{{ID: leaderID, PeerURLs: []string{"http://a"}}, {ID: followerID, PeerURLs: []string{"http://b"}},
			{ID: 3, PeerURLs: []string{"http://c"}}}
		must(s.t, fsm.Bootstrap(s.engine, members, fsm.Position{Index: 3, Term: 1}))
	}
	s.fsm, err = fsm.Open(fsm.Config{
		Engine: s.engine, Deliver: func(uint64, fsm.Result) {}, Publish: func(int64, []mvcc.Event, bool) {},
		LeaseGranted: func(int64, int64) {}, LeaseRevoked: func(int64) {}, EmptyEntry: func(uint64) {},
		Fatal: func(err error) { s.t.Error(err) },
	})
	must(s.t, err)
	s.installer = &Installer{Dirs: s.dirs, Engine: s.engine, FSM: s.fsm, Logger: zap.NewNop()}
	s.sender = NewSender(SenderConfig{Dirs: s.dirs, Engine: s.engine, FSM: s.fsm, HoldLog: s.hold})
	s.receiver = NewReceiver(ReceiverConfig{
		ID: s.id, ClusterID: clusterID, Dirs: s.dirs, Engine: s.engine, Step: s.stepSnapshot,
		Applied: func() uint64 { return s.fsm.Applied() }, WaitApplied: s.installer.WaitApplied,
	})
}

func (s *side) close() {
	s.t.Helper()
	if err := s.fsm.Check(context.Background()); err != nil {
		s.t.Errorf("member %d: %v", s.id, err)
	}
	must(s.t, s.engine.Close())
}

func (s *side) hold(index uint64) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[index]++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.held[index]--
	})
}

// stepSnapshot takes every state and installs it, as a node does.
func (s *side) stepSnapshot(_ context.Context, m *raftpb.Message) error {
	s.mu.Lock()
	s.taken = append(s.taken, m)
	step := s.step
	s.mu.Unlock()
	if step != nil {
		return step(m)
	}
	return s.installer.Install(m.GetSnapshot())
}

// write applies n puts of size bytes.
func (s *side) write(n, size int) {
	s.t.Helper()
	for range n {
		index := s.fsm.Applied() + 1
		value := make([]byte, size)
		_, _ = rand.NewChaCha8([32]byte{byte(index), byte(index >> 8)}).Read(value) // never fails
		data, err := proto.Marshal(&pb.InternalRaftRequest{Header: &pb.RequestHeader{ID: index},
			Put: &pb.PutRequest{Key: fmt.Appendf(nil, "k%d", index%500), Value: value}})
		must(s.t, err)
		must(s.t, s.fsm.Apply([]*raftpb.Entry{{Index: &index, Term: proto.Uint64(1), Data: data}}, nil))
	}
}

// settle has the engine rewrite its tables, so that it does not do so later.
func (s *side) settle() {
	s.t.Helper()
	must(s.t, s.engine.Flush())
	must(s.t, s.engine.Reclaim(context.Background()))
}

func (s *side) hash() mvcc.Hash {
	s.t.Helper()
	h, _, err := s.fsm.Store().HashKV(context.Background(), 0)
	must(s.t, err)
	return h
}

// message is what raft asks to be sent.
func message(to uint64) *raftpb.Message {
	return &raftpb.Message{Type: raftpb.MsgSnap.Enum(), From: proto.Uint64(leaderID), To: &to, Term: proto.Uint64(1),
		Snapshot: &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{Index: proto.Uint64(1), Term: proto.Uint64(1)}}}
}

// link is a Peer that calls a handler, with what a network does to it.
type link struct {
	id      uint64
	handler http.Handler
	// tamper may change a request, or fail in its place. n counts requests.
	tamper func(n int, path string, header http.Header, body []byte) ([]byte, error)

	// lose may drop the answer to the n-th request.
	lose func(n int) error

	mu    sync.Mutex // guards the fields below
	n     int
	bytes int64
	paths []string
}

func (l *link) ID() uint64 { return l.id }

func (l *link) Do(ctx context.Context, method, path string, header http.Header, body io.Reader) (*http.Response, error) {
	b, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	header = header.Clone()
	header.Set(headerCluster, fmt.Sprintf("%x", clusterID))
	header.Set(headerFrom, fmt.Sprintf("%x", leaderID))
	l.mu.Lock()
	l.n++
	n := l.n
	l.paths = append(l.paths, path)
	if path == pathChunk {
		l.bytes += int64(len(b))
	}
	l.mu.Unlock()
	if l.tamper != nil {
		if b, err = l.tamper(n, path, header, b); err != nil {
			return nil, err
		}
	}
	req := httptest.NewRequestWithContext(ctx, method, path, bytes.NewReader(b))
	req.Header = header
	w := httptest.NewRecorder()
	l.handler.ServeHTTP(w, req)
	if l.lose != nil {
		if err := l.lose(n); err != nil {
			return nil, err
		}
	}
	return w.Result(), nil
}

// left are the names in a member's directory that only a transfer leaves.
func (s *side) left() (left []string) {
	s.t.Helper()
	names, err := s.fs.List("member")
	must(s.t, err)
	for _, n := range names {
		if strings.HasPrefix(n, incomingPrefix) || strings.HasPrefix(n, statePrefix) {
			left = append(left, n)
		}
	}
	return left
}
