package proxy

import (
	"context"
	"math"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
)

const (
	// A line that fails is opened again after these times, each twice the one before.
	firstBackoff = 50 * time.Millisecond
	lastBackoff  = 2 * time.Second
	// askInterval is how often the cluster is asked again how far a line is while somebody wants to know, and
	// askPatience for how long an answer may still come.
	askInterval = 200 * time.Millisecond
	// roundInterval is how often it is asked when nobody does: what a line knows must not become so old that it is
	// compacted when the stream has to be opened again.
	roundInterval = time.Minute
	askPatience   = 2 * time.Second
)

// line is a watch stream to the cluster. The main one of a group has all its live shares, each other one a share that
// catches up. The group's lock guards it.
type line struct {
	group  *group
	ctx    context.Context
	cancel context.CancelFunc
	wake   chan struct{} // holds a token when the sender may have something to do

	shares map[int64]*share
	lastID int64
	out    []*pb.WatchRequest
	// awaiting are the shares that the cluster has not yet answered for, in the order in which it was asked.
	awaiting []*share
	// asked and answered count questions about progress; those that are never answered are forgotten.
	asked, answered int
	askedAt         time.Time
}

// openLocked is a new line.
func (g *group) openLocked() *line {
	l := &line{group: g, wake: make(chan struct{}, 1), shares: make(map[int64]*share)}
	l.ctx, l.cancel = context.WithCancel(g.ctx)
	g.hub.start(l.run)
	return l
}

// addLocked asks the cluster for a watch.
func (l *line) addLocked(what subject, start int64) *share {
	l.lastID++
	s := &share{line: l, id: l.lastID, what: what, next: start, watches: make(map[*watch]struct{})}
	l.shares[s.id] = s
	l.createLocked(s)
	return s
}

// createLocked asks for a share, from where it is. One that was there before begins with what was heard last, which is
// not for its watches any more: a watch that begins behind the newest revision would keep the cluster from telling how
// far the line is.
func (l *line) createLocked(s *share) {
	r, start := s.what.within(l.group.hub.prefix), s.next
	if s.created {
		start = max(1, s.next-1)
	}
	l.awaiting = append(l.awaiting, s)
	l.queueLocked(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{
		WatchId: s.id, Key: []byte(r.begin), RangeEnd: []byte(r.end), StartRevision: start,
		PrevKv: s.what.prevKV, ProgressNotify: true,
	}}})
}

func (l *line) queueLocked(r *pb.WatchRequest) {
	l.out = append(l.out, r)
	nudge(l.wake)
}

// askLocked asks how far the line is, unless an answer may be on its way.
func (l *line) askLocked() {
	if l.asked > l.answered && time.Since(l.askedAt) < askPatience {
		nudge(l.wake)
		return
	}
	l.asked, l.askedAt = l.answered, time.Now()
	l.askAgainLocked()
}

func (l *line) askAgainLocked() {
	l.asked++
	l.queueLocked(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}})
}

// wondersLocked tells whether somebody wants to know how far the line is.
func (l *line) wondersLocked() bool {
	if l != l.group.main {
		for _, s := range l.shares {
			return s.created
		}
		return false
	}
	for c := range l.group.clients {
		if c.asks {
			return true
		}
	}
	return false
}

// run keeps the stream open.
func (l *line) run() {
	defer l.cancel()
	for backoff := firstBackoff; ; backoff = min(2*backoff, lastBackoff) {
		heard, err := l.serve()
		if l.ctx.Err() != nil {
			return
		}
		if !l.group.who.passing(err) {
			l.group.fail(err)
			return
		}
		l.group.hub.log.Warn("a watch stream has failed", zap.Error(err))
		if heard {
			backoff = firstBackoff
		}
		select {
		case <-time.After(backoff):
		case <-l.ctx.Done():
			return
		}
	}
}

// serve opens the stream and uses it until it fails.
func (l *line) serve() (heard bool, err error) {
	ctx, cancel := context.WithCancel(l.ctx)
	defer cancel()
	stream, err := l.group.hub.watches.Watch(l.group.who.speak(ctx))
	if err != nil {
		return false, err
	}
	l.restore()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		l.send(ctx, stream)
	}()
	defer func() {
		cancel()
		<-sent
	}()
	for {
		resp, err := stream.Recv()
		if err != nil {
			return heard, err
		}
		heard = true
		strip(resp, l.group.hub.prefix)
		l.group.hub.cache.seen(resp.Events)
		l.handle(resp)
	}
}

// restore asks for all shares of the line, from where they are.
func (l *line) restore() {
	g := l.group
	g.mu.Lock()
	defer g.mu.Unlock()
	l.out, l.awaiting, l.asked, l.answered = nil, nil, 0, 0
	for _, s := range l.shares {
		s.ripe = math.MaxInt // until it is created again
		if s.leaving {
			g.overLocked(s, &pb.WatchResponse{Header: g.header})
			continue
		}
		l.createLocked(s)
	}
}

// send sends requests until ctx ends. The receiver learns it when the stream has failed.
func (l *line) send(ctx context.Context, stream pb.Watch_WatchClient) {
	for {
		l.group.mu.Lock()
		out := l.out
		l.out = nil
		wonders := l.wondersLocked()
		l.group.mu.Unlock()
		for _, r := range out {
			if stream.Send(r) != nil {
				return
			}
		}
		interval := roundInterval
		if wonders {
			interval = askInterval
		}
		again := time.NewTimer(interval)
		select {
		case <-l.wake:
			again.Stop()
		case <-again.C:
			l.group.mu.Lock()
			l.askAgainLocked()
			l.group.mu.Unlock()
		case <-ctx.Done():
			again.Stop()
			return
		}
	}
}

// handle hands out what the cluster says.
func (l *line) handle(resp *pb.WatchResponse) {
	g := l.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if resp.Header.GetRevision() >= g.header.GetRevision() {
		g.header = resp.Header
	}
	switch {
	case resp.Created:
		l.createdLocked(resp)
	case resp.Canceled:
		if s := l.shares[resp.WatchId]; s != nil {
			g.overLocked(s, resp)
		}
	case resp.WatchId == noID && len(resp.Events) == 0:
		l.answered++
		l.asked = max(l.asked, l.answered)
		if l == g.main {
			l.advanceLocked(resp.Header.GetRevision())
			g.answerLocked(resp.Header)
			return
		}
		for _, s := range l.shares {
			s.next = max(s.next, resp.Header.GetRevision()+1)
			g.settleLocked(s)
		}
	default:
		if s := l.shares[resp.WatchId]; s != nil {
			g.shareOutLocked(s, resp)
		}
	}
}

// advanceLocked notes that all shares have all up to a revision, but for those that the cluster may not have meant.
func (l *line) advanceLocked(revision int64) {
	for _, s := range l.shares {
		if s.created && s.ripe <= l.answered {
			s.next = max(s.next, revision+1)
		}
	}
}

// createdLocked takes the answer to a request to create a watch. A refusal does not name the watch; the answers come in
// the order of the requests.
func (l *line) createdLocked(resp *pb.WatchResponse) {
	at := 0
	for i, s := range l.awaiting {
		if s.id == resp.WatchId {
			at = i
		}
	}
	if len(l.awaiting) == 0 {
		return
	}
	s := l.awaiting[at]
	l.awaiting = append(l.awaiting[:at:at], l.awaiting[at+1:]...)
	if l.shares[s.id] != s {
		return // nobody wants it any more
	}
	if resp.Canceled {
		l.group.overLocked(s, resp)
		return
	}
	s.created, s.ripe = true, l.answered+max(0, l.asked-l.answered)+1
	if s.next == 0 {
		s.next = resp.Header.GetRevision() + 1
	}
	for w := range s.watches {
		w.createdLocked(resp.Header)
	}
	switch {
	case l == l.group.main:
		for _, behind := range slices.Clone(l.group.behind[s.what]) {
			if behind.level {
				l.group.settleLocked(behind)
			}
		}
	case s.next > resp.Header.GetRevision():
		l.group.settleLocked(s) // there is nothing to catch up with
	default:
		l.askLocked()
	}
}

// overLocked ends a share that the cluster has ended, or has refused.
func (g *group) overLocked(s *share, resp *pb.WatchResponse) {
	for w := range s.watches {
		if len(s.watches) > 1 {
			g.hub.figures.sharing.Dec()
		}
		delete(s.watches, w)
		w.share = nil
		w.endLocked(resp)
	}
	s.leaving = true
	g.dropLocked(s)
}

// shareOutLocked hands a response to all watches of a share. Those whose clients have no room are parked.
func (g *group) shareOutLocked(s *share, resp *pb.WatchResponse) {
	if n := len(s.watches); n > 1 {
		g.hub.figures.sharedEvents.Add(float64(n - 1))
	}
	for w := range s.watches {
		if !w.takeLocked(resp) {
			w.share = nil
			delete(s.watches, w)
			if len(s.watches) > 0 {
				g.hub.figures.sharing.Dec()
			}
		}
	}
	if n := len(resp.Events); n > 0 {
		s.next = max(s.next, resp.Events[n-1].Kv.ModRevision+1)
	} else {
		s.next = max(s.next, resp.Header.GetRevision()+1)
	}
	if len(s.watches) == 0 {
		g.dropLocked(s)
	}
}

// settleLocked moves the watches of a share that has caught up to the live one, which is made if there is none.
func (g *group) settleLocked(s *share) {
	if s.leaving {
		return
	}
	live := g.live[s.what]
	switch {
	case live == nil:
		// Not behind the newest revision: see createLocked.
		live = g.mainLocked().addLocked(s.what, max(1, min(s.next-1, g.header.GetRevision())))
		g.live[s.what] = live
	case !live.created || live.next > s.next:
		s.level = true
		return // tried again when that one is created, or when the cluster has told how far this one is
	}
	for w := range s.watches {
		if len(s.watches) > 1 {
			g.hub.figures.sharing.Dec()
		}
		delete(s.watches, w)
		g.attachLocked(w, live)
	}
	g.dropLocked(s)
}
