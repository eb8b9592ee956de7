package transport

import (
	"container/heap"
	"slices"
	"sync"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// Network connects members within one process, for tests and simulations. It has no goroutines and no timers: nothing
// arrives until somebody calls Deliver, whose goroutine does all the receiving. What arrives is a copy that went through
// bytes, and what it may do to messages is what a network may do: lose, delay, double and reorder them.
type Network struct {
	now func() time.Time

	mu      sync.Mutex // guards the fields below; not held while a member is called
	members map[uint64]*Endpoint
	cut     map[link]bool
	fate    func(Packet) []time.Duration
	packets packetHeap
	waiting map[link]int
	sent    uint64
	drops   dropCounts
}

// link is a way from one member to another.
type link struct{ from, to uint64 }

// Packet is a message on its way. The message must not be changed.
type Packet struct {
	From, To uint64
	Message  *raftpb.Message
	Sent     time.Time

	due    time.Time
	number uint64
	data   []byte
	source *Endpoint
	target *Endpoint // who had the ID when it was sent; nil if nobody had
}

// Member is what a Network needs of one. Its functions are called by Deliver.
type Member struct {
	ID   uint64
	Raft Raft
	// SendSnapshot moves a state, the last step of which is to give the message to the other's raft.
	SendSnapshot func(to uint64, m *raftpb.Message) error
	// OnRemoved is told, once, that another member says that this one has been removed.
	OnRemoved func(error)
}

// NewNetwork returns a network that takes the time from now.
func NewNetwork(now func() time.Time) *Network {
	return &Network{now: now, members: map[uint64]*Endpoint{}, cut: map[link]bool{}, waiting: map[link]int{}}
}

// SetFate installs who decides what becomes of each message: one copy arrives after each of the delays it returns, so none
// is a loss and two are a duplicate. It is called with a lock held, in the order of Send, and must not use the network. nil
// delivers everything once, in order.
func (n *Network) SetFate(fate func(Packet) []time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fate = fate
}

// Cut takes down the way from one member to another, in that direction alone, or restores it. What is on the way is lost,
// in silence; only a snapshot's loss is noticed.
func (n *Network) Cut(from, to uint64, down bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if down {
		n.cut[link{from, to}] = true
	} else {
		delete(n.cut, link{from, to})
	}
}

// Join connects a member. One of the same ID that was connected before is dead from now on, and what was on its way to it
// does not arrive.
func (n *Network) Join(m Member) *Endpoint {
	e := &Endpoint{net: n, cfg: m, peers: map[uint64]*time.Time{}, remotes: map[uint64]bool{}}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.members[m.ID] = e
	return e
}

// Drops returns what was dropped, fate's losses not counted.
func (n *Network) Drops() []Drop { return n.drops.list() }

// Next tells when the next message is due, and whether there is one.
func (n *Network) Next() (due time.Time, waiting bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.packets) == 0 {
		return time.Time{}, false
	}
	return n.packets[0].due, true
}

// Deliver hands over all that is due, in the order in which it is, those messages included that are sent on the way and due
// at once. It returns how many messages left the network, lost ones included.
func (n *Network) Deliver() (handled int) {
	for p := n.pop(); p != nil; p = n.pop() {
		n.deliver(p)
		handled++
	}
	return handled
}

func (n *Network) pop() *Packet {
	now := n.now()
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.packets) == 0 || n.packets[0].due.After(now) {
		return nil
	}
	p := heap.Pop(&n.packets).(*Packet)
	n.waiting[link{p.From, p.To}]--
	return p
}

func (n *Network) deliver(p *Packet) {
	n.mu.Lock()
	down := n.cut[link{p.From, p.To}]
	target := n.members[p.To]
	there := target != nil && target == p.target
	if down || !there {
		p.source.setActive(p.To, false)
	}
	n.mu.Unlock()
	switch {
	case down:
		p.source.lostLink(p.Message)
	case !there:
		n.drops.count(p.Message, droppedBroken)
		p.source.unreachable(p.Message)
	case target.cfg.Raft.Removed(p.From):
		n.drops.count(p.Message, droppedInvalid)
		p.source.wasRemoved()
	case p.Message.GetType() == raftpb.MsgSnap:
		p.source.moveState(p)
	default:
		target.receive(p)
	}
}

// Endpoint is one member's end of a Network. It has the methods of a Transport; URLs mean nothing to it.
type Endpoint struct {
	net     *Network
	cfg     Member
	removed sync.Once

	// guarded by net.mu
	peers   map[uint64]*time.Time // since when active
	remotes map[uint64]bool
	stopped bool
}

// Send puts messages into the network.
func (e *Endpoint) Send(messages []*raftpb.Message) {
	skip := superseded(messages)
	var late []*raftpb.Message
	for i, m := range messages {
		if m.GetTo() != 0 && (skip == nil || !skip[i]) && !e.send(m) {
			late = append(late, m)
		}
	}
	for _, m := range late {
		e.unreachable(m)
	}
}

// send reports false if a message was dropped in a way that a sender notices.
func (e *Endpoint) send(m *raftpb.Message) bool {
	data, err := proto.Marshal(m)
	if err != nil {
		return false
	}
	n := e.net
	now := n.now()
	n.mu.Lock()
	defer n.mu.Unlock()
	to := m.GetTo()
	if e.stopped || n.members[e.cfg.ID] != e {
		return true
	}
	if e.peers[to] == nil && !e.remotes[to] {
		n.drops.count(m, droppedUnknown)
		return true
	}
	way := link{e.cfg.ID, to}
	p := Packet{From: e.cfg.ID, To: to, Message: m, Sent: now, data: data, source: e, target: n.members[to]}
	delays := []time.Duration{0}
	switch {
	case n.cut[way]:
		return m.GetType() != raftpb.MsgSnap
	case n.fate != nil:
		delays = n.fate(p)
	}
	for _, d := range delays {
		if n.waiting[way] >= maxWaitingMessages {
			n.drops.count(m, droppedFull)
			return false
		}
		n.sent++
		n.waiting[way]++
		p := p
		p.due, p.number = now.Add(d), n.sent
		heap.Push(&n.packets, &p)
	}
	return len(delays) > 0 || m.GetType() != raftpb.MsgSnap
}

// receive hands a packet's message to raft.
func (e *Endpoint) receive(p *Packet) {
	n := e.net
	m := new(raftpb.Message)
	if err := proto.Unmarshal(p.data, m); err != nil || check(m) != nil || m.GetTo() != e.cfg.ID {
		n.drops.count(p.Message, droppedInvalid)
		return
	}
	n.mu.Lock()
	p.source.setActive(p.To, true)
	e.setActive(p.From, true)
	if e.peers[p.From] == nil && len(e.remotes) < maxRemotes {
		e.remotes[p.From] = true
	}
	n.mu.Unlock()
	if e.cfg.Raft.Step(m) == 0 {
		n.drops.count(m, droppedBusy)
	}
}

// moveState lets the owner move a state, and reports what became of it.
func (e *Endpoint) moveState(p *Packet) {
	if e.cfg.SendSnapshot == nil || e.cfg.SendSnapshot(p.To, p.Message) != nil {
		e.net.drops.count(p.Message, droppedSnapshot)
		e.unreachable(p.Message)
		return
	}
	e.cfg.Raft.ReportSnapshot(p.To, raft.SnapshotFinish)
}

// unreachable tells raft of a message that was lost.
func (e *Endpoint) unreachable(m *raftpb.Message) {
	e.cfg.Raft.ReportUnreachable(m.GetTo())
	if m.GetType() == raftpb.MsgSnap {
		e.cfg.Raft.ReportSnapshot(m.GetTo(), raft.SnapshotFailure)
	}
}

// lostLink is for a message on a way that is down.
func (e *Endpoint) lostLink(m *raftpb.Message) {
	if m.GetType() == raftpb.MsgSnap {
		e.unreachable(m)
	}
}

func (e *Endpoint) wasRemoved() {
	e.removed.Do(func() {
		if e.cfg.OnRemoved != nil {
			e.cfg.OnRemoved(ErrRemoved)
		}
	})
}

// setActive is called with the network's lock held.
func (e *Endpoint) setActive(id uint64, active bool) {
	since := e.peers[id]
	switch {
	case since == nil:
	case !active:
		*since = time.Time{}
	case since.IsZero():
		*since = e.net.now()
	}
}

// AddPeer lets messages go to another member.
func (e *Endpoint) AddPeer(id uint64, _ []string) error {
	e.net.mu.Lock()
	defer e.net.mu.Unlock()
	if e.peers[id] == nil {
		e.peers[id] = new(time.Time)
	}
	delete(e.remotes, id)
	return nil
}

// AddRemote lets answers go to who is no member.
func (e *Endpoint) AddRemote(id uint64, _ []string) error {
	e.net.mu.Lock()
	defer e.net.mu.Unlock()
	if e.peers[id] == nil && len(e.remotes) < maxRemotes {
		e.remotes[id] = true
	}
	return nil
}

// UpdatePeer does nothing.
func (e *Endpoint) UpdatePeer(uint64, []string) error { return nil }

// RemovePeer lets no more messages go to a member.
func (e *Endpoint) RemovePeer(id uint64) {
	e.net.mu.Lock()
	defer e.net.mu.Unlock()
	delete(e.peers, id)
	delete(e.remotes, id)
}

// ActiveSince is since when messages to or from a peer have arrived, and zero if the last did not.
func (e *Endpoint) ActiveSince(id uint64) time.Time {
	e.net.mu.Lock()
	defer e.net.mu.Unlock()
	if since := e.peers[id]; since != nil {
		return *since
	}
	return time.Time{}
}

// Stop disconnects the member, whose messages under way may still arrive.
func (e *Endpoint) Stop() {
	e.net.mu.Lock()
	defer e.net.mu.Unlock()
	e.stopped = true
	if e.net.members[e.cfg.ID] == e {
		delete(e.net.members, e.cfg.ID)
	}
}

// packetHeap has what is due first at its top; of what is due at once, what was sent first.
type packetHeap []*Packet

func (h packetHeap) Len() int      { return len(h) }
func (h packetHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h packetHeap) Less(i, j int) bool {
	if c := h[i].due.Compare(h[j].due); c != 0 {
		return c < 0
	}
	return h[i].number < h[j].number
}

// Push is for package heap.
func (h *packetHeap) Push(x any) { *h = append(*h, x.(*Packet)) }

// Pop is for package heap.
func (h *packetHeap) Pop() any {
	last := len(*h) - 1
	p := (*h)[last]
	*h = slices.Delete(*h, last, last+1)
	return p
}
