package watch

import (
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/encoding/protowire"

	"bowline/internal/mvcc"
)

// Tags of etcdserverpb.WatchResponse.events and of mvccpb.Event.
const (
	tagEvents    = 11<<3 | 2
	tagEventType = 1 << 3
	tagEventKV   = 2<<3 | 2
	tagEventPrev = 3<<3 | 2

	typeDelete = 1
)

// event is a change together with its encodings, made when somebody first wants
// them and shared by all streams.
type event struct {
	change *mvcc.Event
	plain  atomic.Pointer[[]byte]
	prev   atomic.Pointer[withPrev]
	// charged is how many bytes of encodings whoever holds this event counts for
	// it; retired once it was let go.
	charged atomic.Int64
}

const retired = -1

// account is what the encodings of the events take that somebody holds.
type account struct{ bytes atomic.Int64 }

// withPrev is an event's encoding with the previous value in it.
type withPrev struct {
	once sync.Once
	wire []byte
	err  error
}

// eventOverhead is what an event costs the feed besides its key and its KV: the
// structs, and the allocator's rounding.
const eventOverhead = 192

func (e *event) revision() int64 { return e.change.Revision.Main }

// cost is what the feed counts for an event that nobody has asked for.
func (e *event) cost() int64 {
	return int64(len(e.change.Key)+len(e.change.KV)) + eventOverhead
}

// size is the length of the event's encoding without the previous value.
func (e *event) size() int {
	n := e.bodySize()
	return 1 + protowire.SizeVarint(uint64(n)) + n
}

func (e *event) bodySize() int {
	n := 1 + protowire.SizeBytes(len(e.change.KV))
	if e.change.Kind == mvcc.KindDelete {
		n += 2
	}
	return n
}

// encoded returns the event as a field of a WatchResponse, without the previous
// value. a is the account of whoever holds the event.
func (e *event) encoded(a *account) []byte {
	if p := e.plain.Load(); p != nil {
		return *p
	}
	wire := e.appendWire(make([]byte, 0, e.size()), nil)
	if e.plain.CompareAndSwap(nil, &wire) {
		e.charge(a, len(wire))
	}
	return *e.plain.Load()
}

// encodedWithPrev is encoded with the previous value, read from h by whoever asks
// first; the others who ask meanwhile wait for it.
func (e *event) encodedWithPrev(a *account, h History) ([]byte, error) {
	if e.change.Prev.IsZero() {
		return e.encoded(a), nil
	}
	p := e.prev.Load()
	if p == nil {
		e.prev.CompareAndSwap(nil, new(withPrev))
		p = e.prev.Load()
	}
	p.once.Do(func() {
		old, err := h.Version(e.change.Key, e.change.Prev)
		if err != nil {
			p.err = err
			return
		}
		if old == nil {
			p.wire = e.encoded(a)
			return
		}
		n := e.bodySize() + 1 + protowire.SizeBytes(len(old))
		p.wire = e.appendWire(make([]byte, 0, 1+protowire.SizeBytes(n)), old)
		e.charge(a, len(p.wire))
	})
	return p.wire, p.err
}

func (e *event) appendWire(dst, prev []byte) []byte {
	n := e.bodySize()
	if prev != nil {
		n += 1 + protowire.SizeBytes(len(prev))
	}
	dst = append(dst, tagEvents)
	dst = protowire.AppendVarint(dst, uint64(n))
	if e.change.Kind == mvcc.KindDelete {
		dst = append(dst, tagEventType, typeDelete)
	}
	dst = append(dst, tagEventKV)
	dst = protowire.AppendBytes(dst, e.change.KV)
	if prev != nil {
		dst = append(dst, tagEventPrev)
		dst = protowire.AppendBytes(dst, prev)
	}
	return dst
}

// charge counts n more bytes for an event that is still held.
func (e *event) charge(a *account, n int) {
	for {
		was := e.charged.Load()
		if was == retired {
			return
		}
		if e.charged.CompareAndSwap(was, was+int64(n)) {
			a.bytes.Add(int64(n))
			return
		}
	}
}

// retire is called when the holder of e lets it go.
func (e *event) retire(a *account) {
	if was := e.charged.Swap(retired); was > 0 {
		a.bytes.Add(-was)
	}
}
