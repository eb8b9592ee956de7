package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"bowline/internal/cluster"
	"bowline/internal/engine"
	"bowline/internal/fsm"
	"bowline/internal/transfer"
	"bowline/internal/transport"
	"bowline/internal/wal"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

// world is a cluster and everything around it.
type world struct {
	seed      uint64
	plan      plan
	bug       bug
	clusterID uint64
	logger    *zap.Logger
	witness   *witness
	net       *transport.Network
	weather   *weather
	installs  atomic.Int64 // states installed
	complete  atomic.Bool  // watchers could be judged

	// running ends with the run, or with the first violation; tasks are everything that was started.
	running context.Context
	tasks   sync.WaitGroup
	poked   chan struct{}
	calm    atomic.Bool // the end: nothing goes wrong any more

	mu      sync.Mutex // guards the fields below
	members map[uint64]*member
	cut     map[[2]uint64]bool
	moving  map[uint64]bool // members that a state is on its way to
	named   int
}

// member is a member over all of its lives.
type member struct {
	id      uint64
	name    string
	url     string
	remotes []uint64
	found   *founding
	life    atomic.Pointer[life] // nil between two lives
	gone    atomic.Bool          // removed from the cluster

	removedOnce sync.Once
	mu          sync.Mutex // guards rng
	rng         *rand.Rand
}

// crashConfig draws how much of what was not synced a crash leaves.
func (m *member) crashConfig() vfs.CrashCloneCfg {
	m.mu.Lock()
	defer m.mu.Unlock()
	share := 0
	if m.rng.IntN(2) == 0 {
		share = m.rng.IntN(101)
	}
	return vfs.CrashCloneCfg{UnsyncedDataPercent: share, RNG: m.stream()}
}

// stream draws a source of numbers of its own. The caller holds mu.
func (m *member) stream() *rand.Rand { return rand.New(rand.NewPCG(m.rng.Uint64(), m.rng.Uint64())) }

// draw is a number below n.
func (m *member) draw(n int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rng.IntN(n)
}

// stream returns the source of numbers of one part of the run. All parts' together are the seed.
func (w *world) stream(part string, n int) *rand.Rand {
	h := uint64(14695981039346656037)
	for _, b := range []byte(part) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return rand.New(rand.NewPCG(w.seed, h+uint64(n)))
}

// founding is how a member without data begins: as one of the first members, or, without any, as one that joins.
type founding struct {
	clusterID uint64
	members   []cluster.Member
}

func (f *founding) create(e *engine.Engine, o wal.Options, id uint64) error {
	first := f.members
	last := fsm.Position{Index: uint64(len(first))}
	state := wal.HardState{Commit: last.Index}
	if len(first) > 0 {
		last.Term, state.Term = 1, 1
		if err := fsm.Bootstrap(e, first, last); err != nil {
			return err
		}
	}
	var entries []*raftpb.Entry
	for i := range first {
		context, err := json.Marshal(&first[i])
		if err != nil {
			return err
		}
		data, err := proto.Marshal(&raftpb.ConfChange{Type: raftpb.ConfChangeAddNode.Enum(), NodeId: &first[i].ID, Context: context})
		if err != nil {
			return err
		}
		entries = append(entries, &raftpb.Entry{Type: raftpb.EntryConfChange.Enum(), Term: new(uint64(1)), Index: new(uint64(i + 1)), Data: data})
	}
	log, err := wal.CreateWith(o, wal.Metadata{NodeID: id, ClusterID: f.clusterID}, entries, state)
	if err != nil {
		return err
	}
	return log.Close()
}

func clusterOf(members []cluster.Member) uint64 {
	ids := make([]uint64, len(members))
	for i := range members {
		ids[i] = members[i].ID
	}
	return cluster.ID(ids)
}

// begin makes the first members.
func (w *world) begin() {
	var first []cluster.Member
	for range w.plan.members {
		w.named++
		url := fmt.Sprintf("http://m%d:2380", w.named)
		first = append(first, cluster.Member{ID: cluster.MemberID([]string{url}, "sim"), PeerURLs: []string{url}})
	}
	w.clusterID = clusterOf(first)
	for i := range first {
		w.addMember(fmt.Sprintf("m%d", i+1), first[i], &founding{w.clusterID, first}, nil)
	}
}

// addMember keeps a member alive from now on.
func (w *world) addMember(name string, c cluster.Member, found *founding, remotes []uint64) {
	m := &member{id: c.ID, name: name, url: c.PeerURLs[0], found: found, remotes: remotes, rng: w.stream("member "+name, 0)}
	w.mu.Lock()
	w.members[m.id] = m
	w.mu.Unlock()
	w.note("member %s is %x", name, m.id)
	w.tasks.Go(func() { w.keep(m) })
}

func (w *world) note(format string, args ...any) { w.witness.note(format, args...) }

// keep gives a member one life after the other.
func (w *world) keep(m *member) {
	mem := vfs.NewCrashableMem()
	for number := 1; ; number++ {
		l := w.revive(m, mem, number)
		select {
		case <-l.dead:
		case <-w.running.Done():
			l.die("the end", vfs.CrashCloneCfg{})
		}
		m.life.Store(nil)
		l.stop()
		if w.running.Err() != nil || m.gone.Load() {
			return
		}
		mem = l.left
		rest := time.Duration(m.draw(800)) * time.Millisecond
		switch m.draw(6) {
		case 0, 1:
			rest = time.Duration(m.draw(5)) * time.Millisecond
		case 2:
			rest = time.Duration(m.draw(12)) * time.Second
		}
		if l.quick.Load() {
			rest = time.Millisecond
		}
		if w.calm.Load() {
			rest = 10 * time.Millisecond
		}
		pause(w.running, rest)
	}
}

// revive starts a member on a disk. What it returns may have crashed already.
func (w *world) revive(m *member, mem *vfs.MemFS, number int) *life {
	l := &life{w: w, member: m, number: number, mem: mem, logger: w.logger.Named(m.name), attached: make(chan struct{}), dead: make(chan struct{})}
	m.mu.Lock()
	l.disk = newDisk(mem, m.stream())
	m.mu.Unlock()
	l.disk.crash = l.crash
	l.dirs = transfer.Dirs{FS: l.disk, Dir: memberDir}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	if !w.calm.Load() && m.draw(6) == 0 {
		l.disk.crashAfter(1 + m.draw(120)) // early: while it starts
	}
	recovered, err := l.open(m.found)
	if err == nil && l.fsm.Members().Removed(m.id) {
		m.gone.Store(true)
		l.crash("ends, having been removed")
		return l
	}
	if err == nil {
		l.alive(func() { w.recovered(l, recovered) })
		err = l.run(recovered)
	}
	if err != nil {
		if l.isAlive() && !l.disk.hasFailed() {
			w.witness.violation("member %s cannot start its life %d: %v", m.name, number, err)
		}
		l.crash(fmt.Sprintf("did not start: %v", err))
		return l
	}
	w.note("member %s: life %d from entry %d, revision %d", m.name, number, l.fsm.Applied(), l.fsm.Store().Revision())
	m.life.Store(l)
	return l
}

// recovered compares what a log says to be committed with what was.
func (w *world) recovered(l *life, r wal.Recovered) {
	entries := r.Entries
	for len(entries) > 0 && entries[len(entries)-1].GetIndex() > r.HardState.Commit {
		entries = entries[:len(entries)-1]
	}
	w.witness.committed(l.member.id, "recovers", entries)
}

// all are the members that have not been removed, by name.
func (w *world) all() []*member {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []*member
	for _, m := range w.members {
		if !m.gone.Load() {
			out = append(out, m)
		}
	}
	slices.SortFunc(out, func(a, b *member) int { return cmpName(a.name, b.name) })
	return out
}

func cmpName(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	if a < b {
		return -1
	}
	return 1
}

// lives are the members that run.
func (w *world) lives() []*life {
	var out []*life
	for _, m := range w.all() {
		if l := m.life.Load(); l != nil && l.isAlive() {
			out = append(out, l)
		}
	}
	return out
}

// leader is who leads, nil if nobody does or it is unclear.
func (w *world) leader() (lead *life) {
	for _, l := range w.lives() {
		st := l.node.Load().Status()
		if st.Leader == l.member.id && (lead == nil || st.Term > lead.node.Load().Status().Term) {
			lead = l
		}
	}
	return lead
}

// pause waits, less if ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func syncDir(fs vfs.FS, name string) error {
	d, err := fs.OpenDir(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
