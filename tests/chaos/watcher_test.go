package chaos

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc/metadata"
)

// watcher follows all keys of a load. When its stream ends it goes on at another
// member, from the revision that it has reached.
type watcher struct {
	*load
	at int

	mu      sync.Mutex // guards the fields below
	next    int64      // the revision to go on from
	events  []event
	streams int
	wrong   error
}

func (w *watcher) run(ctx context.Context) {
	pause := time.NewTicker(50 * time.Millisecond)
	defer pause.Stop()
	for ctx.Err() == nil && w.err() == nil {
		w.follow(ctx, w.conns[w.at%len(w.conns)])
		w.at++
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
	}
}

func (w *watcher) err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.wrong
}

// reached is the revision up to which the watcher has seen everything.
func (w *watcher) reached() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.next - 1
}

// follow watches at one member until the stream fails, as it does when that member
// has no leader.
func (w *watcher) follow(ctx context.Context, c *client) {
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(ctx, "hasleader", "true"))
	defer cancel()
	stream, err := c.Watch(ctx)
	if err != nil {
		return
	}
	w.mu.Lock()
	w.streams++
	from := w.next
	w.mu.Unlock()
	if stream.Send(watchAll(w.prefix, from)) != nil {
		return
	}
	for {
		resp, err := stream.Recv()
		if err != nil || resp.Canceled && resp.CompactRevision == 0 {
			return
		}
		if !w.take(c, resp) {
			return
		}
	}
}

func watchAll(prefix string, from int64) *pb.WatchRequest {
	return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{
		Key: []byte(prefix), RangeEnd: end(prefix), StartRevision: from, ProgressNotify: true}}}
}

// end is the end of the range of all keys with a prefix.
func end(prefix string) []byte {
	b := []byte(prefix)
	b[len(b)-1]++
	return b
}

func (w *watcher) take(c *client, resp *pb.WatchResponse) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if resp.Canceled {
		w.wrong = fmt.Errorf("a watch from %d was canceled at %s: %v", w.next, c.member.Name, resp)
		return false
	}
	events, last, err := decode(resp.Events, w.next-1)
	if err != nil {
		w.wrong = fmt.Errorf("watch at %s: %w", c.member.Name, err)
		return false
	}
	w.events = append(w.events, events...)
	w.next = last + 1
	if len(events) == 0 && !resp.Created {
		w.next = max(w.next, resp.Header.Revision+1) // progress: nothing is missing up to here
	}
	return true
}

// decode takes the events of a response that must follow a revision.
func decode(from []*mvccpb.Event, last int64) (events []event, now int64, err error) {
	before := last
	for _, e := range from {
		if r := e.Kv.ModRevision; r < last || r == before {
			return nil, last, fmt.Errorf("revision %d after %d", r, last)
		}
		last = e.Kv.ModRevision
		events = append(events, event{string(e.Kv.Key), string(e.Kv.Value), last, e.Type == mvccpb.Event_DELETE})
	}
	return events, last, nil
}

// upTo is what of a history happened no later than a revision. A member may go on meanwhile: the leases of a load that
// has ended run out.
func upTo(revision int64, history []event) []event {
	after := func(e event) bool { return e.Revision > revision }
	if i := slices.IndexFunc(history, after); i >= 0 {
		return history[:i]
	}
	return history
}

// replay is the history below a prefix, as one member has it.
func (c *client) replay(ctx context.Context, prefix string, from, to int64) (all []event, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.Watch(ctx)
	if err != nil {
		return nil, err
	}
	if err := stream.Send(watchAll(prefix, from)); err != nil {
		return nil, err
	}
	for last := from - 1; last < to; {
		resp, err := stream.Recv()
		if err != nil {
			return nil, fmt.Errorf("replay at %s from %d, at %d: %w", c.member.Name, from, last, err)
		}
		if resp.Canceled {
			return nil, fmt.Errorf("replay at %s from %d: %v", c.member.Name, from, resp)
		}
		var events []event
		if events, last, err = decode(resp.Events, last); err != nil {
			return nil, fmt.Errorf("replay at %s: %w", c.member.Name, err)
		}
		all = append(all, events...)
	}
	return upTo(to, all), nil
}

// sameEvents compares what two have seen.
func sameEvents(who string, got, want []event) error {
	if slices.Equal(got, want) {
		return nil
	}
	for i := range want {
		if i >= len(got) {
			return fmt.Errorf("%s has %d of %d events; the first that is missing: %+v", who, len(got), len(want), want[i])
		}
		if got[i] != want[i] {
			return fmt.Errorf("%s has as event %d %+v, want %+v", who, i, got[i], want[i])
		}
	}
	return fmt.Errorf("%s has %d events too many, the first is %+v", who, len(got)-len(want), got[len(want)])
}
