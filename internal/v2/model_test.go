package v2

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"bowline/internal/engine"
	"bowline/internal/wire"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// bench is a store under test with its model.
type bench struct {
	t      *testing.T
	fs     vfs.FS
	engine *engine.Engine
	store  *Store
	model  *naive
	rand   *rand.Rand
	now    int64
	live   []*live
	// batch is being filled, if not nil, and events are its.
	batch  *engine.Batch
	events []*Event
}

// live is a watcher, and what it should have got.
type live struct {
	w                 *Watcher
	name              string
	recursive, stream bool
	want              []*Event
}

func newBench(t *testing.T, seed uint64) *bench {
	b := &bench{t: t, fs: vfs.NewMem(), model: newNaive(), rand: rand.New(rand.NewPCG(seed, 0)), now: 1_700_000_000e9}
	b.open()
	t.Cleanup(func() { b.must(b.engine.Close()) })
	return b
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) open() {
	var err error
	b.engine, err = engine.Open("e", engine.Options{FS: b.fs})
	b.must(err)
	st, err := Load(b.engine)
	b.must(err)
	b.store = New(b.engine, st)
}

// apply applies a request in a batch of its own, as fsm may.
func (b *bench) apply(r *wire.V2Request) Result {
	b.commit()
	got := b.add(r)
	b.commit()
	return got
}

// add applies a request in the batch that is being filled.
func (b *bench) add(r *wire.V2Request) Result {
	if b.batch == nil {
		b.batch = b.engine.NewBatch()
	}
	got, err := b.store.Apply(b.batch, r)
	b.must(err)
	b.events = append(b.events, got.Events...)
	return got
}

// commit makes known what was added.
func (b *bench) commit() {
	if b.batch == nil {
		return
	}
	b.must(b.store.Seal(b.batch))
	b.must(b.engine.Commit(b.batch))
	b.store.Publish(b.events)
	b.batch, b.events = nil, nil
}

func (b *bench) one(of ...string) string { return of[b.rand.IntN(len(of))] }

func (b *bench) path() string {
	name := KeysPrefix
	for range b.rand.IntN(4) {
		name += "/" + b.one("a", "b", "_h", "ab", "a!", "c\x00d")
	}
	return name
}

func (b *bench) maybe(of int) bool { return b.rand.IntN(of) == 0 }

func (b *bench) choice(of int) *bool {
	if !b.maybe(of) {
		return nil
	}
	yes := b.maybe(2)
	return &yes
}

func (b *bench) request() *wire.V2Request {
	b.now += b.rand.Int64N(1e9)
	r := &wire.V2Request{Method: b.one(wire.V2Put, wire.V2Put, wire.V2Put, wire.V2Post, wire.V2Delete, wire.V2Expire), Path: b.path(), Time: b.now}
	if r.Method == wire.V2Expire {
		return r
	}
	r.Value = b.one("", "x", "y")
	r.Dir, r.Recursive = b.maybe(3), b.maybe(3)
	if b.maybe(5) {
		r.PrevValue = b.one("x", "y")
	}
	if b.maybe(8) {
		r.PrevIndex = 1 + b.rand.Uint64N(b.model.index+1)
	}
	r.PrevExist = b.choice(3)
	if b.maybe(3) {
		r.Expiration = b.now + b.rand.Int64N(20e9)
	}
	if b.maybe(20) {
		r.Expiration = 1
	}
	if refresh := b.choice(6); refresh != nil {
		r.Refresh = refresh
		r.Value = ""
	}
	return r
}

func show(e *Event) string {
	if e == nil {
		return "nothing"
	}
	s := fmt.Sprintf("%s %+v refresh=%t time=%d", e.Action, e.Node, e.Refresh, e.Time)
	if e.Prev != nil {
		s += fmt.Sprintf(" prev %+v", *e.Prev)
	}
	return s
}

// same tells whether events are what the model says.
func same(got, want []*Event) bool {
	return slices.EqualFunc(got, want, func(a, b *Event) bool { return show(a) == show(b) })
}

// step applies one request to both and compares.
func (b *bench) step() {
	r := b.request()
	before := b.model.index
	events, code, cause := b.model.apply(r)
	if Alone(r) {
		b.commit()
	}
	got := b.add(r)
	if Alone(r) || b.maybe(4) {
		b.commit()
	}
	switch {
	case code == 0 && got.Refusal != nil, code != 0 && got.Refusal == nil:
		b.t.Fatalf("%+v: refused with %+v, want code %d", r, got.Refusal, code)
	case code != 0:
		want := Error{Code: code, Message: messages[code], Cause: strings.TrimPrefix(cause, KeysPrefix), Index: before}
		if *got.Refusal != want {
			b.t.Fatalf("%+v: refused with %+v, want %+v", r, *got.Refusal, want)
		}
	case !same(got.Events, events):
		b.t.Fatalf("%+v: events\n%v, want\n%v", r, all(got.Events), all(events))
	}
	for _, l := range b.live {
		for _, e := range events {
			if n := delivered(e, l.name, l.recursive, l.stream); l.stream || len(l.want) == 0 {
				l.want = append(l.want, slices.Repeat([]*Event{e}, n)...)
			}
		}
	}
}

func all(events []*Event) (out []string) {
	for _, e := range events {
		out = append(out, show(e))
	}
	return out
}

// compare compares the tree and everything in it.
func (b *bench) compare() {
	b.t.Helper()
	b.commit()
	b.must(b.store.Check())
	if b.store.Index() != b.model.index {
		b.t.Fatalf("the index is %d, want %d", b.store.Index(), b.model.index)
	}
	name, recursive := b.path(), b.maybe(2)
	r, err := b.store.Read(name, recursive, b.now)
	if code, cause := b.model.way(name); code != 0 {
		var refusal *Error
		if !errors.As(err, &refusal) || refusal.Code != code || refusal.Cause != cause {
			b.t.Fatalf("read of %q: %v, want %d %s", name, err, code, cause)
		}
		return
	}
	b.must(err)
	defer r.Close()
	var got []string
	b.must(r.Each(func(n *Node) error {
		got = append(got, fmt.Sprintf("%+v", *n))
		if want := b.model.nodes[n.Path]; want != *n {
			b.t.Fatalf("%q is %+v, want %+v", n.Path, *n, want)
		}
		return nil
	}))
	want := 0
	for _, at := range b.model.below(name) {
		inside := at[len(name):]
		if !strings.Contains(inside, "/_") && (recursive || strings.Count(inside, "/") == 1) {
			want++
		}
	}
	if len(got) != want {
		b.t.Fatalf("below %q (recursive: %t) are %d, want %d: %q", name, recursive, len(got), want, got)
	}
}

// search compares a search of the history.
func (b *bench) search() {
	b.commit()
	since := 1 + b.rand.Uint64N(b.model.index+1)
	name, recursive := b.path(), b.maybe(2)
	w, err := b.store.Watch(name, recursive, b.maybe(2), since)
	if b.model.index >= HistoryLen && since <= b.model.index-HistoryLen {
		var refusal *Error
		if !errors.As(err, &refusal) || refusal.Code != CodeCleared {
			b.t.Fatalf("a search from %d at %d: %v", since, b.model.index, err)
		}
		return
	}
	b.must(err)
	defer w.Close()
	var want *Event
	for _, e := range b.model.events {
		removed := (e.Action == ActionDelete || e.Action == ActionExpire) && e.Node.Dir && strings.HasPrefix(name, e.Node.Path)
		if e.Index() >= since && !e.Refresh &&
			(e.Node.Path == name || recursive && strings.HasPrefix(e.Node.Path, name+"/") || removed) {
			want = e
			break
		}
	}
	var got *Event
	select {
	case got = <-w.Events:
	default:
	}
	if show(got) != show(want) {
		b.t.Fatalf("search for %q from %d: %s, want %s", name, since, show(got), show(want))
	}
}

func (b *bench) watch() {
	b.commit()
	l := &live{name: b.path(), recursive: b.maybe(2), stream: b.maybe(2)}
	var err error
	l.w, err = b.store.Watch(l.name, l.recursive, l.stream, 0)
	b.must(err)
	b.live = append(b.live, l)
}

// settle compares what the watchers got, and ends them.
func (b *bench) settle() {
	b.commit()
	for _, l := range b.live {
		var got []*Event
		for more := true; more; {
			select {
			case e := <-l.w.Events:
				got = append(got, e)
			default:
				more = false
			}
		}
		want := l.want[:min(len(l.want), queueLen)]
		if !same(got, want) {
			b.t.Fatalf("watcher of %q (recursive %t, stream %t) got\n%q\nwant\n%q", l.name, l.recursive, l.stream, all(got), all(want))
		}
		l.w.Close()
	}
	b.live = nil
	if n := b.store.Stats().Watchers; n != 0 {
		b.t.Fatalf("%d watchers are left", n)
	}
}

func (b *bench) restart() {
	b.settle()
	before := b.store.Stats()
	b.must(b.engine.Flush())
	b.must(b.engine.Close())
	b.open()
	after := b.store.Stats()
	if before.Counts != after.Counts {
		b.t.Fatalf("the counters were %v and are %v", before.Counts, after.Counts)
	}
}

// TestAgainstNaive plays random histories, with restarts, longer than the history of
// events is kept.
func TestAgainstNaive(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			b := newBench(t, seed)
			for i := range 5000 {
				b.step()
				switch {
				case i%7 == 0:
					b.watch()
				case i%11 == 0:
					b.search()
				case i%50 == 0:
					b.compare()
				case i%60 == 0:
					b.settle()
				case i%400 == 399:
					b.restart()
				}
			}
			b.settle()
			b.compare()
			if b.model.index < HistoryLen {
				t.Errorf("only %d changes: the history was never full", b.model.index)
			}
		})
	}
}
