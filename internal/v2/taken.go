package v2

import "fmt"

// Record is a record of the tree, taken apart for people to see: one of its fields is
// not nil.
type Record struct {
	Node   *Node
	Expiry *Expiry
	Event  *Event
	Span   *Span
}

// Expiry says that the node at Path vanishes at a time, in nanoseconds since 1970.
type Expiry struct {
	At   int64
	Path string
}

// Span is the newest index, and that of the oldest event that may be asked for.
type Span struct{ Index, Oldest uint64 }

// ParseRecord takes apart a record of class engine.ClassV2, of which key is what follows
// the class. docs/format/engine.md draws them.
func ParseRecord(key, value []byte) (r Record, err error) {
	if len(key) == 0 {
		return r, fmt.Errorf("%w without a kind", errDamaged)
	}
	switch key[0] {
	case kindNode:
		r.Node = new(Node)
		if r.Node.Path, err = parsePath(key[1:]); err == nil {
			err = r.Node.parse(value)
		}
	case kindExpiry:
		r.Expiry = new(Expiry)
		r.Expiry.At, r.Expiry.Path, err = parseExpiry(key)
	case kindEvent:
		r.Event, err = parseEvent(value)
	case kindState:
		var s State
		err = s.parse(value)
		r.Span = &Span{s.index, s.first}
	default:
		err = fmt.Errorf("%w of the unknown kind %q", errDamaged, key[0])
	}
	return r, err
}
