package transport

import (
	"sync"

	"go.etcd.io/raft/v3/raftpb"
)

// streamKind tells the two streams apart.
type streamKind int

const (
	messageStream streamKind = iota // everything but entries
	entryStream                     // MsgApp
	streamKinds
)

// path is the kind's element in URLs.
func (k streamKind) path() string { return [...]string{"message", "msgapp"}[k] }

// String is the kind's name in logs, etcd's.
func (k streamKind) String() string { return [...]string{"stream Message", "stream MsgApp v2"}[k] }

// Limits of what waits for a stream. raft itself has at most 512 messages and 64 MiB of entries under way to a peer.
const (
	maxWaitingMessages = 4096
	maxWaitingBytes    = 64 << 20
	// roundBytes is how much is written before what is urgent is looked at again.
	roundBytes = 256 << 10
)

// taken is what became of a message given to a queue.
type taken int

const (
	queued taken = iota
	notAttached
	full
)

// outlet holds the messages for a stream until the goroutine that serves the stream takes them.
type outlet struct {
	wake chan struct{}

	mu     sync.Mutex // guards the fields below; held for a few instructions
	holder *holder    // nil while the peer has not dialled
	urgent []*raftpb.Message
	bulk   []*raftpb.Message
	bytes  int // of bulk
}

// holder is one served stream. A newer one of the same kind ends it.
type holder struct{ replaced chan struct{} }

func (o *outlet) init() { o.wake = make(chan struct{}, 1) }

// put adds a message if somebody serves the stream. What is urgent has room of its own.
func (o *outlet) put(m *raftpb.Message) taken {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.holder == nil {
		return notAttached
	}
	idle := len(o.urgent)+len(o.bulk) == 0
	if urgent(m) {
		if len(o.urgent) >= maxWaitingMessages {
			return full
		}
		o.urgent = append(o.urgent, m)
	} else {
		size := weight(m)
		if len(o.bulk) >= maxWaitingMessages || len(o.bulk) > 0 && o.bytes+size > maxWaitingBytes {
			return full
		}
		o.bulk = append(o.bulk, m)
		o.bytes += size
	}
	if idle {
		notify(o.wake)
	}
	return queued
}

// urgent messages overtake those that carry entries, which raft allows: it takes all of them in any order.
func urgent(m *raftpb.Message) bool { return len(m.GetEntries()) == 0 }

// weight is about how many bytes a message will have.
func weight(m *raftpb.Message) int {
	n := 64
	for _, e := range m.GetEntries() {
		n += 32 + len(e.GetData())
	}
	return n
}

// attach makes the caller the one who serves the stream.
func (o *outlet) attach() *holder {
	h := &holder{make(chan struct{})}
	o.mu.Lock()
	old := o.holder
	o.holder = h
	o.mu.Unlock()
	if old != nil {
		close(old.replaced)
	}
	notify(o.wake)
	return h
}

// detach returns what waits, unless another has taken over.
func (o *outlet) detach(h *holder) []*raftpb.Message {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.holder != h {
		return nil
	}
	waiting := append(o.urgent, o.bulk...)
	o.holder, o.urgent, o.bulk, o.bytes = nil, nil, nil, 0
	return waiting
}

// take appends what is urgent and, of the rest, about roundBytes. If more waits, it has said so to o.wake.
func (o *outlet) take(h *holder, into []*raftpb.Message) []*raftpb.Message {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.holder != h {
		notify(o.wake) // meant for the other
		return into
	}
	into = append(into, o.urgent...)
	clear(o.urgent)
	o.urgent = o.urgent[:0]
	n, size := 0, 0
	for n < len(o.bulk) && size < roundBytes {
		size += weight(o.bulk[n])
		n++
	}
	into = append(into, o.bulk[:n]...)
	left := copy(o.bulk, o.bulk[n:])
	clear(o.bulk[left:])
	o.bulk = o.bulk[:left]
	o.bytes -= size
	if left > 0 {
		notify(o.wake)
	}
	return into
}

func notify(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}
