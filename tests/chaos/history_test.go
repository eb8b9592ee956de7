package chaos

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// kind is what an operation does.
type kind string

const (
	get  kind = "get"
	put  kind = "put"
	swap kind = "swap" // put if the value is Expect; the empty value is none
	drop kind = "drop" // delete if the value is Expect
)

// operation is a call of a client and what it was told. Values are unique, so that
// one tells which write is seen.
type operation struct {
	Client        int
	Kind          kind
	Key           string
	Value, Expect string // Value: what is written, or what was read
	Call, Return  int64  // nanoseconds since the history began
	Unknown       bool   // no answer: it may have happened, happen later, or never
	Failed        bool   // the comparison was false
	// Revision is that of the write, of what was read (0 if there was nothing), or of
	// the state in which a comparison failed. An unknown write has none before it is settled.
	Revision int64
	Header   int64  // the answer's revision
	Member   string // who was asked
	Err      string `json:",omitempty"`
}

func (o *operation) String() string {
	return fmt.Sprintf("client %d at %s: %s %s value=%q expect=%q unknown=%t failed=%t revision=%d header=%d [%v, %v]", o.Client, o.Member,
		o.Kind, o.Key, o.Value, o.Expect, o.Unknown, o.Failed, o.Revision, o.Header, time.Duration(o.Call), time.Duration(o.Return))
}

// writes tells that an operation may have changed its key.
func (o *operation) writes() bool { return o.Kind != get && !o.Failed }

// never is when an operation of unknown outcome has ended at the latest.
const never = math.MaxInt64

// event is what a watcher sees.
type event struct {
	Key      string
	Value    string
	Revision int64
	Deletion bool
}

// history collects what clients did.
type history struct {
	began time.Time
	mu    sync.Mutex // guards ops
	ops   []*operation
}

func (h *history) now() int64 { return int64(time.Since(h.began)) }

func (h *history) add(o *operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, o)
}

// settle finds out by the events what became of writes of unknown outcome. One
// whose value was never seen has no effect on anything that was recorded, as the
// events are those up to the end; leaving it out changes no verdict, since values
// that nobody has written are refused. Deletions carry no value, and stay unknown.
func settle(ops []*operation, events []event) []*operation {
	written := map[string]int64{}
	for _, e := range events {
		if !e.Deletion {
			written[e.Value] = e.Revision
		}
	}
	var settled []*operation
	for _, o := range ops {
		if o.Unknown && (o.Kind == put || o.Kind == swap) {
			revision := written[o.Value]
			if revision == 0 {
				continue
			}
			known := *o
			known.Revision = revision
			o = &known
		}
		if o.Unknown && o.Kind == get {
			continue
		}
		settled = append(settled, o)
	}
	return settled
}

// register is the state of a key: its value, the empty one if there is none, and
// the revision of the write that gave it, 0 if that is not known.
type register struct {
	value    string
	revision int64
}

// step is the model: whether an operation can have had its result in a state, and
// the state after it. An unknown one may also have no effect: whoever has to assume
// that puts it behind everything else.
func step(state, input, _ any) (bool, any) {
	s, o := state.(register), input.(*operation)
	after := register{o.Value, o.Revision}
	if o.Kind == drop {
		after.value = ""
	}
	later := o.Revision == 0 || o.Revision > s.revision
	switch {
	case o.Kind == get:
		return s.value == o.Value && (s.revision == o.Revision || s.revision == 0 || o.Value == ""), s
	case o.Kind == put:
		return later, after
	case o.Failed:
		return s.value != o.Expect, s
	case s.value == o.Expect:
		return later, after
	default:
		return o.Unknown && o.Revision == 0, s
	}
}

// model is the keys' specification, for porcupine.
func model() porcupine.Model {
	return porcupine.Model{
		Init:              func() any { return register{} },
		Step:              step,
		DescribeOperation: func(input, _ any) string { return input.(*operation).String() },
	}
}

// linearizable checks each key by itself.
func linearizable(ops []*operation, patience time.Duration) error {
	byKey := map[string][]porcupine.Operation{}
	for _, o := range ops {
		end := o.Return
		if o.Unknown {
			end = never
		}
		byKey[o.Key] = append(byKey[o.Key], porcupine.Operation{ClientId: o.Client, Input: o, Call: o.Call, Return: end})
	}
	for key, part := range byKey {
		switch porcupine.CheckOperationsTimeout(model(), part, patience) {
		case porcupine.Illegal:
			return fmt.Errorf("the %d operations on %q are not linearizable:\n%s", len(part), key, describe(part))
		case porcupine.Unknown:
			return fmt.Errorf("porcupine has not judged the %d operations on %q in %v", len(part), key, patience)
		}
	}
	return nil
}

func describe(part []porcupine.Operation) string {
	slices.SortFunc(part, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	var b strings.Builder
	for _, o := range part {
		fmt.Fprintln(&b, o.Input)
	}
	return b.String()
}

// inOrder checks all keys together: whoever calls after another was answered sees
// a revision that is not older, and a newer one if it writes.
func inOrder(ops []*operation) error {
	type edge struct {
		at    int64
		start bool
		o     *operation
	}
	var edges []edge
	for _, o := range ops {
		if o.Unknown {
			continue
		}
		edges = append(edges, edge{o.Call, true, o}, edge{o.Return, false, o})
	}
	slices.SortFunc(edges, func(a, b edge) int {
		if a.at != b.at {
			return int(a.at - b.at)
		}
		if a.start == b.start {
			return 0
		}
		if a.start {
			return -1 // that begins before anything that ends at the same moment
		}
		return 1
	})
	var newest *operation
	floor := map[*operation]*operation{}
	for _, e := range edges {
		if e.start {
			floor[e.o] = newest
			continue
		}
		if before := floor[e.o]; before != nil && (e.o.Header < before.Header || e.o.writes() && e.o.Header == before.Header) {
			return fmt.Errorf("real time runs backwards:\n%v\nwas answered before\n%v\nwas called", before, e.o)
		}
		delete(floor, e.o)
		if newest == nil || e.o.Header > newest.Header {
			newest = e.o
		}
	}
	return nil
}

// acknowledged checks that every write that was answered is in the history, at its
// revision and there alone.
func acknowledged(ops []*operation, events []event) error {
	at := map[int64]event{}
	for _, e := range events {
		at[e.Revision] = e
	}
	owner := map[int64]*operation{}
	for _, o := range ops {
		if o.Unknown || !o.writes() {
			continue
		}
		if other := owner[o.Revision]; other != nil {
			return fmt.Errorf("two writes have the same revision:\n%v\n%v", other, o)
		}
		owner[o.Revision] = o
		e, there := at[o.Revision]
		want := event{o.Key, o.Value, o.Revision, o.Kind == drop}
		if !there || e != want {
			return fmt.Errorf("lost: %v\nthe event at its revision is %+v (there: %t)", o, e, there)
		}
	}
	return nil
}
