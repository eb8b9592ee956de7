package exchange

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"bowline/internal/v2"
)

// Up to 3.5 etcd keeps the tree of API v2 in memory, and writes it down in .snap files:
// one JSON object, of which the members are a part. It is read as a stream.

// maxLevels bounds how deep a tree may be.
const maxLevels = 2000

// oldTree reads a v2 store.
type oldTree struct {
	d *json.Decoder
	// to takes what belongs to clients; nil if only the members are wanted.
	to *v2.Builder
	// members is what is below /0.
	members *v2Tree
	index   uint64
	history oldHistory
	stats   v2.Stats
}

// oldHistory are the last events; there are nulls among them.
type oldHistory struct {
	Queue      struct{ Events []*oldEvent }
	StartIndex uint64
}

var errNotTree = errors.New("it is no v2 store")

// readTree reads a v2 store, and gives to, if it is not nil, what is in it of clients'
// tree.
func readTree(data []byte, to *v2.Builder) (*v2Tree, error) {
	t := oldTree{d: json.NewDecoder(bytes.NewReader(data)), to: to}
	err := t.object(func(field string) error {
		switch field {
		case "Root":
			node, err := t.node("/", 0)
			t.members = &v2Tree{Children: map[string]*v2Tree{"0": node.at("0")}}
			return err
		case "WatcherHub":
			if to == nil {
				return t.skip()
			}
			return t.d.Decode(&struct{ EventHistory *oldHistory }{&t.history})
		case "CurrentIndex":
			return t.d.Decode(&t.index)
		case "Stats":
			return t.counters()
		}
		return t.skip()
	})
	if err != nil || t.members == nil {
		return nil, errors.Join(errNotTree, err)
	}
	if to == nil {
		return t.members, nil
	}
	return t.members, t.finish()
}

// object calls f with each field's name, to read its value.
func (t *oldTree) object(f func(field string) error) error {
	if token, err := t.d.Token(); err != nil || token != json.Delim('{') {
		return errors.Join(errNotTree, err)
	}
	return t.fields(f)
}

// fields is object behind the brace.
func (t *oldTree) fields(f func(field string) error) error {
	for t.d.More() {
		token, err := t.d.Token()
		if err != nil {
			return err
		}
		if err := f(token.(string)); err != nil { // a name is a string, or the decoder refuses it
			return err
		}
	}
	_, err := t.d.Token()
	return err
}

func (t *oldTree) skip() error { return t.d.Decode(new(json.RawMessage)) }

// node reads a node with what is below it. What is at or below /0 is returned, clients'
// nodes are given away.
func (t *oldTree) node(path string, level int) (*v2Tree, error) {
	if level > maxLevels {
		return nil, fmt.Errorf("it is deeper than %d levels", maxLevels)
	}
	n := v2.Node{Path: path}
	var kept *v2Tree
	if level == 0 || path == "/0" || strings.HasPrefix(path, "/0/") {
		kept = new(v2Tree)
	}
	err := t.object(func(field string) error {
		switch field {
		case "CreatedIndex":
			return t.d.Decode(&n.Created)
		case "ModifiedIndex":
			return t.d.Decode(&n.Modified)
		case "ExpireTime":
			var at time.Time
			err := t.d.Decode(&at)
			if !at.IsZero() {
				n.Expires = at.UnixNano()
			}
			return err
		case "Value":
			return t.d.Decode(&n.Value)
		case "Children":
			return t.children(&n, kept, level)
		}
		return t.skip()
	})
	if err != nil {
		return nil, err
	}
	if kept != nil {
		kept.Value = n.Value
		return kept, nil
	}
	if t.to == nil || path == v2.KeysPrefix {
		return nil, nil
	}
	return nil, t.to.Node(&n)
}

func (t *oldTree) children(n *v2.Node, kept *v2Tree, level int) error {
	token, err := t.d.Token()
	if err != nil || token == nil {
		return err
	}
	if token != json.Delim('{') {
		return errNotTree
	}
	n.Dir = true
	return t.fields(func(name string) error {
		if name == "" || name == "." || name == ".." || strings.Contains(name, "/") {
			return fmt.Errorf("a node in %q is named %q", n.Path, name)
		}
		child, err := t.node(strings.TrimSuffix(n.Path, "/")+"/"+name, level+1)
		if child != nil {
			if kept.Children == nil {
				kept.Children = make(map[string]*v2Tree)
			}
			kept.Children[name] = child
		}
		return err
	})
}

// oldEvent and oldNode are an event as etcd writes it down.
type oldEvent struct {
	Action   string
	Node     *oldNode
	PrevNode *oldNode
	Refresh  bool
}

type oldNode struct {
	Key                         string
	Value                       *string
	Dir                         bool
	Expiration                  *time.Time
	TTL                         int64
	ModifiedIndex, CreatedIndex uint64
}

func (n *oldNode) node() v2.Node {
	out := v2.Node{Path: n.Key, Dir: n.Dir, Created: n.CreatedIndex, Modified: n.ModifiedIndex}
	if n.Value != nil {
		out.Value = *n.Value
	}
	if n.Expiration != nil {
		out.Expires = n.Expiration.UnixNano()
	}
	return out
}

// event is the event with the clock by which its ttls were computed.
func (e *oldEvent) event() *v2.Event {
	out := &v2.Event{Action: e.Action, Node: e.Node.node(), Refresh: e.Refresh}
	for _, n := range []*oldNode{e.PrevNode, e.Node} {
		if n != nil && n.Expiration != nil {
			out.Time = n.Expiration.UnixNano() - n.TTL*int64(time.Second)
		}
	}
	if e.PrevNode != nil {
		prev := e.PrevNode.node()
		out.Prev = &prev
	}
	return out
}

// oldCounters are etcd's names of the counters.
var oldCounters = [...]string{
	v2.SetsOK: "setsSuccess", v2.SetsFailed: "setsFail", v2.DeletesOK: "deleteSuccess", v2.DeletesFailed: "deleteFail",
	v2.UpdatesOK: "updateSuccess", v2.UpdatesFailed: "updateFail", v2.CreatesOK: "createSuccess", v2.CreatesFailed: "createFail",
	v2.SwapsOK: "compareAndSwapSuccess", v2.SwapsFailed: "compareAndSwapFail",
	v2.ComparedDeletesOK: "compareAndDeleteSuccess", v2.ComparedDeletesFailed: "compareAndDeleteFail", v2.Expired: "expireCount",
}

// counters reads the counters that all members have alike.
func (t *oldTree) counters() error {
	var by map[string]uint64
	if err := t.d.Decode(&by); err != nil {
		return err
	}
	for i, name := range oldCounters {
		t.stats.Counts[i] = by[name]
	}
	return nil
}

// finish writes what is not in the tree itself.
func (t *oldTree) finish() error {
	oldest := max(t.history.StartIndex, 1)
	for _, e := range t.history.Queue.Events {
		if e == nil || e.Node == nil || !strings.HasPrefix(e.Node.Key, v2.KeysPrefix+"/") &&
			e.Node.Key != v2.AuthPrefix && !strings.HasPrefix(e.Node.Key, v2.AuthPrefix+"/") {
			continue
		}
		if i := e.Node.ModifiedIndex; i < oldest || i > t.index || t.index-i >= v2.HistoryLen {
			continue
		}
		if err := t.to.Event(e.event()); err != nil {
			return err
		}
	}
	if err := t.to.State(t.index, oldest, t.stats.Counts); err != nil {
		return err
	}
	return t.to.Finish()
}
