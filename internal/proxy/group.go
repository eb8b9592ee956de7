package proxy

import (
	"context"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// hub is all watches of all clients.
type hub struct {
	watches pb.WatchClient
	kv      pb.KVClient
	// prefix is the namespace that all keys of clients lie in.
	prefix  string
	queue   bounds
	cache   *cache
	figures *figures
	log     *zap.Logger

	ctx context.Context

	starting sync.Mutex // guards what follows
	stopped  bool
	running  sync.WaitGroup // the lines

	mu     sync.Mutex // guards groups; taken before a group's
	groups map[caller]*group
}

func newHub(ctx context.Context, watches pb.WatchClient, kv pb.KVClient, prefix string, queue bounds, c *cache, log *zap.Logger) *hub {
	return &hub{watches: watches, kv: kv, prefix: prefix, queue: queue, cache: c, figures: c.figures, log: log, ctx: ctx, groups: make(map[caller]*group)}
}

// start starts a goroutine, unless the hub is stopping.
func (h *hub) start(f func()) {
	h.starting.Lock()
	defer h.starting.Unlock()
	if !h.stopped {
		h.running.Go(f)
	}
}

// wait waits for all goroutines, after the hub's context has ended.
func (h *hub) wait() {
	h.starting.Lock()
	h.stopped = true
	h.starting.Unlock()
	h.running.Wait()
}

// group is the watches of all clients that are the same caller.
//
//	                ┌────────── join ──────────┐
//	create ─► from now on: live share on the main line ◄── settle ── share that catches up,
//	        └ from a revision ─────────────────────────────────────► on a line of its own ◄─┐
//	                                                                                        │
//	          parked: its client does not read ── the client has read: resume ──────────────┘
type group struct {
	hub    *hub
	who    caller
	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex // guards what follows, and lines, shares and watches
	clients map[*client]struct{}
	main    *line // nil until it is needed
	live    map[subject]*share
	behind  map[subject][]*share
	header  *pb.ResponseHeader // of the newest response
}

// subject is what is watched. Watches that have it in common can share one of the cluster's.
type subject struct {
	keyRange
	prevKV bool
}

// share is a watch of the cluster, for all watches of clients that have the same subject. The group's lock guards it.
type share struct {
	line *line
	id   int64
	what subject
	// next is the revision behind those whose events have come; 0 until it is known.
	next    int64
	created bool
	// level tells that it has caught up, and waits for the live share.
	level bool
	// leaving tells that the cluster was asked to end it.
	leaving bool
	// ripe is which answer about progress knows of it.
	ripe    int
	watches map[*watch]struct{}
}

// enter adds a client to those of its caller.
func (h *hub) enter(who caller, c *client) (*group, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ctx.Err() != nil {
		return nil, status.Error(codes.Unavailable, "the proxy is stopping")
	}
	g := h.groups[who]
	if g == nil {
		g = &group{hub: h, who: who, clients: make(map[*client]struct{}), live: make(map[subject]*share),
			behind: make(map[subject][]*share), header: new(pb.ResponseHeader)}
		g.ctx, g.cancel = context.WithCancel(h.ctx)
		h.groups[who] = g
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.clients[c] = struct{}{}
	return g, nil
}

// leave forgets a client and its watches.
func (h *hub) leave(c *client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	g := c.group
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, w := range c.watches {
		w.ended = true
		g.detachLocked(w)
	}
	delete(g.clients, c)
	if len(g.clients) == 0 {
		g.cancel()
		if h.groups[g.who] == g {
			delete(h.groups, g.who)
		}
	}
}

// expel ends the streams of all clients.
func (h *hub) expel(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, g := range h.groups {
		g.mu.Lock()
		for c := range g.clients {
			c.cancel(err)
		}
		g.mu.Unlock()
	}
}

// fail ends the streams of all clients with an error of the cluster that will not pass.
func (g *group) fail(err error) {
	g.hub.mu.Lock()
	if g.hub.groups[g.who] == g {
		delete(g.hub.groups, g.who)
	}
	g.hub.mu.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.clients {
		c.cancel(err)
	}
}

// begin starts a new watch, and returns when its client was told that it is there, or refused.
func (g *group) begin(w *watch) (refused bool, err error) {
	g.mu.Lock()
	s := g.live[w.what]
	if s != nil && s.created && s.reaches(w) {
		g.mu.Unlock()
		header, err := g.check(w.client.ctx, w.what.keyRange)
		g.mu.Lock()
		if err != nil && !g.who.passing(err) {
			w.endLocked(&pb.WatchResponse{Header: g.header, Created: true, CancelReason: err.Error()})
			g.mu.Unlock()
			return true, nil
		}
		if s = g.live[w.what]; err == nil && s != nil && s.created && s.reaches(w) {
			header.Revision = max(header.Revision, s.next-1)
			w.createdLocked(header)
		}
	}
	if !w.announced {
		s = g.placeLocked(w)
	}
	g.attachLocked(w, s)
	g.mu.Unlock()
	select {
	case <-w.settled:
	case <-w.client.ctx.Done():
		g.mu.Lock()
		defer g.mu.Unlock()
		w.ended = true
		g.detachLocked(w)
		return true, context.Cause(w.client.ctx)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return !w.announced, nil
}

// reaches tells whether nothing has passed that a watch still wants, nor will have when the share is created.
func (s *share) reaches(w *watch) bool { return w.next == 0 || s.next > 0 && w.next >= s.next }

// placeLocked finds or makes the share for a watch that was not told that it is there, or that goes on.
func (g *group) placeLocked(w *watch) *share {
	if s := g.live[w.what]; s != nil && s.reaches(w) && (!s.created || w.announced) {
		return s
	}
	if w.next == 0 {
		s := g.mainLocked().addLocked(w.what, 0)
		g.live[w.what] = s
		return s
	}
	for _, s := range g.behind[w.what] {
		if s.next == w.next && !s.created && !s.leaving {
			return s
		}
	}
	s := g.openLocked().addLocked(w.what, w.next)
	g.behind[w.what] = append(g.behind[w.what], s)
	return s
}

func (g *group) mainLocked() *line {
	if g.main == nil {
		g.main = g.openLocked()
	}
	return g.main
}

func (g *group) attachLocked(w *watch, s *share) {
	w.share = s
	s.watches[w] = struct{}{}
	if len(s.watches) > 1 {
		g.hub.figures.sharing.Inc()
	}
}

// detachLocked takes a watch from its share, if it has one, which ends with its last watch.
func (g *group) detachLocked(w *watch) {
	w.client.mu.Lock()
	delete(w.client.parked, w)
	w.client.mu.Unlock()
	s := w.share
	if s == nil {
		return
	}
	w.share = nil
	delete(s.watches, w)
	if len(s.watches) > 0 {
		g.hub.figures.sharing.Dec()
		return
	}
	g.dropLocked(s)
}

// dropLocked ends a share without watches.
func (g *group) dropLocked(s *share) {
	g.hideLocked(s)
	delete(s.line.shares, s.id)
	switch {
	case s.line != g.main:
		s.line.cancel()
	case !s.leaving:
		s.line.queueLocked(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{
			CancelRequest: &pb.WatchCancelRequest{WatchId: s.id}}})
	}
}

// hideLocked keeps others from joining a share.
func (g *group) hideLocked(s *share) {
	if g.live[s.what] == s {
		delete(g.live, s.what)
	}
	list := g.behind[s.what]
	for i := range list {
		if list[i] == s {
			list = append(list[:i:i], list[i+1:]...)
			break
		}
	}
	if g.behind[s.what] = list; len(list) == 0 {
		delete(g.behind, s.what)
	}
}

// letGoLocked takes a watch from its share because its client wants so. If no other watch has the share the cluster is
// asked to end it, and its answer is the client's; true then.
func (g *group) letGoLocked(w *watch) (alone bool) {
	s := w.share
	if s == nil || !s.created || len(s.watches) > 1 {
		g.detachLocked(w)
		return false
	}
	if !s.leaving {
		s.leaving = true
		g.hideLocked(s)
		s.line.queueLocked(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{
			CancelRequest: &pb.WatchCancelRequest{WatchId: s.id}}})
	}
	return true
}

// resume has a parked watch go on where it was.
func (g *group) resume(w *watch) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if w.ended || w.share != nil || w.client.watches[w.id] != w {
		return
	}
	g.attachLocked(w, g.placeLocked(w))
}

// check asks the cluster whether the caller may read a range; its header tells where the cluster is.
func (g *group) check(ctx context.Context, r keyRange) (*pb.ResponseHeader, error) {
	if r.begin == "" && g.hub.prefix == "" {
		r.begin = "\x00"
	}
	r = r.within(g.hub.prefix)
	resp, err := g.hub.kv.Range(g.who.speak(ctx), &pb.RangeRequest{
		Key: []byte(r.begin), RangeEnd: []byte(r.end), Serializable: true, CountOnly: true, Limit: 1,
	})
	return resp.GetHeader(), err
}

// headerFor is a header for an answer about a range that does not come from the cluster, and what the cluster has
// against it that the caller reads there.
func (g *group) headerFor(ctx context.Context, r keyRange) (header *pb.ResponseHeader, refused error) {
	header, err := g.check(ctx, r)
	if err == nil {
		return header, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.who.passing(err) {
		err = nil
	}
	return g.header, err
}

// askFor asks the cluster how far the watches of a client are.
func (g *group) askFor(c *client) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(c.watches) == 0 {
		return
	}
	c.asks = true
	g.mainLocked().askLocked()
}

// answerLocked tells clients that asked how far they are: the main line has told all up to the header's revision.
func (g *group) answerLocked(header *pb.ResponseHeader) {
	for c := range g.clients {
		if !c.asks {
			continue
		}
		ready, future := c.readyLocked(g.main, header.GetRevision())
		if c.asks = !ready && !future; ready {
			c.post(&pb.WatchResponse{Header: header, WatchId: noID})
		}
	}
}

// readyLocked tells whether all watches of a client have all up to a revision, or whether one is to begin behind it.
func (c *client) readyLocked(main *line, revision int64) (ready, future bool) {
	ready = len(c.watches) > 0
	for _, w := range c.watches {
		s := w.share
		future = future || w.next > revision+1
		ready = ready && s != nil && s.line == main && s.created && s.ripe <= main.answered
	}
	return ready && !future, future
}
