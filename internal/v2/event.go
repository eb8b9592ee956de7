package v2

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// The actions of events.
const (
	ActionGet              = "get"
	ActionSet              = "set"
	ActionCreate           = "create"
	ActionUpdate           = "update"
	ActionDelete           = "delete"
	ActionCompareAndSwap   = "compareAndSwap"
	ActionCompareAndDelete = "compareAndDelete"
	ActionExpire           = "expire"
)

// KeysPrefix is where clients' keys are in the tree, and AuthPrefix what package
// v2http keeps of users and roles.
const (
	KeysPrefix = "/1"
	AuthPrefix = "/2"
	// EnabledPath is where it says, with enabledValue, that access is controlled.
	EnabledPath  = AuthPrefix + "/enabled"
	enabledValue = "true"
)

// Event is a change. It does not change itself.
type Event struct {
	Action string
	// Node is the node after the change, of a removal without its value; its Modified is
	// the event's index.
	Node Node
	Prev *Node
	// Refresh marks an event that wakes nobody.
	Refresh bool
	// Time is the clock by which ttls are shown, in nanoseconds since 1970.
	Time int64

	// gone are the nodes that a removal took along, the first itself.
	gone []string
	// encoded is its JSON, once somebody has asked for it.
	encoded atomic.Pointer[[]byte]
}

// Index is the event's place in the history.
func (e *Event) Index() uint64 { return e.Node.Modified }

func removes(action string) bool {
	return action == ActionDelete || action == ActionCompareAndDelete || action == ActionExpire
}

// Created tells whether there was no such node before.
func (e *Event) Created() bool {
	return e.Action == ActionCreate || e.Action == ActionSet && e.Prev == nil
}

// JSON is the event as clients get it, with a newline. It must not be modified.
func (e *Event) JSON() []byte {
	if b := e.encoded.Load(); b != nil {
		return *b
	}
	b := e.AppendJSON(nil)
	e.encoded.Store(&b)
	return b
}

// AppendJSON appends what JSON returns, and does not keep it.
func (e *Event) AppendJSON(b []byte) []byte {
	room := e.Node.roomJSON()
	if e.Prev != nil {
		room += e.Prev.roomJSON()
	}
	b = append(slices.Grow(b, room), `{"action":"`...)
	b = append(b, e.Action...)
	b = append(b, `","node":`...)
	b = e.Node.appendJSON(b, e.Time, !removes(e.Action))
	if e.Prev != nil {
		b = append(b, `,"prevNode":`...)
		b = e.Prev.appendJSON(b, e.Time, true)
	}
	return append(b, '}', '\n')
}

// appendJSON appends a node that is not expanded.
func (n *Node) appendJSON(b []byte, now int64, withValue bool) []byte {
	return n.closeJSON(n.openJSON(b, now, withValue))
}

// roomJSON is about as long as a node's JSON with what is around it.
func (n *Node) roomJSON() int {
	const fixed, expiry = 128, 64
	room := fixed + len(n.Path) + len(n.Value)
	if n.Expires != 0 {
		room += expiry
	}
	return room
}

// openJSON appends what comes before a directory's nodes. Each field ends with a comma.
func (n *Node) openJSON(b []byte, now int64, withValue bool) []byte {
	b = append(b, '{')
	if key := strings.TrimPrefix(n.Path, KeysPrefix); key != "" {
		b = append(b, `"key":`...)
		b = append(appendText(b, key), ',')
	}
	switch {
	case n.Dir:
		b = append(b, `"dir":true,`...)
	case withValue:
		b = append(b, `"value":`...)
		b = append(appendText(b, n.Value), ',')
	}
	if n.Expires == 0 {
		return b
	}
	b = append(b, `"expiration":"`...)
	b = time.Unix(0, n.Expires).UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, `",`...)
	if ttl := secondsLeft(n.Expires, now); ttl != 0 {
		b = append(b, `"ttl":`...)
		b = append(strconv.AppendInt(b, ttl, 10), ',')
	}
	return b
}

// closeJSON appends what comes behind them.
func (n *Node) closeJSON(b []byte) []byte {
	if n.Modified != 0 {
		b = append(b, `"modifiedIndex":`...)
		b = append(strconv.AppendUint(b, n.Modified, 10), ',')
	}
	if n.Created != 0 {
		b = append(b, `"createdIndex":`...)
		b = append(strconv.AppendUint(b, n.Created, 10), ',')
	}
	if b[len(b)-1] == ',' {
		b = b[:len(b)-1]
	}
	return append(b, '}')
}

// secondsLeft is rounded up; what has passed is rounded towards zero.
func secondsLeft(at, now int64) int64 {
	left := at - now
	seconds := left / int64(time.Second)
	if left%int64(time.Second) > 0 {
		seconds++
	}
	return seconds
}

// appendText appends a JSON string as encoding/json has it.
func appendText(b []byte, s string) []byte {
	if !plain(s) {
		text, err := json.Marshal(s)
		if err != nil {
			panic("v2: a string that has no JSON: " + err.Error())
		}
		return append(b, text...)
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// plain tells whether a string is its own JSON, between quotes.
func plain(s string) bool {
	const word = 8
	for ; len(s) >= word; s = s[word:] {
		if !plainWord(uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56) {
			return false
		}
	}
	rest := uint64(ones * '0') // which is plain
	for i := range len(s) {
		rest = rest<<8 | uint64(s[i])
	}
	return plainWord(rest)
}

// ones has the lowest bit of each byte.
const ones = ^uint64(0) / 0xff

// plainWord tells whether eight bytes are plain: the highest bit of each byte is to stay
// clear in itself, when the lowest plain one is taken from it, and when one is taken from
// where it differs from one that is to be quoted. '"' and '&', and '<' and '>', differ
// from each other in one bit. Nothing is borrowed from a byte by one that is plain.
func plainWord(w uint64) bool {
	const amp, angle = '"' ^ '&', '<' ^ '>'
	found := w | (w - ones*' ')
	found |= (w ^ ones*'\\') - ones
	found |= (w&^(ones*amp) ^ ones*'"') - ones
	found |= (w&^(ones*angle) ^ ones*'<') - ones
	return found&(ones<<7) == 0
}
