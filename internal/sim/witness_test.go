package sim

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"bowline/internal/mvcc"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// witness sees what all members do and compares it. What it is told of a member is what happened before that member's
// crash: see life.alive.
type witness struct {
	began time.Time
	stop  context.CancelFunc // ends the run at the first violation

	mu         sync.Mutex // guards the fields below
	leaders    map[uint64]uint64
	votes      map[ballot]uint64
	entries    map[uint64]string // what was committed at each index
	events     map[int64]string  // what each revision did
	changes    map[int64][]change
	hashes     map[hashKey]hashed
	violations []string
	trace      []string

	// acknowledged is the highest revision that a client has been told of.
	acknowledged atomic.Int64
	// moments counts everything that clients do, in the order of real time.
	moments atomic.Int64
}

type (
	ballot  struct{ member, term uint64 }
	hashKey struct{ revision, compacted int64 }
	hashed  struct {
		sum uint32
		by  string
	}
	// change is an event, as far as watchers can compare it.
	change struct {
		revision int64
		key      string
		value    string
		deleted  bool
	}
)

func newWitness(stop context.CancelFunc) *witness {
	return &witness{
		began: time.Now(), stop: stop, leaders: map[uint64]uint64{}, votes: map[ballot]uint64{}, entries: map[uint64]string{},
		events: map[int64]string{}, changes: map[int64][]change{}, hashes: map[hashKey]hashed{},
	}
}

// note adds to the trace that a failure prints.
func (w *witness) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.noteLocked(format, args...)
}

func (w *witness) noteLocked(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf("%9.4fs  ", time.Since(w.began).Seconds())+fmt.Sprintf(format, args...))
}

// violation ends the run.
func (w *witness) violation(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.violationLocked(format, args...)
}

func (w *witness) violationLocked(format string, args ...any) {
	w.noteLocked("VIOLATION: "+format, args...)
	w.violations = append(w.violations, fmt.Sprintf(format, args...))
	w.stop()
}

func (w *witness) found() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.violations)
}

// steps returns the trace.
func (w *witness) steps() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.trace)
}

// sent looks at what a member says to others.
func (w *witness) sent(id uint64, messages []*raftpb.Message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range messages {
		switch m.GetType() {
		case raftpb.MsgApp, raftpb.MsgHeartbeat, raftpb.MsgSnap:
			switch was, known := w.leaders[m.GetTerm()]; {
			case !known:
				w.leaders[m.GetTerm()] = id
				w.noteLocked("member %x leads in term %d", id, m.GetTerm())
			case was != id:
				w.violationLocked("two leaders in term %d: %x and %x", m.GetTerm(), was, id)
			}
		case raftpb.MsgVoteResp:
			if m.GetReject() {
				continue
			}
			b := ballot{id, m.GetTerm()}
			if was, voted := w.votes[b]; voted && was != m.GetTo() {
				w.violationLocked("member %x voted twice in term %d: for %x and %x", id, b.term, was, m.GetTo())
			}
			w.votes[b] = m.GetTo()
		}
	}
}

// committed looks at entries that a member applies, or finds committed in its log.
func (w *witness) committed(id uint64, how string, entries []*raftpb.Entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range entries {
		h := fnv.New64a()
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(e.GetType())))
		h.Write(e.GetData())
		is := fmt.Sprintf("term %d %s %x", e.GetTerm(), e.GetType(), h.Sum64())
		switch was, known := w.entries[e.GetIndex()]; {
		case !known:
			w.entries[e.GetIndex()] = is
		case was != is:
			w.violationLocked("entry %d is %q where member %x %s it; it was committed as %q", e.GetIndex(), is, id, how, was)
		}
	}
}

// published looks at the events of one revision as a member has applied it.
func (w *witness) published(id uint64, events []mvcc.Event) {
	rev := events[0].Revision.Main
	var b strings.Builder
	changes := make([]change, len(events))
	for i, e := range events {
		kv, err := valueOf(e.KV)
		if err != nil {
			w.violation("member %x publishes what cannot be read at revision %d: %v", id, rev, err)
			return
		}
		changes[i] = change{revision: rev, key: string(e.Key), value: kv, deleted: e.Kind == mvcc.KindDelete}
		fmt.Fprintf(&b, "%v kind %d of %q after %v: %x;", e.Revision, e.Kind, e.Key, e.Prev, e.KV)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch was, known := w.events[rev]; {
	case !known:
		w.events[rev], w.changes[rev] = b.String(), changes
	case was != b.String():
		w.violationLocked("revision %d of member %x is %q, elsewhere it is %q", rev, id, b.String(), was)
	}
}

// history is what happened to keys with a prefix, in revisions from..to. ok is false if nobody saw a revision.
func (w *witness) history(prefix string, from, to int64) (changes []change, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for rev := from; rev <= to; rev++ {
		if _, known := w.changes[rev]; !known {
			return changes, false
		}
		for _, c := range w.changes[rev] {
			if strings.HasPrefix(c.key, prefix) {
				changes = append(changes, c)
			}
		}
	}
	return changes, true
}

// wrote tells whether a value was ever put.
func (w *witness) wrote() map[string]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	values := map[string]bool{}
	for _, changes := range w.changes {
		for _, c := range changes {
			values[c.value] = true
		}
	}
	return values
}

// hash compares a member's hash with all that were taken at the same revisions.
func (w *witness) hash(by string, h mvcc.Hash) {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := hashKey{h.Revision, h.Compacted}
	switch was, known := w.hashes[key]; {
	case !known:
		w.hashes[key] = hashed{h.Sum, by}
	case was.sum != h.Sum:
		w.violationLocked("hashes at revision %d, compacted %d, differ: %08x of %s, %08x of %s", h.Revision, h.Compacted, h.Sum, by, was.sum, was.by)
	}
}

// answered looks at the revision of an answer to a request that must see everything acknowledged before it began.
func (w *witness) answered(what string, revision, before int64) {
	if revision < before {
		w.violation("%s was answered at revision %d; before it began revision %d had been acknowledged", what, revision, before)
	}
	for {
		now := w.acknowledged.Load()
		if now >= revision || w.acknowledged.CompareAndSwap(now, revision) {
			return
		}
	}
}

// clone is a message of the receiver's own.
func clone[M proto.Message](m M) M { return proto.Clone(m).(M) }
