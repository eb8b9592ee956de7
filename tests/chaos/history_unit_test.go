package chaos

import (
	"testing"
	"time"
)

// TestModel shows the checks histories that are right and wrong.
func TestModel(t *testing.T) {
	a := func(k kind, value, expect string, revision, call, end int64) *operation {
		return &operation{Kind: k, Key: "k", Value: value, Expect: expect, Revision: revision, Header: max(revision, 1), Call: call, Return: end}
	}
	unknown := func(o *operation) *operation { o.Unknown = true; return o }
	failed := func(o *operation) *operation { o.Failed = true; return o }
	for _, c := range []struct {
		name   string
		ops    []*operation
		events []event
		fine   bool
	}{
		{"read of a write", []*operation{a(put, "1", "", 2, 0, 10), a(get, "1", "", 2, 20, 30)}, nil, true},
		{"stale read", []*operation{a(put, "1", "", 2, 0, 10), a(put, "2", "", 3, 20, 30), a(get, "1", "", 2, 40, 50)}, nil, false},
		{"read of nothing after a write", []*operation{a(put, "1", "", 2, 0, 10), a(get, "", "", 0, 40, 50)}, nil, false},
		{"an unknown write takes effect long after its call", []*operation{unknown(a(put, "1", "", 0, 0, 5)), a(get, "", "", 0, 10, 20),
			a(get, "1", "", 2, 100, 110)}, []event{{"k", "1", 2, false}}, true},
		{"an unknown write never takes effect", []*operation{unknown(a(put, "1", "", 0, 0, 5)), a(get, "", "", 0, 10, 20)}, nil, true},
		{"an unknown write is seen and unseen", []*operation{unknown(a(put, "1", "", 0, 0, 5)), a(get, "1", "", 2, 10, 20),
			a(get, "", "", 0, 30, 40)}, []event{{"k", "1", 2, false}}, false},
		{"a write is seen that no event tells of", []*operation{unknown(a(put, "1", "", 0, 0, 5)), a(get, "1", "", 2, 10, 20)}, nil, false},
		{"a read before its write was called", []*operation{a(get, "1", "", 2, 0, 5), a(put, "1", "", 2, 10, 20)}, nil, false},
		{"two swaps from one value", []*operation{a(put, "1", "", 2, 0, 5), a(swap, "2", "1", 3, 10, 20), a(swap, "3", "1", 4, 30, 40)}, nil, false},
		{"a swap that fails without reason", []*operation{a(put, "1", "", 2, 0, 5), failed(a(swap, "2", "1", 0, 10, 20))}, nil, false},
		{"an unknown deletion explains a read of nothing", []*operation{a(put, "1", "", 2, 0, 5), unknown(a(drop, "", "1", 0, 10, 11)),
			a(get, "1", "", 2, 20, 30), a(get, "", "", 0, 40, 50)}, nil, true},
		{"an unknown deletion of another value explains nothing", []*operation{a(put, "1", "", 2, 0, 5), unknown(a(drop, "", "0", 0, 10, 11)),
			a(get, "", "", 0, 40, 50)}, nil, false},
	} {
		err := linearizable(settle(c.ops, c.events), 10*time.Second)
		if (err == nil) != c.fine {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestOrderOfRealTime(t *testing.T) {
	first := &operation{Kind: put, Key: "a", Value: "1", Revision: 5, Header: 5, Call: 0, Return: 10}
	for _, c := range []struct {
		name   string
		second *operation
		fine   bool
	}{
		{"a later write", &operation{Kind: put, Key: "b", Revision: 6, Header: 6, Call: 11, Return: 20}, true},
		{"a later write with an older revision", &operation{Kind: put, Key: "b", Revision: 4, Header: 4, Call: 11, Return: 20}, false},
		{"a write at the same time", &operation{Kind: put, Key: "b", Revision: 4, Header: 4, Call: 10, Return: 20}, true},
		{"a read of another key from an older state", &operation{Kind: get, Key: "b", Header: 4, Call: 11, Return: 20}, false},
		{"a read of another key from the same state", &operation{Kind: get, Key: "b", Header: 5, Call: 11, Return: 20}, true},
	} {
		if err := inOrder([]*operation{c.second, first}); (err == nil) != c.fine {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestAcknowledgedWritesAreThere(t *testing.T) {
	ops := []*operation{
		{Kind: put, Key: "a", Value: "1", Revision: 2}, {Kind: drop, Key: "a", Expect: "1", Revision: 3},
		{Kind: put, Key: "b", Value: "2", Unknown: true}, {Kind: swap, Key: "b", Value: "3", Expect: "9", Failed: true},
	}
	events := []event{{"a", "1", 2, false}, {"a", "", 3, true}}
	if err := acknowledged(ops, events); err != nil {
		t.Error(err)
	}
	for name, wrong := range map[string][]event{
		"missing":      events[:1],
		"another key":  {{"c", "1", 2, false}, events[1]},
		"no deletion":  {events[0], {"a", "", 3, false}},
		"other places": {{"a", "1", 3, false}, {"a", "", 4, true}},
	} {
		if acknowledged(ops, wrong) == nil {
			t.Errorf("%s: not found", name)
		}
	}
}
