package node

import (
	"context"
	"encoding/binary"
	"time"

	"go.etcd.io/raft/v3"
)

// readWaiter waits for a read index; 0 means that the node has stopped.
type readWaiter struct {
	index chan uint64
}

// ReadIndex returns an index such that a state with that index applied holds every write that was acknowledged, by
// any member, before ReadIndex was called. Readers that wait at one moment share one round of messages.
//
// # The fast path
//
// While this member is the only voter, leads, and has committed an entry of its own term, the answer is the commit index,
// one atomic load. That is linearizable, with the load as the point in time: a write is acknowledged only after it is
// applied, it is applied only after it is committed, and whatever this member commits, the raft goroutine publishes
// before it hands it to anyone to apply. It remains that nobody else commits. A quorum of every configuration that
// can follow this one, as long as this member has not applied the change, contains this member; so another member can
// win a vote or commit an entry only by a message that our raft goroutine sends, and it withdraws the fast path
// before it sends anything in a new role or under a new configuration. A load that came before the withdrawal came
// before whatever was acknowledged thanks to it. An entry of the own term is needed because what former terms
// committed and acknowledged is only known to be committed then.
func (n *Node) ReadIndex(ctx context.Context) (uint64, error) {
	if index, ok := n.TryReadIndex(); ok {
		return index, nil
	}
	w := n.readWaiters.Get().(*readWaiter)
	if !n.inbox.read(w) {
		n.readWaiters.Put(w)
		return 0, ErrStopped
	}
	select {
	case index := <-w.index:
		n.readWaiters.Put(w)
		if index == 0 {
			return 0, ErrStopped
		}
		return index, nil
	case <-ctx.Done():
		return 0, ctx.Err() // the waiter is left to the answer that may still come
	}
}

// TryReadIndex is the fast path of ReadIndex alone; false means that ReadIndex would have to wait.
func (n *Node) TryReadIndex() (index uint64, ok bool) {
	index = n.readIndex.Load()
	return index, index != 0
}

// readRound is a question to the cluster on behalf of all readers that had come when it was first asked. An answer to any
// repetition is good for all of them.
type readRound struct {
	id      uint64 // unique over restarts: a late answer to a former self must not be taken for ours
	readers []*readWaiter
	asked   time.Time
}

// readers takes in those who have come and asks for them, unless a question is under way.
func (l *loop) addReaders(readers []*readWaiter) {
	l.waiting = append(l.waiting, readers...)
	l.askReadIndex(time.Time{})
}

// askReadIndex answers the waiting readers, asks for them, or repeats the question if it is older than since.
func (l *loop) askReadIndex(since time.Time) {
	if l.singleVoter {
		// Not a question for raft, which answers a single voter's at once, even before an entry of its term is committed.
		if l.soft.RaftState == raft.StateLeader && l.committedInTerm() {
			l.answerReaders(l.waiting, l.hard.Commit)
			l.waiting = l.waiting[:0]
			if l.round != nil {
				l.answerReaders(l.round.readers, l.hard.Commit)
				l.round = nil
			}
		}
		return
	}
	if l.round == nil {
		if len(l.waiting) == 0 {
			return
		}
		l.nextRound++
		l.round = &readRound{id: l.nextRound, readers: l.waiting}
		l.waiting = nil
	} else if l.round.asked.After(since) {
		return
	}
	l.round.asked = time.Now()
	l.raft.ReadIndex(binary.BigEndian.AppendUint64(nil, l.round.id))
}

// readStates takes raft's answers.
func (l *loop) readStates(states []raft.ReadState) {
	for _, s := range states {
		if l.round != nil && len(s.RequestCtx) == 8 && binary.BigEndian.Uint64(s.RequestCtx) == l.round.id {
			l.answerReaders(l.round.readers, s.Index)
			l.round = nil
			l.askReadIndex(time.Time{})
		}
	}
}

func (l *loop) answerReaders(readers []*readWaiter, index uint64) {
	for i, w := range readers {
		w.index <- index
		readers[i] = nil
	}
}
