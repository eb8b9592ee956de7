package transport

import (
	"context"
	"errors"
	"net"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// fakeRaft remembers what it is given.
type fakeRaft struct {
	mu          sync.Mutex
	changed     chan struct{}
	received    []*raftpb.Message
	unreachable map[uint64]int
	snapshots   map[uint64][]raft.SnapshotStatus
	removed     map[uint64]bool
	told        error // by OnRemoved
	busy        bool  // takes nothing
}

func newFakeRaft() *fakeRaft {
	return &fakeRaft{changed: make(chan struct{}), unreachable: map[uint64]int{}, removed: map[uint64]bool{},
		snapshots: map[uint64][]raft.SnapshotStatus{}}
}

func (r *fakeRaft) change(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *fakeRaft) Step(messages ...*raftpb.Message) (taken int) {
	r.change(func() {
		if !r.busy {
			r.received = append(r.received, messages...)
			taken = len(messages)
		}
	})
	return taken
}

func (r *fakeRaft) ReportUnreachable(id uint64) { r.change(func() { r.unreachable[id]++ }) }

func (r *fakeRaft) ReportSnapshot(id uint64, status raft.SnapshotStatus) {
	r.change(func() { r.snapshots[id] = append(r.snapshots[id], status) })
}

func (r *fakeRaft) Removed(id uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.removed[id]
}

func (r *fakeRaft) onRemoved(err error) { r.change(func() { r.told = err }) }

// ofType returns what has been received of one type, in order.
func (r *fakeRaft) ofType(kind raftpb.MessageType) []*raftpb.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.received), func(m *raftpb.Message) bool { return m.GetType() != kind })
}

// await waits for a condition, which is called with the lock held.
func (r *fakeRaft) await(t testing.TB, what string, condition func() bool) {
	t.Helper()
	timeout := time.After(time.Minute)
	for {
		r.mu.Lock()
		ok, changed := condition(), r.changed
		r.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// endpoint is what a Transport and an Endpoint have in common.
type endpoint interface {
	Send([]*raftpb.Message)
	AddPeer(id uint64, urls []string) error
	AddRemote(id uint64, urls []string) error
	UpdatePeer(id uint64, urls []string) error
	RemovePeer(id uint64)
	ActiveSince(id uint64) time.Time
	Drops() []Drop
	Stop()
}

// rig is a kind of network that the suite runs on.
type rig interface {
	// start starts a member, again if there was one; it is stopped when the test ends.
	start(id uint64, r *fakeRaft, send func(to uint64, m *raftpb.Message) error) endpoint
	urls(id uint64) []string
	stop(id uint64)
	// await waits for a condition of what a raft was told; repeat does something again and again meanwhile.
	await(r *fakeRaft, what string, condition func() bool)
	repeat(r *fakeRaft, what string, do func(), condition func() bool)
	// ready waits until both kinds of streams lead from one member to another.
	ready(from, to uint64)
}

const testCluster = 0xc1

// httpRig has members on loopback addresses that stay theirs.
type httpRig struct {
	t       testing.TB
	members map[uint64]*httpMember
}

type httpMember struct {
	transport *Transport
	server    *httptest.Server
	address   string
}

func newHTTPRig(t testing.TB) *httpRig {
	r := &httpRig{t: t, members: map[uint64]*httpMember{}}
	t.Cleanup(func() {
		for id := range r.members {
			r.stop(id)
		}
	})
	return r
}

// member is the one of that ID, whose address is settled when it is first asked for.
func (r *httpRig) member(id uint64) *httpMember {
	m := r.members[id]
	if m == nil {
		m = &httpMember{address: "127.0.0.1:0"}
		r.members[id] = m
		m.listen(r.t)
	}
	return m
}

func (m *httpMember) listen(t testing.TB) {
	l, err := net.Listen("tcp", m.address)
	if err != nil {
		t.Fatal(err)
	}
	m.address = l.Addr().String()
	m.server = httptest.NewUnstartedServer(nil)
	m.server.Listener.Close()
	m.server.Listener = l
}

func (r *httpRig) urls(id uint64) []string { return []string{"http://" + r.member(id).address} }

func (r *httpRig) config(id uint64, f *fakeRaft) Config {
	urls := r.urls(id)
	return Config{ID: id, ClusterID: testCluster, Version: "3.7.1", MinClusterVersion: "3.0.0", Raft: f,
		PeerURLs: func() []string { return urls }, OnRemoved: f.onRemoved}
}

func (r *httpRig) start(id uint64, f *fakeRaft, send func(uint64, *raftpb.Message) error) endpoint {
	m := r.member(id)
	if m.transport != nil {
		r.stop(id)
		m.listen(r.t)
	}
	cfg := r.config(id, f)
	if send != nil {
		cfg.SendSnapshot = func(_ context.Context, to Destination, m *raftpb.Message) error { return send(to.ID(), m) }
	}
	var err error
	if m.transport, err = New(cfg); err != nil {
		r.t.Fatal(err)
	}
	m.server.Config.Handler = m.transport.Handler()
	m.server.Start()
	return m.transport
}

func (r *httpRig) stop(id uint64) {
	m := r.members[id]
	if m == nil || m.server == nil {
		return
	}
	if m.transport != nil {
		m.transport.Stop()
	}
	m.server.CloseClientConnections()
	m.server.Listener.Close()
	m.server.Close()
	m.server = nil
}

func (r *httpRig) await(f *fakeRaft, what string, condition func() bool) {
	r.t.Helper()
	f.await(r.t, what, condition)
}

func (r *httpRig) repeat(f *fakeRaft, what string, do func(), condition func() bool) {
	r.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		do()
		f.mu.Lock()
		done, changed := condition(), f.changed
		f.mu.Unlock()
		if done {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("waited in vain for %s", what)
		}
		select {
		case <-changed:
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (r *httpRig) ready(from, to uint64) {
	r.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !r.attached(from, to) {
		if time.Now().After(deadline) {
			r.t.Fatalf("no streams from %d to %d", from, to)
		}
		<-time.After(time.Millisecond)
	}
}

func (r *httpRig) attached(from, to uint64) bool {
	p := r.members[from].transport.peer(to)
	if p == nil {
		return false
	}
	for kind := range p.outlets {
		o := &p.outlets[kind]
		o.mu.Lock()
		held := o.holder != nil
		o.mu.Unlock()
		if !held {
			return false
		}
	}
	return true
}

// memoryRig is a Network whose time stands still.
type memoryRig struct {
	t       testing.TB
	net     *Network
	members map[uint64]*Endpoint
}

func newMemoryRig(t testing.TB) *memoryRig {
	start := time.Unix(1, 0)
	return &memoryRig{t, NewNetwork(func() time.Time { return start }), map[uint64]*Endpoint{}}
}

type memoryEndpoint struct{ *Endpoint }

func (e memoryEndpoint) Drops() []Drop { return e.net.Drops() }

func (r *memoryRig) start(id uint64, f *fakeRaft, send func(uint64, *raftpb.Message) error) endpoint {
	r.members[id] = r.net.Join(Member{ID: id, Raft: f, SendSnapshot: send, OnRemoved: f.onRemoved})
	return memoryEndpoint{r.members[id]}
}

func (r *memoryRig) stop(id uint64)       { r.members[id].Stop() }
func (r *memoryRig) urls(uint64) []string { return nil }
func (r *memoryRig) ready(_, _ uint64)    {}

func (r *memoryRig) await(f *fakeRaft, what string, condition func() bool) {
	r.t.Helper()
	r.net.Deliver()
	f.mu.Lock()
	defer f.mu.Unlock()
	if !condition() {
		r.t.Fatalf("not there: %s", what)
	}
}

func (r *memoryRig) repeat(f *fakeRaft, what string, do func(), condition func() bool) {
	r.t.Helper()
	do()
	r.await(f, what, condition)
}

var errNoState = errors.New("no state")

// Messages for tests.

func message(kind raftpb.MessageType, from, to, term uint64) *raftpb.Message {
	return &raftpb.Message{Type: &kind, From: &from, To: &to, Term: &term}
}

func appendOf(from, to, term, after, commit uint64, data ...string) *raftpb.Message {
	m := message(raftpb.MsgApp, from, to, term)
	m.Index, m.LogTerm, m.Commit = proto.Uint64(after), proto.Uint64(term), proto.Uint64(commit)
	for i, d := range data {
		m.Entries = append(m.Entries, &raftpb.Entry{Term: proto.Uint64(term), Index: proto.Uint64(after + uint64(i) + 1), Data: []byte(d)})
	}
	return m
}
