package watch

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"bowline/internal/mvcc"
	"bowline/internal/wire"
)

// fakeHistory is a naive store: every event there was, and what each key is now.
type fakeHistory struct {
	mu        sync.Mutex
	events    []mvcc.Event
	current   int64
	compacted int64
	live      map[string]wire.KeyValue
	newest    map[string]mvcc.Revision
	changes   int // calls of Changes
	versions  int // calls of Version
	fault     error
}

func newFakeHistory() *fakeHistory {
	return &fakeHistory{
		current: 1, compacted: -1,
		live: map[string]wire.KeyValue{}, newest: map[string]mvcc.Revision{},
	}
}

// op is a put, or a deletion if value is nil.
type op struct {
	key   string
	value []byte
}

func put(key, value string) op { return op{key, append([]byte{}, value...)} }
func del(key string) op        { return op{key: key} }

// apply makes one revision of ops, without those that delete what is not there.
func (f *fakeHistory) apply(ops ...op) (int64, []mvcc.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	rev := mvcc.Revision{Main: f.current + 1}
	var events []mvcc.Event
	for _, o := range ops {
		old, exists := f.live[o.key]
		e := mvcc.Event{Key: []byte(o.key), Revision: rev, Kind: mvcc.KindCreate}
		if exists {
			e.Kind, e.Prev = mvcc.KindUpdate, f.newest[o.key]
		}
		if o.value == nil {
			if !exists {
				continue
			}
			e.Kind = mvcc.KindDelete
			e.KV = (&wire.KeyValue{Key: e.Key, Mod: rev.Main}).Append(nil)
			delete(f.live, o.key)
		} else {
			kv := wire.KeyValue{Key: e.Key, Create: rev.Main, Mod: rev.Main, Version: old.Version + 1, Value: o.value}
			if exists {
				kv.Create = old.Create
			}
			e.KV = kv.Append(nil)
			f.live[o.key] = kv
		}
		f.newest[o.key] = rev
		events = append(events, e)
		rev.Sub++
	}
	if len(events) > 0 {
		f.current++
		f.events = append(f.events, events...)
	}
	return f.current, events
}

func (f *fakeHistory) compact(rev int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.compacted = max(f.compacted, rev)
}

func (f *fakeHistory) Revisions() (int64, int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.current, f.compacted
}

func matches(key []byte, from, end string) bool {
	if end == "" {
		return string(key) == from
	}
	return string(key) >= from && (end == "\x00" || string(key) < end)
}

func (f *fakeHistory) Changes(ctx context.Context, key, end []byte, from, to int64, yield func(mvcc.Event) bool) error {
	f.mu.Lock()
	f.changes++
	events, compacted, fault := f.events, f.compacted, f.fault
	f.mu.Unlock()
	if fault != nil {
		return fault
	}
	if from < compacted {
		return mvcc.ErrCompacted
	}
	for _, e := range events {
		if r := e.Revision.Main; r < from || r > to || !matches(e.Key, string(key), string(end)) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if !yield(e) {
			return nil
		}
	}
	return nil
}

func (f *fakeHistory) Version(key []byte, rev mvcc.Revision) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.versions++
	if f.fault != nil {
		return nil, f.fault
	}
	for _, e := range f.events {
		if e.Revision == rev && bytes.Equal(e.Key, key) && e.Kind != mvcc.KindDelete {
			if rev.Main < f.compacted {
				return nil, nil
			}
			return e.KV, nil
		}
	}
	return nil, nil
}

// world is a hub over a fake history whose dispatches the test makes itself.
type world struct {
	t interface {
		Helper()
		Fatalf(string, ...any)
	}
	history *fakeHistory
	hub     *Hub
	// asleep are the streams whose reader has found nothing and waits to be woken.
	asleep map[*Stream]bool
}

func newWorld(t *testing.T, c Config) *world {
	t.Helper()
	w := &world{t: t, history: newFakeHistory(), asleep: map[*Stream]bool{}}
	c.History = w.history
	w.hub = NewHub(c)
	return w
}

// publish applies ops as one revision, without handing it out.
func (w *world) publish(ops ...op) int64 {
	rev, events := w.history.apply(ops...)
	if len(events) > 0 {
		w.hub.Publish(rev, events)
	}
	return rev
}

func (w *world) dispatch() {
	for w.hub.dispatch() {
	}
}

// put publishes and hands out one put.
func (w *world) put(key, value string) int64 {
	rev := w.publish(put(key, value))
	w.dispatch()
	return rev
}

// watch opens a stream with the given watches.
func (w *world) watch(requests ...CreateRequest) *Stream {
	w.t.Helper()
	s := w.hub.NewStream()
	for _, r := range requests {
		w.create(s, r)
	}
	return s
}

func (w *world) create(s *Stream, r CreateRequest) {
	w.t.Helper()
	if err := s.Create(context.Background(), r); err != nil {
		w.t.Fatalf("create: %v", err)
	}
}

// poll returns the next message as a client decodes it, nil if there is none. It
// finds nothing in vain: a reader who sleeps when there is something for it, and
// whom nobody has woken, fails the test.
func (w *world) poll(s *Stream) *etcdserverpb.WatchResponse {
	w.t.Helper()
	select {
	case <-s.wake:
		w.asleep[s] = false
	default:
	}
	r, err := s.poll(context.Background())
	if err != nil {
		w.t.Fatalf("poll: %v", err)
	}
	if r == nil {
		w.asleep[s] = true
		return nil
	}
	if w.asleep[s] {
		w.t.Fatalf("there is something for a reader whom nobody has woken")
	}
	m, err := decode(r)
	if err != nil {
		w.t.Fatalf("%v", err)
	}
	return m
}

func decode(r *Response) (*etcdserverpb.WatchResponse, error) {
	var m etcdserverpb.WatchResponse
	b := bytes.Join(r.Encode(nil, 7, 8, 9), nil)
	if err := proto.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("decode response: %w", err)
	}
	if h := m.Header; h.ClusterId != 7 || h.MemberId != 8 || h.RaftTerm != 9 {
		return nil, fmt.Errorf("header is %v", h)
	}
	if len(b) > r.Size() {
		return nil, fmt.Errorf("response of %d bytes says it has at most %d", len(b), r.Size())
	}
	return &m, nil
}

// drain returns all that is to be sent now.
func (w *world) drain(s *Stream) []*etcdserverpb.WatchResponse {
	w.t.Helper()
	var all []*etcdserverpb.WatchResponse
	for m := w.poll(s); m != nil; m = w.poll(s) {
		all = append(all, m)
	}
	return all
}

// describe prints a response in a line: what tests compare.
func describe(m *etcdserverpb.WatchResponse) string {
	s := fmt.Sprintf("id=%d rev=%d", m.WatchId, m.Header.Revision)
	if m.Created {
		s += " created"
	}
	if m.Canceled {
		s += " canceled"
	}
	if m.CompactRevision != 0 {
		s += fmt.Sprintf(" compact=%d", m.CompactRevision)
	}
	if m.CancelReason != "" {
		s += fmt.Sprintf(" reason=%q", m.CancelReason)
	}
	if m.Fragment {
		s += " fragment"
	}
	for _, e := range m.Events {
		s += " " + describeEvent(e)
	}
	return s
}

func describeEvent(e *mvccpb.Event) string {
	s := fmt.Sprintf("put(%s=%s@%d)", e.Kv.Key, e.Kv.Value, e.Kv.ModRevision)
	if e.Type == mvccpb.Event_DELETE {
		s = fmt.Sprintf("del(%s@%d)", e.Kv.Key, e.Kv.ModRevision)
	}
	if e.PrevKv != nil {
		s += fmt.Sprintf("<-%s@%d", e.PrevKv.Value, e.PrevKv.ModRevision)
	}
	return s
}

// expect compares all that is to be sent now with want, a line each.
func (w *world) expect(s *Stream, want ...string) {
	w.t.Helper()
	w.compare(w.describeAll(s), want)
}

// expectInAnyOrder is for watchers that owe each other no order. want is sorted.
func (w *world) expectInAnyOrder(s *Stream, want ...string) {
	w.t.Helper()
	got := w.describeAll(s)
	slices.Sort(got)
	w.compare(got, want)
}

func (w *world) describeAll(s *Stream) (got []string) {
	w.t.Helper()
	for _, m := range w.drain(s) {
		got = append(got, describe(m))
	}
	return got
}

func (w *world) compare(got, want []string) {
	w.t.Helper()
	for i := range max(len(got), len(want)) {
		g, e := "nothing", "nothing"
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			e = want[i]
		}
		if g != e {
			w.t.Fatalf("response %d:\n got %s\nwant %s", i, g, e)
		}
	}
}
