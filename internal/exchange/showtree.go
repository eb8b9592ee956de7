package exchange

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"bowline/internal/v2"
)

// ShownV2 is a record of the tree of API v2. Paths are those in the tree: clients' keys
// are below /1. What is below /2, users and their passwords' hashes, has no value here.
type ShownV2 struct {
	Kind Kind `json:"kind"`
	// Record is node, expiry, event or state.
	Record  string `json:"record"`
	Path    string `json:"path,omitempty"`
	Dir     bool   `json:"dir,omitempty"`
	Action  string `json:"action,omitempty"` // of an event
	Index   uint64 `json:"index,omitempty"`  // of an event, or the newest
	Created uint64 `json:"createdIndex,omitempty"`
	// Modified is of a node, Oldest of the state: the oldest event that may be asked for.
	Modified uint64     `json:"modifiedIndex,omitempty"`
	Oldest   uint64     `json:"oldestIndex,omitempty"`
	Expires  *time.Time `json:"expires,omitempty"`
	Size     int        `json:"size"`
	Value    string     `json:"value,omitempty"`

	values bool
}

func (r ShownV2) String() string {
	switch r.Record {
	case "state":
		return fmt.Sprintf("v2 state: index %d, events from %d on", r.Index, r.Oldest)
	case "event":
		return fmt.Sprintf("v2 event %d: %s %q", r.Index, r.Action, r.Path)
	case "expiry":
		return fmt.Sprintf("v2 expiry %q: %s", r.Path, r.Expires.Format(time.RFC3339Nano))
	}
	text := fmt.Sprintf("v2 node %q: created at %d, modified at %d", r.Path, r.Created, r.Modified)
	if r.Expires != nil {
		text += ", expires " + r.Expires.Format(time.RFC3339Nano)
	}
	if r.Dir {
		return text + ", a directory"
	}
	text += fmt.Sprintf(", %d bytes", r.Size)
	if r.values {
		text += fmt.Sprintf(": %q", r.Value)
	}
	return text
}

var errBadTree = errors.New("the record is cut short, or of an unknown kind")

// treeRecord shows a record of the tree, if it is wanted; docs/format/engine.md draws
// them.
func (s *Shower) treeRecord(body, value []byte) error {
	r, err := parseTreeRecord(body, value)
	if err != nil {
		return err
	}
	if s.Key != nil && (r.Record == "state" || !s.wantsPath(r.Path)) {
		return nil
	}
	secret := r.Path == v2.AuthPrefix || strings.HasPrefix(r.Path, v2.AuthPrefix+"/")
	if r.values = s.Values && !secret; !r.values {
		r.Value = ""
	}
	return s.Emit(r)
}

func parseTreeRecord(body, value []byte) (r ShownV2, err error) {
	r.Kind = KindV2
	if len(body) == 0 {
		return r, errBadTree
	}
	at, f := body[1:], fieldReader{b: value}
	switch body[0] {
	case 'n':
		r.Record, r.Path = "node", treePath(at)
		f.node(&r)
	case 'e':
		if len(at) < 8 {
			return r, errBadTree
		}
		r.Record, r.Path, r.Expires = "expiry", treePath(at[8:]), nanoTime(int64(binary.BigEndian.Uint64(at)^1<<63))
	case 'h':
		if len(at) != 8 {
			return r, errBadTree
		}
		f.skip(1)
		r.Record, r.Index = "event", binary.BigEndian.Uint64(at)
		r.Action, r.Path = f.text(), f.text()
	case 's':
		r.Record, r.Index, r.Oldest = "state", f.uint(), f.uint()
	default:
		f.bad = true
	}
	if f.bad {
		return r, errBadTree
	}
	return r, nil
}

func nanoTime(at int64) *time.Time {
	t := time.Unix(0, at).UTC()
	return &t
}

// treePath undoes what keeps a node right before what is below it.
func treePath(b []byte) string {
	if len(b) == 0 {
		return "/"
	}
	return strings.NewReplacer("\x00\x01", "/", "\x00\xff", "\x00").Replace(string(b))
}

// fieldReader takes a record apart; bad is set by what is missing.
type fieldReader struct {
	b   []byte
	bad bool
}

func (f *fieldReader) skip(n int) []byte {
	if n > len(f.b) {
		f.bad, f.b = true, nil
		return make([]byte, n)
	}
	head := f.b[:n]
	f.b = f.b[n:]
	return head
}

func (f *fieldReader) uint() uint64 {
	v, n := binary.Uvarint(f.b)
	if n <= 0 {
		f.bad, n = true, 0
	}
	f.b = f.b[n:]
	return v
}

func (f *fieldReader) int() int64 {
	v, n := binary.Varint(f.b)
	if n <= 0 {
		f.bad, n = true, 0
	}
	f.b = f.b[n:]
	return v
}

func (f *fieldReader) text() string {
	n := f.uint()
	if n > uint64(len(f.b)) {
		f.bad = true
		return ""
	}
	return string(f.skip(int(n)))
}

func (f *fieldReader) node(r *ShownV2) {
	r.Dir = f.skip(1)[0]&1 != 0
	r.Created, r.Modified = f.uint(), f.uint()
	if at := f.int(); at != 0 {
		r.Expires = nanoTime(at)
	}
	r.Value, r.Size = string(f.b), len(f.b)
}
