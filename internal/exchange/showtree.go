package exchange

import (
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

func parseTreeRecord(body, value []byte) (ShownV2, error) {
	r, err := v2.ParseRecord(body, value)
	if err != nil {
		return ShownV2{}, err
	}
	switch shown := (ShownV2{Kind: KindV2}); {
	case r.Node != nil:
		n := r.Node
		shown.Record, shown.Path, shown.Dir, shown.Created, shown.Modified = "node", n.Path, n.Dir, n.Created, n.Modified
		shown.Value, shown.Size = n.Value, len(n.Value)
		if n.Expires != 0 {
			shown.Expires = nanoTime(n.Expires)
		}
		return shown, nil
	case r.Expiry != nil:
		shown.Record, shown.Path, shown.Expires = "expiry", r.Expiry.Path, nanoTime(r.Expiry.At)
		return shown, nil
	case r.Event != nil:
		shown.Record, shown.Path, shown.Action, shown.Index = "event", r.Event.Node.Path, r.Event.Action, r.Event.Node.Modified
		return shown, nil
	default:
		shown.Record, shown.Index, shown.Oldest = "state", r.Span.Index, r.Span.Oldest
		return shown, nil
	}
}

func nanoTime(at int64) *time.Time {
	t := time.Unix(0, at).UTC()
	return &t
}
