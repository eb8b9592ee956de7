package node

import (
	"sync"

	"go.etcd.io/raft/v3/raftpb"
)

// inbox is the raft goroutine's queue: everything that anybody wants from raft.
type inbox struct {
	wake chan struct{}

	mu            sync.Mutex // guards the fields below; held for a few instructions
	closed        bool
	held          bool // proposals need not wake the loop: a log write will, when it is done
	eager         bool // the loop wants to know at once what is applied
	lazyBytes     int  // of entries in lazy events
	proposals     []proposal
	proposalBytes int
	reads         []*readWaiter
	events        []event
	received      int // messages in events that came from other members
}

// proposal is one entry to be. At most one of refused and done is set.
type proposal struct {
	data    []byte
	kind    raftpb.EntryType
	refused func(error)
	done    chan error
}

// answer tells whoever proposed whether raft took it.
func (p *proposal) answer(err error) {
	switch {
	case p.done != nil:
		p.done <- err
	case p.refused != nil && err != nil:
		p.refused(err)
	}
}

// event is something that must reach raft in order.
type event struct {
	messages []*raftpb.Message // to be stepped
	received bool              // they come from other members
	written  int               // batches with entries that are now durable
	control  func(*loop)
	// lazy events tell of entries that have been applied. Nothing waits for them, so they do not wake the loop before
	// lazyWakeBytes of such entries have come together; the next event, or tick, takes them along.
	lazy  bool
	bytes int
}

// lazyWakeBytes: raft holds back further entries when defaultApplyBytes are handed over and not known to be applied.
const lazyWakeBytes = 1 << 20

func (b *inbox) init() { b.wake = make(chan struct{}, 1) }

// propose adds a proposal, or says why not.
func (b *inbox) propose(p proposal) error {
	b.mu.Lock()
	switch {
	case b.closed:
		b.mu.Unlock()
		return ErrStopped
	case len(b.proposals) >= maxWaitingProposals || b.proposalBytes+len(p.data) > maxWaitingBytes && len(b.proposals) > 0:
		b.mu.Unlock()
		return ErrBusy
	}
	b.proposals = append(b.proposals, p)
	b.proposalBytes += len(p.data)
	wake := len(b.proposals) == 1 && !b.held
	b.mu.Unlock()
	if wake {
		notify(b.wake)
	}
	return nil
}

// post adds an event. It reports false when the loop has ended, or does not want more received messages.
func (b *inbox) post(e event) bool {
	b.mu.Lock()
	if b.closed || e.received && b.received+len(e.messages) > maxWaitingMessages {
		b.mu.Unlock()
		return false
	}
	if e.received {
		b.received += len(e.messages)
	}
	b.lazyBytes += e.bytes
	wake := !e.lazy || b.eager || b.lazyBytes >= lazyWakeBytes
	b.events = append(b.events, e)
	b.mu.Unlock()
	if wake {
		notify(b.wake)
	}
	return true
}

func (b *inbox) read(w *readWaiter) bool {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return false
	}
	b.reads = append(b.reads, w)
	b.mu.Unlock()
	notify(b.wake)
	return true
}

// take returns the events and reads that wait, and leaves the given slices in their place.
func (b *inbox) take(events []event, reads []*readWaiter) ([]event, []*readWaiter) {
	clear(events)
	clear(reads)
	b.mu.Lock()
	defer b.mu.Unlock()
	events, b.events = b.events, events[:0]
	reads, b.reads = b.reads, reads[:0]
	b.received, b.lazyBytes = 0, 0
	return events, reads
}

// takeProposals returns the proposals that wait and leaves spare in their place; or, if hold, leaves them where they
// are and lets them wait in silence until the next call.
func (b *inbox) takeProposals(spare []proposal, hold bool) []proposal {
	clear(spare)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held = hold
	if hold {
		return nil
	}
	taken := b.proposals
	b.proposals, b.proposalBytes = spare[:0], 0
	return taken
}

// sleep says what may wake the loop that is about to wait. If proposals that need not have come since they were
// taken, their wake-up is under way, and finds nothing to do.
func (b *inbox) sleep(hold, eager bool) {
	b.mu.Lock()
	b.held, b.eager = hold, eager
	b.mu.Unlock()
}

// close refuses everything from now on and returns what waits.
func (b *inbox) close() ([]proposal, []*readWaiter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return b.proposals, b.reads
}
