package faults

import (
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// attempt is one write of a key that a client has sent: a value, or a deletion.
type attempt struct {
	key, value string
	deletion   bool
	// rev is the revision of the answer; 0 while there is none.
	rev int64
}

func (a *attempt) String() string {
	if a.deletion {
		return fmt.Sprintf("deletion of %q at %d", a.key, a.rev)
	}
	return fmt.Sprintf("put of %q = %q at %d", a.key, a.value, a.rev)
}

// history is what clients know: the writes that were acknowledged, those whose
// outcome is unknown, and every event that a watcher was shown. Each key has one
// writer, who waits for its answers, so a key has at most one open attempt.
type history struct {
	mu sync.Mutex // guards everything below
	// settled is the last write of each key that is known to have happened, open
	// the one after it without an answer.
	settled, open map[string]*attempt
	// acked are the acknowledged writes by revision.
	acked map[int64][]*attempt
	// highest is the highest revision that any answer has told.
	highest int64
	// events are those of the watcher of all keys, by revision from 2 on.
	events map[int64][]event
	seen   int64
	// compacted is the highest revision that a compaction was asked for.
	compacted int64
	errs      []error
	// compactions, snapshots and replays count what came to its end.
	compactions, snapshots, replays int
}

// event is what is remembered of one.
type event struct {
	key                  string
	rev, create, version int64
	lease                int64
	deletion             bool
	value                uint64
}

func valueHash(v string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(v))
	return h.Sum64()
}

func remember(e *mvccpb.Event) event {
	return event{key: string(e.Kv.Key), rev: e.Kv.ModRevision, create: e.Kv.CreateRevision, version: e.Kv.Version,
		lease: e.Kv.Lease, deletion: e.Type == mvccpb.Event_DELETE, value: valueHash(string(e.Kv.Value))}
}

func newHistory() *history {
	return &history{settled: make(map[string]*attempt), open: make(map[string]*attempt),
		acked: make(map[int64][]*attempt), events: make(map[int64][]event), highest: 1, seen: 1}
}

func (h *history) fail(format string, args ...any) {
	h.errs = append(h.errs, fmt.Errorf(format, args...))
}

// err is what was found wrong so far.
func (h *history) err() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return errors.Join(h.errs...)
}

func (h *history) count(n *int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*n++
}

// begin notes writes that are about to be sent in one request.
func (h *history) begin(writes ...*attempt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range writes {
		h.open[w.key] = w
	}
}

// acknowledge notes that the request with these writes was answered. With rev 0
// the answer was that nothing has happened.
func (h *history) acknowledge(rev int64, writes ...*attempt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range writes {
		delete(h.open, w.key)
	}
	if rev == 0 {
		return
	}
	if other := h.acked[rev]; len(other) > 0 {
		h.fail("revision %d was given to %v and to %v", rev, other[0], writes[0])
	}
	h.highest = max(h.highest, rev)
	for _, w := range writes {
		w.rev = rev
		h.settled[w.key] = w
		h.acked[rev] = append(h.acked[rev], w)
	}
}

// told notes a revision that an answer has told.
func (h *history) told(rev int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.highest = max(h.highest, rev)
}

// reconcile compares what is stored under the writers' prefix after a restart with
// what must be there. It settles what was open.
func (h *history) reconcile(kvs []*mvccpb.KeyValue, revision int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if revision < h.highest {
		h.fail("the store is at revision %d after a restart, but %d was seen before", revision, h.highest)
	}
	h.highest = max(h.highest, revision)
	stored := make(map[string]*mvccpb.KeyValue)
	for _, kv := range kvs {
		stored[string(kv.Key)] = kv
	}
	for key, w := range h.open {
		if happened(w, stored[key], h.settled[key]) {
			if kv := stored[key]; kv != nil {
				w.rev = kv.ModRevision
			}
			h.settled[key] = w
		}
	}
	clear(h.open)
	for key, w := range h.settled {
		kv := stored[key]
		delete(stored, key)
		switch {
		case w.deletion && kv != nil:
			h.fail("after the acknowledged %v there is %v", w, kv)
		case w.deletion:
		case kv == nil:
			h.fail("lost: the acknowledged %v", w)
		case string(kv.Value) != w.value || kv.ModRevision != w.rev:
			h.fail("instead of the acknowledged %v there is %v", w, kv)
		}
	}
	for _, kv := range stored {
		h.fail("nobody has written %v", kv)
	}
}

// happened tells whether an unanswered write took place.
func happened(w *attempt, kv *mvccpb.KeyValue, before *attempt) bool {
	if w.deletion {
		return kv == nil && before != nil && !before.deletion
	}
	return kv != nil && string(kv.Value) == w.value
}

// next is the revision at which the watcher of all keys must go on.
func (h *history) next() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.seen + 1
}

// observe takes a response of the watcher of all keys. Since every revision has
// an event, each must come, whole and once.
func (h *history) observe(events []*mvccpb.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, e := range events {
		rev := e.Kv.ModRevision
		switch {
		case rev == h.seen && i > 0 && events[i-1].Kv.ModRevision == rev:
		case rev == h.seen+1:
			h.seen = rev
		default:
			h.fail("the watcher was at revision %d and got %v", h.seen, e)
			h.seen = rev
		}
		h.events[rev] = append(h.events[rev], remember(e))
	}
}

// position is the revision that the watcher of all keys has reached.
func (h *history) position() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.seen
}

// matchEvents compares what another watcher saw between two revisions with what
// the watcher of all keys saw.
func (h *history) matchEvents(who string, got []event, prefix string, from, to int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var want []event
	for rev := from; rev <= to; rev++ {
		for _, e := range h.events[rev] {
			if strings.HasPrefix(e.key, prefix) {
				want = append(want, e)
			}
		}
	}
	got = slices.DeleteFunc(slices.Clone(got), func(e event) bool { return e.rev < from || e.rev > to })
	if slices.Equal(got, want) {
		return
	}
	for i := range got {
		if i >= len(want) || got[i] != want[i] {
			h.fail("%s: event %d is %+v, want %+v", who, i, got[i], want[min(i, len(want)):min(i+1, len(want))])
			return
		}
	}
	h.fail("%s saw %d events from %d to %d, want %d", who, len(got), from, to, len(want))
}

// matchAcked compares the acknowledged writes with the events.
func (h *history) matchAcked() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for rev, writes := range h.acked {
		if rev > h.seen {
			h.fail("revision %d was acknowledged, but the watcher has seen only %d", rev, h.seen)
			continue
		}
		for _, w := range writes {
			if !slices.ContainsFunc(h.events[rev], func(e event) bool {
				return e.key == w.key && e.deletion == w.deletion && e.value == valueHash(w.value)
			}) {
				h.fail("the acknowledged %v is not among the events of its revision: %+v", w, h.events[rev])
			}
		}
	}
}
