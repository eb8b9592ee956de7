package proxy

import (
	"context"
	"errors"
	"io"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

const (
	// Beyond these a client's queue takes no more events: its watches are caught up when it has read.
	maxQueuedResponses = 1024
	maxQueuedBytes     = 8 << 20
	// maxWatches is how many watches a stream may have; the member behind has a limit of its own.
	maxWatches = 1 << 20
	// fragmentBytes is the size of the parts for clients that ask for them; etcd's by default.
	fragmentBytes = 1536<<10 + 512<<10

	noID = -1

	reasonDuplicate = "mvcc: duplicate watch ID provided on the WatchStream"
	reasonTooMany   = "etcdserver: too many watches on the stream"
)

// bounds are how many responses, and bytes of them, wait for a client at most before its watches are parked.
type bounds struct{ responses, bytes int }

// client is one client's watch stream.
type client struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	group  *group
	wake   chan struct{} // holds a token when the sender may have something to do
	room   chan struct{} // holds a token when the queue has become shorter

	// What follows belongs to the receiving goroutine.
	nextID int64

	// watches is guarded by the group's lock.
	watches map[int64]*watch
	asks    bool // it waits for an answer about its progress; guarded likewise

	mu     sync.Mutex // guards what follows; taken under the group's
	queue  []*pb.WatchResponse
	bytes  int
	parked map[*watch]struct{}
}

// watch is one watch of a client.
type watch struct {
	client *client
	id     int64
	what   subject
	// wishes of the client, which its share does not know of.
	noPut, noDelete, progress, fragment bool

	// What follows is guarded by the group's lock.
	next      int64  // events before it are not for this watch; 0 until it is known
	announced bool   // the client was told that it is created
	ended     bool   // the client was told that it is not there any more
	share     *share // nil while it is parked
	settled   chan struct{}
}

// serveWatch serves a client's stream: this goroutine sends, another receives.
func (h *hub) serveWatch(stream pb.Watch_WatchServer) error {
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	c := &client{
		ctx: ctx, cancel: cancel, wake: make(chan struct{}, 1), room: make(chan struct{}, 1),
		watches: make(map[int64]*watch), parked: make(map[*watch]struct{}),
	}
	g, err := h.enter(callerOf(stream.Context()), c)
	if err != nil {
		return err
	}
	c.group = g
	defer h.leave(c)
	go func() {
		if err := c.receive(stream); err != nil {
			cancel(err)
		}
	}()
	err = c.send(stream)
	if stream.Context().Err() != nil {
		return status.Error(codes.Canceled, "etcdserver: watch canceled")
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// receive carries out the client's requests. The end of its sending side is not the end of the stream.
func (c *client) receive(stream pb.Watch_WatchServer) error {
	for {
		req, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = c.awaitRoom()
		}
		if err != nil {
			return err
		}
		switch r := req.RequestUnion.(type) {
		case *pb.WatchRequest_CreateRequest:
			if r.CreateRequest != nil {
				err = c.create(r.CreateRequest)
			}
		case *pb.WatchRequest_CancelRequest:
			if r.CancelRequest != nil {
				c.end(r.CancelRequest.WatchId)
			}
		case *pb.WatchRequest_ProgressRequest:
			c.group.askFor(c)
		}
		if err != nil {
			return err
		}
	}
}

// create adds a watch, and returns when the client was told what has become of it.
func (c *client) create(r *pb.WatchCreateRequest) error {
	id := r.WatchId
	c.group.mu.Lock()
	count, taken := len(c.watches), c.watches[id] != nil
	for id == 0 && c.watches[c.nextID] != nil {
		c.nextID++
	}
	c.group.mu.Unlock()
	switch {
	case id != 0 && taken:
		c.refuse(r, reasonDuplicate)
		return nil
	case count >= maxWatches:
		c.refuse(r, reasonTooMany)
		return nil
	}
	w := &watch{
		client: c, id: id, next: r.StartRevision, progress: r.ProgressNotify, fragment: r.Fragment,
		what:    subject{keyRange{string(r.Key), string(r.RangeEnd)}, r.PrevKv},
		settled: make(chan struct{}),
	}
	if id == 0 {
		w.id = c.nextID
	}
	for _, f := range r.Filters {
		w.noPut = w.noPut || f == pb.WatchCreateRequest_NOPUT
		w.noDelete = w.noDelete || f == pb.WatchCreateRequest_NODELETE
	}
	refused, err := c.group.begin(w)
	if err != nil {
		return err
	}
	if id == 0 && !refused {
		c.nextID++
	}
	return nil
}

// refuse tells the client that it cannot have a watch. What the cluster has against it comes first.
func (c *client) refuse(r *pb.WatchCreateRequest, reason string) {
	header, refused := c.group.headerFor(c.ctx, keyRange{string(r.Key), string(r.RangeEnd)})
	if refused != nil {
		reason = refused.Error()
	}
	c.post(&pb.WatchResponse{Header: header, WatchId: noID, Created: true, Canceled: true, CancelReason: reason})
}

// end ends a watch that the client does not want any more.
func (c *client) end(id int64) {
	c.group.mu.Lock()
	w := c.watches[id]
	alone := w != nil && c.group.letGoLocked(w)
	c.group.mu.Unlock()
	if w == nil || alone {
		return // the cluster answers for a watch that was alone
	}
	header, _ := c.group.headerFor(c.ctx, w.what.keyRange)
	c.group.mu.Lock()
	defer c.group.mu.Unlock()
	w.endLocked(&pb.WatchResponse{Header: header, Canceled: true})
}

// awaitRoom waits until the client has read enough to be answered again.
func (c *client) awaitRoom() error {
	for {
		c.mu.Lock()
		full := c.fullLocked()
		c.mu.Unlock()
		if !full {
			return nil
		}
		select {
		case <-c.room:
		case <-c.ctx.Done():
			return context.Cause(c.ctx)
		}
	}
}

func (c *client) fullLocked() bool {
	return len(c.queue) >= maxQueuedResponses || c.bytes >= maxQueuedBytes
}

// offer puts events in line; false if there is no room, and the watch is parked then.
func (c *client) offer(w *watch, resp *pb.WatchResponse) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fullLocked() {
		c.parked[w] = struct{}{}
		c.group.hub.figures.parked.Inc()
		nudge(c.wake)
		return false
	}
	c.postLocked(resp)
	return true
}

// post puts an answer in line. There is at most one for each request and watch.
func (c *client) post(resp *pb.WatchResponse) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.postLocked(resp)
}

func (c *client) postLocked(resp *pb.WatchResponse) {
	c.queue = append(c.queue, resp)
	c.bytes += proto.Size(resp)
	nudge(c.wake)
}

// send sends what is in line, and has parked watches go on when nothing is.
func (c *client) send(stream pb.Watch_WatchServer) error {
	for {
		c.mu.Lock()
		queue := c.queue
		c.queue, c.bytes = nil, 0
		var again []*watch
		if len(queue) == 0 {
			for w := range c.parked {
				again = append(again, w)
			}
			clear(c.parked)
		}
		c.mu.Unlock()
		nudge(c.room)
		for _, resp := range queue {
			if err := stream.Send(resp); err != nil {
				return err
			}
		}
		for _, w := range again {
			c.group.resume(w)
		}
		if len(queue) > 0 || len(again) > 0 {
			continue
		}
		select {
		case <-c.wake:
		case <-c.ctx.Done():
			return context.Cause(c.ctx)
		}
	}
}

// createdLocked tells the client that the watch is there. It begins behind the header's revision if it was not said
// where. The group's lock is held.
func (w *watch) createdLocked(header *pb.ResponseHeader) {
	if w.next == 0 {
		w.next = header.GetRevision() + 1
	}
	if w.announced {
		return
	}
	w.announced = true
	w.client.watches[w.id] = w
	w.client.post(&pb.WatchResponse{Header: header, WatchId: w.id, Created: true})
	close(w.settled)
}

// endLocked tells the client that the watch is not there any more, in the words of a response of the cluster.
func (w *watch) endLocked(resp *pb.WatchResponse) {
	if w.ended {
		return
	}
	w.ended = true
	if w.client.watches[w.id] == w {
		delete(w.client.watches, w.id)
	}
	told := &pb.WatchResponse{Header: resp.Header, WatchId: w.id, Created: resp.Created, Canceled: true,
		CancelReason: resp.CancelReason, CompactRevision: resp.CompactRevision}
	if !w.announced {
		told.WatchId = noID
		close(w.settled)
	}
	w.client.post(told)
}

// takeLocked hands a watch those events of a response that are for it; false if its client has no room.
func (w *watch) takeLocked(resp *pb.WatchResponse) bool {
	if w.ended {
		return true
	}
	if len(resp.Events) == 0 {
		if w.progress && resp.Header.GetRevision() >= w.next-1 {
			return w.client.offer(w, &pb.WatchResponse{Header: resp.Header, WatchId: w.id})
		}
		return true
	}
	events := w.chosen(resp.Events)
	if len(events) > 0 && !w.offerAll(resp.Header, events) {
		return false
	}
	w.next = max(w.next, resp.Events[len(resp.Events)-1].Kv.ModRevision+1)
	return true
}

// chosen are the events that the watch is for.
func (w *watch) chosen(events []*mvccpb.Event) []*mvccpb.Event {
	for len(events) > 0 && events[0].Kv.ModRevision < w.next {
		events = events[1:]
	}
	if !w.noPut && !w.noDelete {
		return events
	}
	var left []*mvccpb.Event
	for _, e := range events {
		if e.Type == mvccpb.PUT && !w.noPut || e.Type == mvccpb.DELETE && !w.noDelete {
			left = append(left, e)
		}
	}
	return left
}

// offerAll puts events in line, in parts if the client has asked for them. Only the first part needs room.
func (w *watch) offerAll(header *pb.ResponseHeader, events []*mvccpb.Event) bool {
	first := true
	for len(events) > 0 {
		n := len(events)
		if w.fragment {
			n = 0
			for size := 0; n < len(events) && (n == 0 || size < fragmentBytes); n++ {
				size += proto.Size(events[n])
			}
		}
		resp := &pb.WatchResponse{Header: header, WatchId: w.id, Events: events[:n], Fragment: n < len(events)}
		switch {
		case !first:
			w.client.post(resp)
		case !w.client.offer(w, resp):
			return false
		}
		first, events = false, events[n:]
	}
	return true
}

// nudge puts a token into a channel that holds one.
func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
