package watch

import (
	"context"
	"slices"
	"sync"

	"bowline/internal/mvcc"
)

// stretchLimits say where a stretch ends.
type stretchLimits struct {
	// revisions is how many revisions with events it holds at most, span how many
	// revisions it is made from, so that one who watches little does not keep its
	// neighbours on the stream waiting.
	revisions int
	span      int64
	// bytes is the size from which it ends with its revision.
	bytes int64
}

func defaultStretchLimits() stretchLimits {
	return stretchLimits{revisions: 1000, span: 16_000, bytes: 1 << 20}
}

// keptStretches is how many are remembered for others.
const keptStretches = 16

// stretches reads history. The last ones are kept for others who watch the same
// keys from about the same place: after a restart or the arrival of a snapshot
// that is what all clients do at once.
type stretches struct {
	history  History
	limits   stretchLimits
	maxBytes int64 // what the kept ones may take

	encoded account

	mu    sync.Mutex // protects the following fields
	kept  []*stretch // oldest first
	bytes int64      // what the kept events take, without their encodings
}

// stretch is the events of [key, end) in the revisions from..through.
type stretch struct {
	key, end string
	from     int64
	loaded   chan struct{} // closed when the following fields are set
	through  int64
	store    int64 // the store's revision when it was read
	// events are allocated one by one, so that those that were sent can go while
	// others still wait.
	events []*event
	err    error

	bytes int64 // what the stretch is counted for; under the lock of stretches
}

// get returns a stretch that holds revision from and ends at or before limit.
func (ss *stretches) get(ctx context.Context, key, end string, from, limit int64) (*stretch, error) {
	for {
		st, mine := ss.find(key, end, from)
		if mine {
			ss.load(ctx, st, limit)
		} else {
			select {
			case <-st.loaded:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			if st.err != nil || from > st.through {
				continue // whoever read it has removed it, or it ends before from
			}
		}
		return st, st.err
	}
}

// find returns a stretch that holds from or is being read from there or before; if
// there is none, a new one which the caller must load.
func (ss *stretches) find(key, end string, from int64) (_ *stretch, mine bool) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	for _, st := range ss.kept {
		if st.key != key || st.end != end || st.from > from {
			continue
		}
		select {
		case <-st.loaded:
			if from <= st.through {
				return st, false
			}
		default:
			if from < st.from+int64(ss.limits.revisions) {
				return st, false
			}
		}
	}
	st := &stretch{key: key, end: end, from: from, loaded: make(chan struct{})}
	ss.kept = append(ss.kept, st)
	ss.trimLocked()
	return st, true
}

func (ss *stretches) load(ctx context.Context, st *stretch, limit int64) {
	defer close(st.loaded)
	st.store, _ = ss.history.Revisions()
	st.through = min(limit, st.from+ss.limits.span-1)
	var end []byte
	if st.end != "" {
		end = []byte(st.end)
	}
	var changes []mvcc.Event
	revisions, size := 0, int64(0)
	st.err = ss.history.Changes(ctx, []byte(st.key), end, st.from, st.through, func(e mvcc.Event) bool {
		if n := len(changes); n == 0 || changes[n-1].Revision.Main != e.Revision.Main {
			if revisions == ss.limits.revisions || size >= ss.limits.bytes {
				st.through = e.Revision.Main - 1
				return false
			}
			revisions++
		}
		changes = append(changes, e)
		size += int64(len(e.Key)+len(e.KV)) + eventOverhead
		return true
	})
	st.events = make([]*event, len(changes))
	for i, c := range changes {
		st.events[i] = &event{change: &c}
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if st.err != nil {
		ss.removeLocked(st)
		return
	}
	if !slices.Contains(ss.kept, st) { // others have pushed it out
		st.retire(&ss.encoded)
		return
	}
	st.bytes = size
	ss.bytes += size
	ss.trimLocked()
}

// trim keeps the bounds; it is called after events were encoded.
func (ss *stretches) trim() {
	if ss.encoded.bytes.Load() == 0 {
		return
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.trimLocked()
}

func (ss *stretches) trimLocked() {
	for len(ss.kept) > keptStretches || len(ss.kept) > 0 && ss.bytes+ss.encoded.bytes.Load() > ss.maxBytes {
		ss.removeLocked(ss.kept[0])
	}
}

func (ss *stretches) removeLocked(st *stretch) {
	i := slices.Index(ss.kept, st)
	if i < 0 {
		return
	}
	ss.kept = slices.Delete(ss.kept, i, i+1)
	ss.bytes -= st.bytes
	if st.bytes > 0 { // it is loaded
		st.retire(&ss.encoded)
	}
}

func (st *stretch) retire(a *account) {
	for _, e := range st.events {
		e.retire(a)
	}
}

// forget lets all stretches go; those under way are finished for those who wait.
func (ss *stretches) forget() {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	for len(ss.kept) > 0 {
		ss.removeLocked(ss.kept[0])
	}
}
