package watch

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"pgregory.net/rapid"

	"bowline/internal/mvcc"
)

// observer is what a client knows about one watch, and checks about what it gets.
type observer struct {
	request CreateRequest
	// position is the revision up to which events were seen, or the one before
	// the first to be seen.
	position int64
	created  bool
	canceled bool
	events   []*mvccpb.Event
	partial  bool // the last response was a fragment and more must follow
}

// client reads a stream and checks what holds for every client.
type client struct {
	stream *Stream
	// watches are those the hub has accepted; asked those without an answer.
	watches map[int64]*observer
	asked   []CreateRequest
	ended   []*observer
	// kept are watches that a compaction has ended and the client has not canceled.
	kept map[int64]bool
}

// take checks m against the guarantees.
func (c *client) take(h *fakeHistory, m *etcdserverpb.WatchResponse) error {
	if m.WatchId == progressID && !m.Created {
		for id, o := range c.watches {
			if err := c.progress(h, id, o, m.Header.Revision); err != nil {
				return err
			}
		}
		return nil
	}
	if m.Created {
		o := &observer{request: c.asked[0], created: true}
		c.asked = c.asked[1:]
		if m.Canceled {
			return fmt.Errorf("refused: %s", m.CancelReason)
		}
		o.position = o.request.StartRevision - 1
		if o.request.StartRevision == 0 {
			o.position = m.Header.Revision
		}
		c.watches[m.WatchId] = o
		return nil
	}
	o := c.watches[m.WatchId]
	if o == nil && m.Canceled && c.kept[m.WatchId] {
		delete(c.kept, m.WatchId)
		return nil
	}
	if o == nil {
		return fmt.Errorf("response for watch %d, which is not there", m.WatchId)
	}
	if m.Canceled {
		_, compacted := h.Revisions()
		if m.CompactRevision != 0 && (o.position+1 >= compacted || m.CompactRevision > compacted || m.Header.Revision != 0) {
			return fmt.Errorf("canceled at position %d: %s", o.position, describe(m))
		}
		delete(c.watches, m.WatchId)
		if m.CompactRevision != 0 {
			if c.kept == nil {
				c.kept = make(map[int64]bool)
			}
			c.kept[m.WatchId] = true
		}
		o.canceled = true
		c.ended = append(c.ended, o)
		return nil
	}
	if len(m.Events) == 0 {
		return c.progress(h, m.WatchId, o, m.Header.Revision)
	}
	if m.Fragment && !o.request.Fragment {
		return fmt.Errorf("a fragment that nobody asked for")
	}
	for i, e := range m.Events {
		rev := e.Kv.ModRevision
		if rev <= o.position && !(i == 0 && o.partial) && !(i > 0 && rev == m.Events[i-1].Kv.ModRevision) {
			return fmt.Errorf("watch %d is at %d and got %s", m.WatchId, o.position, describeEvent(e))
		}
		o.position = rev
		o.events = append(o.events, e)
	}
	o.partial = m.Fragment
	if m.Header.Revision < o.position {
		return fmt.Errorf("header says %d after event %d", m.Header.Revision, o.position)
	}
	if !m.Fragment {
		return o.complete(h, o.position)
	}
	return nil
}

// progress checks the promise that everything up to rev was sent.
func (c *client) progress(h *fakeHistory, id int64, o *observer, rev int64) error {
	if rev < o.request.StartRevision {
		return fmt.Errorf("progress %d for watch %d, which starts at %d", rev, id, o.request.StartRevision)
	}
	if err := o.complete(h, rev); err != nil {
		return fmt.Errorf("progress %d: %w", rev, err)
	}
	o.position = max(o.position, rev)
	return nil
}

// complete checks that o has seen exactly what it must have seen up to rev.
func (o *observer) complete(h *fakeHistory, rev int64) error {
	var got, want []string
	for _, e := range o.events {
		if e.Kv.ModRevision > rev {
			break // it may know more than is promised
		}
		got = append(got, fmt.Sprintf("%s@%d %v", e.Kv.Key, e.Kv.ModRevision, e.Type))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	from := o.request.StartRevision
	if from == 0 && len(o.events) > 0 {
		from = o.events[0].Kv.ModRevision
	}
	for _, e := range h.events {
		deleted := e.Kind == mvcc.KindDelete
		if e.Revision.Main < from || e.Revision.Main > rev || from == 0 ||
			!matches(e.Key, string(o.request.Key), string(o.request.End)) ||
			deleted && o.request.NoDelete || !deleted && o.request.NoPut {
			continue
		}
		typ := mvccpb.Event_PUT
		if deleted {
			typ = mvccpb.Event_DELETE
		}
		want = append(want, fmt.Sprintf("%s@%d %v", e.Key, e.Revision.Main, typ))
	}
	for i := range max(len(got), len(want)) {
		if i == len(got) || i == len(want) || got[i] != want[i] {
			return fmt.Errorf("up to revision %d, from event %d on,\n got %v\nwant %v", rev, i, some(got, i), some(want, i))
		}
	}
	return nil
}

func some(s []string, from int) []string {
	from = min(from, len(s))
	return s[from:min(from+10, len(s))]
}

func drawRequest(t *rapid.T, current int64) CreateRequest {
	key := rapid.StringMatching(`[a-e]`)
	r := CreateRequest{
		Key:      []byte(key.Draw(t, "key")),
		PrevKV:   rapid.Bool().Draw(t, "prev"),
		Fragment: rapid.Bool().Draw(t, "fragment"),
		NoPut:    rapid.IntRange(0, 9).Draw(t, "noput") == 0,
		NoDelete: rapid.IntRange(0, 9).Draw(t, "nodelete") == 0,
	}
	switch rapid.IntRange(0, 3).Draw(t, "range") {
	case 0:
		r.End = []byte("\x00")
	case 1:
		r.End = append([]byte{}, r.Key...)
		r.End[0] += byte(rapid.IntRange(1, 3).Draw(t, "width"))
	}
	if rapid.Bool().Draw(t, "past") {
		r.StartRevision = rapid.Int64Range(1, current+3).Draw(t, "start")
	}
	return r
}

// TestModel plays random histories, clients and delays, one step at a time.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := newFakeHistory()
		hub := NewHub(Config{
			History:       h,
			Window:        rapid.Int64Range(1, 20_000).Draw(t, "window"),
			QueueBytes:    rapid.IntRange(1, 1000).Draw(t, "queue"),
			FragmentBytes: rapid.IntRange(150, 2000).Draw(t, "fragment size"),
		})
		hub.stretches.limits = stretchLimits{
			revisions: rapid.IntRange(1, 10).Draw(t, "stretch"),
			span:      rapid.Int64Range(1, 40).Draw(t, "span"),
			bytes:     rapid.Int64Range(1, 5000).Draw(t, "stretch bytes"),
		}
		w := &world{t: t, history: h, hub: hub, asleep: map[*Stream]bool{}}
		var clients []*client
		pick := func(t *rapid.T) *client {
			if len(clients) == 0 {
				t.Skip("no client")
			}
			return rapid.SampledFrom(clients).Draw(t, "client")
		}
		read := func(t *rapid.T, c *client) bool {
			m := w.poll(c.stream)
			if m == nil {
				return false
			}
			if err := c.take(h, m); err != nil {
				t.Fatalf("%v", err)
			}
			return true
		}
		publish := func(t *rapid.T) {
			for range rapid.IntRange(1, 8).Draw(t, "revisions") {
				var ops []op
				for range rapid.IntRange(1, 3).Draw(t, "ops") {
					key := rapid.StringMatching(`[a-g]`).Draw(t, "key")
					if rapid.IntRange(0, 3).Draw(t, "delete") == 0 {
						ops = append(ops, del(key))
					} else {
						ops = append(ops, put(key, strings.Repeat("v", rapid.IntRange(0, 100).Draw(t, "size"))))
					}
				}
				w.publish(ops...)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"publish":              publish,
			"publish and dispatch": func(t *rapid.T) { publish(t); w.dispatch() },
			"dispatch":             func(t *rapid.T) { w.dispatch() },
			"stream": func(t *rapid.T) {
				if len(clients) == 4 {
					t.Skip("enough clients")
				}
				clients = append(clients, &client{stream: hub.NewStream(), watches: map[int64]*observer{}})
			},
			"create": func(t *rapid.T) {
				c := pick(t)
				if len(c.stream.answers) > 100 {
					t.Skip("too many unsent answers")
				}
				r := drawRequest(t, h.current)
				c.asked = append(c.asked, r)
				w.create(c.stream, r)
			},
			"cancel": func(t *rapid.T) {
				c := pick(t)
				if len(c.stream.answers) < 100 {
					must2(t, c.stream.Cancel(context.Background(), rapid.Int64Range(0, 5).Draw(t, "id")))
				}
			},
			"progress": func(t *rapid.T) {
				c := pick(t)
				if len(c.stream.answers) < 100 {
					must2(t, c.stream.Progress(context.Background()))
				}
			},
			"read some": func(t *rapid.T) {
				c := pick(t)
				for range rapid.IntRange(1, 5).Draw(t, "responses") {
					read(t, c)
				}
			},
			"read all": func(t *rapid.T) {
				for c := pick(t); read(t, c); {
				}
			},
			"compact": func(t *rapid.T) {
				h.compact(rapid.Int64Range(max(0, h.current-30), h.current).Draw(t, "compact"))
			},
			"reset": func(t *rapid.T) {
				if rapid.IntRange(0, 3).Draw(t, "unseen") == 0 {
					h.apply(put("a", "unseen"))
				}
				hub.Reset()
			},
			"close": func(t *rapid.T) {
				if rapid.IntRange(0, 5).Draw(t, "really") > 0 || len(clients) == 0 {
					t.Skip("not now")
				}
				clients[0].stream.Close()
				clients = clients[1:]
			},
		})
		w.dispatch()
		st := hub.Stats()
		watchers := 0
		for _, c := range clients {
			for read(t, c) {
			}
			for id, o := range c.watches {
				if o.request.StartRevision == 0 {
					// The first event it was given tells where it began; see complete.
					o.request.StartRevision = o.position + 1
					if len(o.events) > 0 {
						o.request.StartRevision = o.events[0].Kv.ModRevision
					}
				}
				if err := o.complete(h, h.current); err != nil {
					t.Fatalf("at the end, watch %d: %v", id, err)
				}
			}
			watchers += len(c.watches)
			if c.stream.bytes != 0 || c.stream.pending != 0 || c.stream.late != 0 || len(c.stream.answers) != 0 {
				t.Fatalf("a drained stream holds %d bytes, %d events, %d late, %d answers",
					c.stream.bytes, c.stream.pending, c.stream.late, len(c.stream.answers))
			}
		}
		if st = hub.Stats(); st.Watchers != watchers || st.Slow != 0 || st.Pending != 0 {
			t.Fatalf("%d watches are known to clients, stats are %+v", watchers, st)
		}
		for _, c := range clients {
			c.stream.Close()
		}
		if st = hub.Stats(); st.Watchers != 0 || st.Streams != 0 || hub.index.root != nil || len(hub.index.exact) != 0 {
			t.Fatalf("after all was closed stats are %+v", st)
		}
		if n := hub.stretches.encoded.bytes.Load() + hub.stretches.bytes; n != 0 {
			t.Fatalf("stretches count %d bytes though nobody is behind", n)
		}
	})
}

func must2(t *rapid.T, err error) {
	if err != nil {
		t.Fatalf("%v", err)
	}
}

// TestConcurrently runs everything at once, for the race detector and for order.
func TestConcurrently(t *testing.T) {
	const revisions, streams = 3000, 8
	h := newFakeHistory()
	hub := NewHub(Config{History: h, Window: 50_000, QueueBytes: 4000})
	ctx, cancel := context.WithCancel(t.Context())
	var running, readers sync.WaitGroup
	running.Go(func() { _ = hub.Run(ctx) })
	var all []*Stream
	for i := range streams {
		c := &client{stream: hub.NewStream(), watches: map[int64]*observer{}}
		all = append(all, c.stream)
		for j := range 4 {
			r := CreateRequest{Key: []byte{byte('a' + j)}, PrevKV: i%2 == 0}
			if j == 0 {
				r.End = []byte("\x00")
			}
			c.asked = append(c.asked, r)
			must(t, c.stream.Create(ctx, r))
		}
		readers.Go(func() {
			for n := 0; ; n++ {
				r, err := c.stream.Next(ctx)
				if err != nil {
					t.Errorf("stream %d: %v", i, err)
					return
				}
				m, err := decode(r)
				if err == nil {
					err = c.take(h, m)
				}
				if err != nil {
					t.Errorf("stream %d: %v", i, err)
					return
				}
				if o := c.watches[0]; o != nil && o.position == revisions+1 {
					return
				}
				if n%50 == i {
					_ = c.stream.Cancel(ctx, 3)
					_ = c.stream.Progress(ctx)
				}
			}
		})
	}
	for i := range revisions {
		rev, events := h.apply(put(string(rune('a'+i%5)), fmt.Sprint(i)))
		hub.Publish(rev, events)
		if i%500 == 250 {
			hub.Reset()
		}
		if i%200 == 0 {
			hub.Stats()
		}
	}
	readers.Wait()
	for _, s := range all {
		s.Close()
	}
	cancel()
	running.Wait()
}
