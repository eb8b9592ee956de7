package member

import (
	"math"
	"sync"
	"time"

	"bowline/internal/httpapi/v2http"

	"go.etcd.io/raft/v3/raftpb"
)

// neverSent is what the statistics of API v2 show as the shortest time where there is
// none.
const neverSent = 1 << 63

// rateWindow is the time over which rates are taken.
const rateWindow = time.Second

// entryTraffic counts messages with entries for the statistics of API v2. It counts
// only if the API is enabled.
type entryTraffic struct {
	mu             sync.Mutex // guards all
	received, sent traffic
	led            bool // whether the last message was sent, not received
	followers      map[uint64]*acknowledged
}

type traffic struct {
	count uint64
	// of the window that began at since, and of the one before it
	since          time.Time
	n, before      int
	bytes, earlier int
}

func (t *traffic) add(bytes int, now time.Time) {
	t.roll(now)
	t.count++
	t.n++
	t.bytes += bytes
}

func (t *traffic) roll(now time.Time) {
	switch passed := now.Sub(t.since); {
	case passed > 2*rateWindow:
		t.since, t.before, t.earlier, t.n, t.bytes = now, 0, 0, 0, 0
	case passed > rateWindow:
		t.since, t.before, t.earlier, t.n, t.bytes = t.since.Add(rateWindow), t.n, t.bytes, 0, 0
	}
}

func (t *traffic) show(now time.Time) v2http.Traffic {
	t.roll(now)
	over := (rateWindow + now.Sub(t.since)).Seconds()
	return v2http.Traffic{Count: t.count, PerSecond: float64(t.n+t.before) / over, Bytes: float64(t.bytes+t.earlier) / over}
}

// acknowledged is how long a follower took to acknowledge entries, in milliseconds.
type acknowledged struct {
	asked                       time.Time // zero if nothing waits
	n                           uint64
	current, sum, squares, most float64
	least                       float64
}

func (a *acknowledged) answer(now time.Time) {
	if a.asked.IsZero() {
		return
	}
	ms := float64(now.Sub(a.asked)) / float64(time.Millisecond)
	a.asked = time.Time{}
	a.n++
	a.current, a.sum, a.squares = ms, a.sum+ms, a.squares+ms*ms
	a.most = max(a.most, ms)
	if a.n == 1 || ms < a.least {
		a.least = ms
	}
}

func (a *acknowledged) show() v2http.Follower {
	f := v2http.Follower{Current: a.current, Most: a.most, Least: neverSent, Succeeded: a.n}
	if a.n > 0 {
		f.Least, f.Average = a.least, a.sum/float64(a.n)
		f.Deviation = math.Sqrt(max(0, a.squares/float64(a.n)-f.Average*f.Average))
	}
	return f
}

func (t *entryTraffic) countSent(messages []*raftpb.Message) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range messages {
		if m.GetType() != raftpb.MsgApp {
			continue
		}
		t.sent.add(sizeOf(m), now)
		t.led = true
		if t.followers == nil {
			t.followers = make(map[uint64]*acknowledged)
		}
		f := t.followers[m.GetTo()]
		if f == nil {
			f = new(acknowledged)
			t.followers[m.GetTo()] = f
		}
		if f.asked.IsZero() {
			f.asked = now
		}
	}
}

func (t *entryTraffic) countReceived(messages []*raftpb.Message) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range messages {
		switch m.GetType() {
		case raftpb.MsgApp:
			t.received.add(sizeOf(m), now)
			t.led = false
			clear(t.followers) // who leads is somebody else
		case raftpb.MsgAppResp:
			if f := t.followers[m.GetFrom()]; f != nil {
				f.answer(now)
			}
		}
	}
}

// sizeOf is about how large a message is on its way.
func sizeOf(m *raftpb.Message) int {
	const head = 32
	n := head
	for _, e := range m.GetEntries() {
		n += head + len(e.GetData())
	}
	return n
}

func (t *entryTraffic) show(s *v2http.Standing, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.Received, s.Sent, s.Led = t.received.show(now), t.sent.show(now), t.led
	s.Followers = make(map[uint64]v2http.Follower, len(t.followers))
	for id, f := range t.followers {
		s.Followers[id] = f.show()
	}
}
