package node

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"bowline/internal/wal"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// machine is a replicated state that remembers every entry.
type machine struct {
	mu      sync.Mutex
	entries []*raftpb.Entry // index i+1 at i
	conf    *raftpb.ConfState
	changed chan struct{}
	waiting map[string]chan struct{}
	refuse  func(*raftpb.ConfChange) bool
	fail    error
}

func newMachine() *machine {
	return &machine{changed: make(chan struct{}), waiting: map[string]chan struct{}{}, conf: &raftpb.ConfState{}}
}

func (m *machine) Apply(entries []*raftpb.Entry, conf ConfChanger) error {
	if m.fail != nil {
		return m.fail
	}
	for _, e := range entries {
		if e.GetType() == raftpb.EntryConfChange {
			var cc raftpb.ConfChange
			if err := proto.Unmarshal(e.GetData(), &cc); err != nil {
				return err
			}
			var now *raftpb.ConfState
			if m.refuse != nil && m.refuse(&cc) {
				now = conf.RefuseConfChange(e.GetIndex())
			} else {
				now = conf.ApplyConfChange(e.GetIndex(), &cc)
			}
			if now == nil {
				return ErrStopped
			}
			m.mu.Lock()
			m.conf = now
			m.mu.Unlock()
		}
		m.mu.Lock()
		if e.GetIndex() <= uint64(len(m.entries)) { // overtaken by an installed snapshot
			m.mu.Unlock()
			continue
		}
		if e.GetIndex() != uint64(len(m.entries))+1 {
			m.mu.Unlock()
			return fmt.Errorf("entry %d applied after %d", e.GetIndex(), len(m.entries))
		}
		m.entries = append(m.entries, e)
		if w := m.waiting[string(e.GetData())]; w != nil {
			close(w)
			delete(m.waiting, string(e.GetData()))
		}
		m.mu.Unlock()
	}
	m.mu.Lock()
	m.tellLocked()
	m.mu.Unlock()
	return nil
}

func (m *machine) tellLocked() {
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *machine) log() []*raftpb.Entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.entries[:len(m.entries):len(m.entries)]
}

// payloads are the entries' data, without those of raft's own.
func (m *machine) payloads() (out []string) {
	for _, e := range m.log() {
		if e.GetType() == raftpb.EntryNormal && len(e.GetData()) > 0 {
			out = append(out, string(e.GetData()))
		}
	}
	return out
}

// waitApplied waits until n entries have been applied.
func (m *machine) waitApplied(t testing.TB, n uint64) {
	t.Helper()
	timeout := time.After(time.Minute)
	for {
		m.mu.Lock()
		have, changed := uint64(len(m.entries)), m.changed
		m.mu.Unlock()
		if have >= n {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("applied %d entries, waited for %d", have, n)
		}
	}
}

// write proposes data and waits until it is applied here.
func (mb *member) write(data string) error {
	done := make(chan struct{})
	mb.machine.mu.Lock()
	mb.machine.waiting[data] = done
	mb.machine.mu.Unlock()
	if err := mb.node.Propose(context.Background(), []byte(data)); err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-mb.node.Done():
		return ErrStopped
	}
}

// member is a node with its disk and its state.
type member struct {
	id      uint64
	fs      *vfs.MemFS
	log     *wal.Log
	node    *Node
	machine *machine
	fatal   chan error
}

// cluster is a number of members and the network between them.
type cluster struct {
	t       testing.TB
	members map[uint64]*member
	tweak   func(*Config)

	mu  sync.Mutex // guards the fields below
	run map[uint64]*Node
	cut map[uint64]bool
}

func newCluster(t testing.TB) *cluster {
	return &cluster{t: t, members: map[uint64]*member{}, run: map[uint64]*Node{}, cut: map[uint64]bool{}}
}

// start starts a member on a disk, which may be new, with the state that it had, which may be empty.
func (c *cluster) start(id uint64, fs *vfs.MemFS, m *machine) *member {
	c.t.Helper()
	opts := wal.Options{FS: fs, Dir: "wal", SegmentBytes: 100_000}
	if !wal.Exists(fs, "wal") {
		log, err := wal.Create(opts, wal.Metadata{NodeID: id, ClusterID: 9})
		must(c.t, err)
		must(c.t, log.Close())
	}
	applied := uint64(len(m.log()))
	log, recovered, err := wal.Open(opts, applied)
	must(c.t, err)
	mb := &member{id: id, fs: fs, log: log, machine: m, fatal: make(chan error, 1)}
	cfg := Config{
		ID: id, Log: log, Recovered: recovered, Applied: applied, ConfState: m.conf, PreVote: true, Apply: m,
		Send:    func(messages []*raftpb.Message) { c.send(id, messages) },
		OnFatal: func(err error) { mb.fatal <- err },
	}
	if c.tweak != nil {
		c.tweak(&cfg)
	}
	mb.node, err = Start(cfg)
	must(c.t, err)
	c.mu.Lock()
	c.run[id] = mb.node
	c.mu.Unlock()
	c.members[id] = mb
	return mb
}

func (c *cluster) send(from uint64, messages []*raftpb.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range messages {
		to := c.run[m.GetTo()]
		if to == nil || c.cut[from] || c.cut[m.GetTo()] {
			continue
		}
		m = proto.Clone(m).(*raftpb.Message)
		if m.GetType() == raftpb.MsgSnap {
			go func() { _ = to.StepSnapshot(context.Background(), m) }() // raft need not take it
			continue
		}
		to.Step(m)
	}
}

func (c *cluster) isolate(id uint64, cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut[id] = cut
}

// stop ends a member without closing its log, as a crash would.
func (c *cluster) stop(id uint64) *member {
	c.mu.Lock()
	delete(c.run, id)
	c.mu.Unlock()
	mb := c.members[id]
	mb.node.Stop()
	delete(c.members, id)
	return mb
}

func (c *cluster) stopAll() {
	for id := range c.members {
		must(c.t, c.stop(id).log.Close())
	}
}

// startVoters starts new members that are all voters.
func (c *cluster) startVoters(ids ...uint64) {
	for _, id := range ids {
		m := newMachine()
		m.conf = &raftpb.ConfState{Voters: ids}
		c.start(id, vfs.NewCrashableMem(), m)
	}
}

// bootstrap starts the first member of a cluster whose configuration is in its log, as others will need it.
func (c *cluster) bootstrap(id uint64) *member {
	c.t.Helper()
	fs := vfs.NewCrashableMem()
	log, err := wal.Create(wal.Options{FS: fs, Dir: "wal"}, wal.Metadata{NodeID: id, ClusterID: 9})
	must(c.t, err)
	kind, data, err := raftpb.MarshalConfChange(confChange(raftpb.ConfChangeAddNode, id))
	must(c.t, err)
	first := &raftpb.Entry{Index: new(uint64(1)), Term: new(uint64(1)), Type: &kind, Data: data}
	must(c.t, log.Append([]*raftpb.Entry{first}, wal.HardState{Term: 1, Commit: 1}))
	must(c.t, log.Close())
	return c.start(id, fs, newMachine())
}

// leader waits for a leader that the others follow.
func (c *cluster) leader() *member {
	c.t.Helper()
	for range 1000 {
		counts := map[uint64]int{}
		for _, mb := range c.members {
			counts[mb.node.Status().Leader]++
		}
		for id, n := range counts {
			if mb := c.members[id]; mb != nil && n > len(c.members)/2 && mb.node.Status().State == raft.StateLeader {
				return mb
			}
		}
		<-time.After(10 * time.Millisecond)
	}
	c.t.Fatal("no leader")
	return nil
}

// checkAgree waits until all members have applied the same, and compares it.
func (c *cluster) checkAgree() {
	c.t.Helper()
	lead := c.leader()
	last := lead.node.Commit()
	lead.machine.waitApplied(c.t, last)
	for _, mb := range c.members {
		mb.machine.waitApplied(c.t, last)
		for i, e := range mb.machine.log()[:last] {
			if !proto.Equal(e, lead.machine.log()[i]) {
				c.t.Fatalf("members %d and %d differ at index %d", mb.id, lead.id, i+1)
			}
		}
	}
}
