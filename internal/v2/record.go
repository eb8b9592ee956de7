package v2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"bowline/internal/engine"
)

// The kinds of records: the first byte of the body.
const (
	kindExpiry = 'e' // when, path: which nodes vanish when
	kindEvent  = 'h' // index: the last events
	kindNode   = 'n' // path
	kindState  = 's' // index and counters
)

// In stored paths each component follows a separator that sorts below every byte of a
// name, so that a node stands right before what is below it, and siblings stand in
// the order of their names.
const (
	escape    = 0x00
	separator = 0x01 // behind escape
	afterTree = 0x02 // behind escape: sorts behind all that is below
	zeroByte  = 0xff // behind escape: a zero in a name
)

// pathRoom is for the separators of a path, unless it has many levels.
const pathRoom = 8

// appendPath appends the stored form of a clean path; "/" has none.
func appendPath(dst []byte, path string) []byte {
	if path == "/" {
		return dst
	}
	for i := range len(path) {
		switch c := path[i]; c {
		case '/':
			dst = append(dst, escape, separator)
		case escape:
			dst = append(dst, escape, zeroByte)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// parsePath is the inverse of appendPath.
func parsePath(b []byte) (string, error) {
	var s strings.Builder
	for i := 0; i < len(b); i++ {
		if b[i] != escape {
			s.WriteByte(b[i])
			continue
		}
		i++
		switch {
		case i < len(b) && b[i] == separator:
			s.WriteByte('/')
		case i < len(b) && b[i] == zeroByte:
			s.WriteByte(0)
		default:
			return "", fmt.Errorf("v2: damaged path %x", b)
		}
	}
	if s.Len() == 0 {
		return "/", nil
	}
	return s.String(), nil
}

func nodeKey(path string) []byte {
	body := append(make([]byte, 0, 1+len(path)+pathRoom), kindNode)
	return engine.Key(engine.ClassV2, appendPath(body, path))
}

// belowKeys are the bounds of what is below a path.
func belowKeys(path string) (from, to []byte) {
	prefix := appendPath([]byte{kindNode}, path)
	from = engine.Key(engine.ClassV2, append(prefix[:len(prefix):len(prefix)], escape, separator))
	to = engine.Key(engine.ClassV2, append(prefix, escape, afterTree))
	return from, to
}

// expiryBits makes times sort as unsigned numbers do.
func expiryBits(at int64) uint64 { return uint64(at) ^ 1<<63 }

func expiryKey(at int64, path string) []byte {
	body := binary.BigEndian.AppendUint64([]byte{kindExpiry}, expiryBits(at))
	return engine.Key(engine.ClassV2, appendPath(body, path))
}

func parseExpiry(body []byte) (at int64, path string, err error) {
	const head = 1 + 8
	if len(body) < head || body[0] != kindExpiry {
		return 0, "", fmt.Errorf("v2: damaged expiry %x", body)
	}
	path, err = parsePath(body[head:])
	return int64(binary.BigEndian.Uint64(body[1:]) ^ 1<<63), path, err
}

func eventKey(index uint64) []byte { return appendEventKey(nil, index) }

func appendEventKey(b []byte, index uint64) []byte {
	var room [1 + 8]byte
	return engine.AppendKey(b, engine.ClassV2, binary.BigEndian.AppendUint64(append(room[:0], kindEvent), index))
}

func stateKey() []byte { return engine.Key(engine.ClassV2, []byte{kindState}) }

// Node is a file or a directory.
type Node struct {
	Path  string
	Dir   bool
	Value string // of a file
	// Created and Modified are indexes of the store.
	Created, Modified uint64
	// Expires is in nanoseconds since 1970; 0 is never.
	Expires int64
}

const flagDir = 1

// headBytes is more than what comes before a node's value.
const headBytes = 1 + 3*binary.MaxVarintLen64

// append appends the node but for its path.
func (n *Node) append(b []byte) []byte {
	b = slices.Grow(b, headBytes+len(n.Value))
	return append(n.appendHead(b), n.Value...)
}

// appendHead appends what comes before a node's value.
func (n *Node) appendHead(b []byte) []byte {
	var flags byte
	if n.Dir {
		flags |= flagDir
	}
	b = append(b, flags)
	b = binary.AppendUvarint(b, n.Created)
	b = binary.AppendUvarint(b, n.Modified)
	return binary.AppendVarint(b, n.Expires)
}

var errDamaged = errors.New("v2: damaged record")

// reader takes a record apart; bad is set for good by the first thing that is missing.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) text() string {
	n := r.uint()
	if r.bad || n > uint64(len(r.b)) {
		r.bad = true
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

// parse reads what append has written.
func (n *Node) parse(b []byte) error {
	r := reader{b: b}
	n.Dir = r.byte()&flagDir != 0
	n.Created, n.Modified, n.Expires = r.uint(), r.uint(), r.int()
	if r.bad {
		return fmt.Errorf("%w of a node: %x", errDamaged, b[:min(len(b), 64)])
	}
	n.Value = string(r.b)
	return nil
}

// append appends the whole event.
func (e *Event) append(b []byte) []byte {
	var flags byte
	if e.Refresh {
		flags |= 1
	}
	if e.Prev != nil {
		flags |= 2
	}
	size := 2*(headBytes+binary.MaxVarintLen64) + len(e.Action) + len(e.Node.Path) + len(e.Node.Value)
	if e.Prev != nil {
		size += len(e.Prev.Value)
	}
	b = append(slices.Grow(b, size), flags)
	b = appendSized(b, e.Action)
	b = appendSized(b, e.Node.Path)
	b = binary.AppendVarint(b, e.Time)
	b = e.Node.appendSized(b)
	if e.Prev != nil {
		b = e.Prev.appendSized(b)
	}
	return b
}

// appendSized appends what append does, behind its length.
func (n *Node) appendSized(b []byte) []byte {
	var room [headBytes]byte
	head := n.appendHead(room[:0])
	b = binary.AppendUvarint(b, uint64(len(head)+len(n.Value)))
	return append(append(b, head...), n.Value...)
}

// appendSized appends bytes behind their number.
func appendSized[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func parseEvent(b []byte) (*Event, error) {
	r := reader{b: b}
	flags := r.byte()
	e := &Event{Refresh: flags&1 != 0}
	e.Action = r.text()
	path := r.text()
	e.Time = r.int()
	node := r.text()
	err := e.Node.parse([]byte(node))
	e.Node.Path = path
	if flags&2 != 0 {
		e.Prev = new(Node)
		err = errors.Join(err, e.Prev.parse([]byte(r.text())))
		e.Prev.Path = path
	}
	if r.bad || err != nil {
		return nil, fmt.Errorf("%w of an event: %x", errDamaged, b[:min(len(b), 64)])
	}
	return e, nil
}
