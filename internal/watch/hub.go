package watch

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"bowline/internal/mvcc"
)

// ErrClosed is what a stream answers when it was closed or the hub has stopped.
var ErrClosed = errors.New("watch: closed")

// History is where the events are that the feed no longer holds. *mvcc.Store
// implements it. It is used from many goroutines at once.
type History interface {
	// Revisions returns the current and the compacted revision. It is cheap.
	Revisions() (current, compacted int64)
	// Changes calls f, in revision order, for each change with from <= Main <= to of
	// a key in [key, end): end nil is that key alone, end "\x00" every key from key
	// on. f returning false ends it. It answers mvcc.ErrCompacted if from lies below
	// the compacted revision.
	Changes(ctx context.Context, key, end []byte, from, to int64, f func(mvcc.Event) bool) error
	// Version returns the encoded KeyValue of key at exactly rev, nil if it is gone.
	Version(key []byte, rev mvcc.Revision) ([]byte, error)
}

// Defaults of Config.
const (
	DefaultWindow               = 16 << 20
	DefaultQueueBytes           = 4 << 20
	DefaultFragmentBytes        = 2 << 20
	DefaultProgressInterval     = 10 * time.Minute
	DefaultMaxWatchersPerStream = 1_000_000
	DefaultMaxWatchers          = 10_000_000
)

// Config is what a Hub needs. Zero numbers stand for the defaults above.
type Config struct {
	History History
	// Window is how many bytes of events, encodings included, the feed holds. What
	// waits in the streams' queues is in the feed too, so this bounds both.
	Window int64
	// QueueBytes is how many bytes of events may wait on one stream. A watcher that
	// finds the queue full is caught up later, when the reader has made room.
	QueueBytes int
	// FragmentBytes is the encoded size from which a response is split, where that
	// was asked for: the largest request plus 512 KiB. Events that waited are merged
	// into a response only up to the lesser of this and 1 MiB.
	FragmentBytes int
	// ProgressInterval is the time between two notifications of progress, to which
	// each stream adds up to a tenth of its own choice.
	ProgressInterval time.Duration
	// MaxWatchersPerStream and MaxWatchers bound the memory that watchers take, at
	// some 300 bytes each besides their keys. A watch beyond is refused.
	MaxWatchersPerStream int
	MaxWatchers          int
	Logger               *zap.Logger
}

func (c Config) withDefaults() Config {
	orDefault(&c.Window, DefaultWindow)
	orDefault(&c.QueueBytes, DefaultQueueBytes)
	orDefault(&c.FragmentBytes, DefaultFragmentBytes)
	orDefault(&c.ProgressInterval, DefaultProgressInterval)
	orDefault(&c.MaxWatchersPerStream, DefaultMaxWatchersPerStream)
	orDefault(&c.MaxWatchers, DefaultMaxWatchers)
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	return c
}

func orDefault[T int | int64 | time.Duration](v *T, def T) {
	if *v == 0 {
		*v = def
	}
}

// groupRevisions is how many revisions are handed out while the index is held.
const groupRevisions = 256

// Hub finds the watchers of each event. Its methods may be called from any
// goroutine, except that Publish and Reset have one caller.
type Hub struct {
	config    Config
	history   History
	feed      *feed
	stretches *stretches
	scratch   sync.Pool     // of *catchUp
	wake      chan struct{} // holds one token when something was published
	done      chan struct{} // closed when Run has ended

	// pos is the last revision whose events are in the queues of all who watch them
	// live. It is written under mu.
	pos atomic.Int64
	// watchers counts all watchers. It is raised before a new one looks at the feed
	// and read after the feed was appended to, so Publish cannot miss one.
	watchers atomic.Int64
	// late counts those that are not live.
	late atomic.Int64

	mu       sync.Mutex // protects the following fields, and all entries of index
	index    index
	streams  map[*Stream]struct{}
	awaiting []awaited // progress asked for at revisions that pos has not reached
	sent     int64     // events sent by streams that are closed

	// The rest belongs to dispatch, under mu.
	current *Stream // the stream whose lock is held, to go on with it cheaply
	touched []*Stream
	groups  []group
	swept   int64 // feed.evicted at the last sweep
}

type awaited struct {
	stream   *Stream
	revision int64
}

// NewHub returns a hub that knows no events up to the history's current revision.
// Run must be called for it to do anything.
func NewHub(c Config) *Hub {
	c = c.withDefaults()
	current, _ := c.History.Revisions()
	h := &Hub{
		config:    c,
		history:   c.History,
		feed:      newFeed(c.Window, current),
		stretches: &stretches{history: c.History, limits: defaultStretchLimits(), maxBytes: c.Window / 2},
		wake:      make(chan struct{}, 1),
		done:      make(chan struct{}),
		streams:   make(map[*Stream]struct{}),
		groups:    make([]group, 0, groupRevisions),
	}
	h.pos.Store(current)
	return h
}

// Run hands out what is published until ctx ends. Streams answer ErrClosed
// afterwards.
func (h *Hub) Run(ctx context.Context) error {
	defer close(h.done)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-h.wake:
			for h.dispatch() {
			}
		}
	}
}

// Publish takes the events of a revision, in order; those without events are
// published too. It does not wait for anybody. The events must not be modified
// afterwards. A revision that does not lie above the last one is a broken promise
// and panics.
func (h *Hub) Publish(revision int64, events []mvcc.Event) {
	h.feed.append(revision, events)
	if h.watchers.Load() > 0 {
		h.nudge()
	}
}

func (h *Hub) nudge() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// Reset forgets the feed, because the state behind History was replaced by a newer
// one. Every watcher catches up from there. It may wait for a dispatch under way,
// but not for a client.
func (h *Hub) Reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	current, _ := h.history.Revisions()
	h.feed.reset(current)
	h.stretches.forget()
	h.skipLocked(current)
	h.grantAwaitedLocked(h.pos.Load())
}

// skipLocked passes over the revisions up to to: live watchers fall behind.
func (h *Hub) skipLocked(to int64) {
	from := h.pos.Load() + 1
	if to < from {
		return
	}
	for s := range h.streams {
		s.mu.Lock()
		for _, w := range s.watchers {
			if w.state == live && w.next <= to {
				s.fallBehindLocked(w, max(w.next, from))
			}
		}
		s.mu.Unlock()
		s.nudge()
	}
	h.pos.Store(to)
}

// dispatch hands out a group of revisions and reports whether there may be more.
func (h *Hub) dispatch() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watchers.Load() == 0 {
		_, last := h.feed.bounds()
		h.pos.Store(max(last, h.pos.Load()))
		h.grantAwaitedLocked(math.MaxInt64) // to nobody
		return false
	}
	groups, through, ok := h.feed.read(h.pos.Load()+1, h.groups)
	if !ok {
		first, _ := h.feed.bounds()
		h.config.Logger.Warn("watch events were published faster than they could be handed out; watchers catch up from history",
			zap.Int64("from-revision", h.pos.Load()+1), zap.Int64("to-revision", first-1))
		h.skipLocked(first - 1)
		return true
	}
	for i := range groups {
		for j := range groups[i].events {
			e := &groups[i].events[j]
			h.index.visit(e.change.Key, func(in *entry) { h.deliver(in.owner, e) })
		}
	}
	more := len(groups) == cap(h.groups)
	clear(groups)
	if h.current != nil {
		h.current.mu.Unlock()
		h.current = nil
	}
	h.pos.Store(max(through, h.pos.Load()))
	for i, s := range h.touched {
		s.touched = false
		s.nudge()
		h.touched[i] = nil
	}
	h.touched = h.touched[:0]
	h.grantAwaitedLocked(h.pos.Load())
	h.sweepLocked()
	return more
}

// deliver gives e to w. It keeps the lock of w's stream for the next call:
// neighbours in the index often share a stream.
func (h *Hub) deliver(w *watcher, e *event) {
	s := w.stream
	if s != h.current {
		if h.current != nil {
			h.current.mu.Unlock()
		}
		s.mu.Lock()
		h.current = s
	}
	if w.state != live || e.revision() < w.next || w.filters(e) {
		return
	}
	if s.bytes >= h.config.QueueBytes {
		s.dropRevisionLocked(w, e.revision())
		s.fallBehindLocked(w, e.revision())
	} else {
		e.encoded(&h.feed.encoded)
		s.enqueueLocked(w, e, &s.ready)
	}
	if !s.touched {
		s.touched = true
		h.touched = append(h.touched, s)
	}
}

// sweepLocked takes back the references to events that the feed has let go, once
// that is an eighth of the window or more.
func (h *Hub) sweepLocked() {
	evicted, first := h.feed.evictedBytes()
	if evicted-h.swept < h.config.Window/8 {
		return
	}
	h.swept = evicted
	for s := range h.streams {
		s.mu.Lock()
		s.dropBelowLocked(first)
		s.mu.Unlock()
	}
}

// grantAwaitedLocked answers the requests for progress that waited for pos, which
// has been reached.
func (h *Hub) grantAwaitedLocked(pos int64) {
	if len(h.awaiting) == 0 {
		return
	}
	rest := h.awaiting[:0]
	for _, a := range h.awaiting {
		if a.revision > pos {
			rest = append(rest, a)
			continue
		}
		a.stream.grantProgress(pos)
	}
	clear(h.awaiting[len(rest):])
	h.awaiting = rest
}

// Stats are numbers for the metrics.
type Stats struct {
	Streams  int
	Watchers int
	// Slow is the number of watchers that are not live.
	Slow int
	// Pending is the number of events that wait in queues, Events of those that were
	// sent; an event counts once for each watcher.
	Pending int
	Events  int64
	// FeedBytes is what the feed holds.
	FeedBytes int64
}

// Stats walks all streams.
func (h *Hub) Stats() Stats {
	h.mu.Lock()
	defer h.mu.Unlock()
	st := Stats{Streams: len(h.streams), Watchers: int(h.watchers.Load()), Slow: int(h.late.Load()), Events: h.sent}
	for s := range h.streams {
		s.mu.Lock()
		st.Pending += s.pending
		st.Events += s.sent
		s.mu.Unlock()
	}
	h.feed.mu.Lock()
	st.FeedBytes = h.feed.bytes + h.feed.encoded.bytes.Load()
	h.feed.mu.Unlock()
	return st
}
