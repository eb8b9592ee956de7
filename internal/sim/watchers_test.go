package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"bowline/internal/watch"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
)

// watcher follows keys over members' crashes, as a client does: it goes on from the last revision it has seen.
type watcher struct {
	w      *world
	name   string
	prefix string
	rng    *rand.Rand
	next   int64 // the first revision it has not seen
	got    []change
	// skipped are the revisions that it was told are compacted.
	skipped map[int64]bool
	where   *member
}

func (w *world) newWatcher(n int) *watcher {
	prefix := "k"
	if n > 0 {
		prefix = fmt.Sprintf("k%d", n%w.plan.keys)
	}
	return &watcher{w: w, name: fmt.Sprintf("watcher %d of %s", n, prefix), prefix: prefix, rng: w.stream("watcher", n), next: 2, skipped: map[int64]bool{}}
}

func (x *watcher) run(ctx context.Context) {
	for ctx.Err() == nil {
		all := x.w.all()
		x.where = all[x.rng.IntN(len(all))]
		l := x.where.life.Load()
		if l == nil {
			pause(ctx, 50*time.Millisecond)
			continue
		}
		patience := 200*time.Millisecond + time.Duration(x.rng.Int64N(int64(5*time.Second)))
		if x.w.calm.Load() {
			patience = time.Hour
		}
		session, cancel := context.WithTimeout(ctx, patience)
		l.use(session, func(ctx context.Context) { x.follow(ctx, l) })
		cancel()
		if !x.w.calm.Load() {
			pause(ctx, time.Duration(x.rng.Int64N(int64(400*time.Millisecond))))
		}
	}
}

// follow watches on one member until something ends it.
func (x *watcher) follow(ctx context.Context, l *life) {
	stream := l.hub.NewStream()
	defer stream.Close()
	end := []byte(x.prefix)
	end[len(end)-1]++
	if stream.Create(ctx, watch.CreateRequest{Key: []byte(x.prefix), End: end, StartRevision: x.next, Fragment: x.rng.IntN(2) == 0}) != nil {
		return
	}
	for {
		r, err := stream.Next(ctx)
		if err != nil {
			return
		}
		var resp pb.WatchResponse
		var b []byte
		for _, part := range r.Encode(nil, 1, 1, 1) {
			b = append(b, part...)
		}
		if err := proto.Unmarshal(b, &resp); err != nil {
			x.w.witness.violation("%s cannot read a response: %v", x.name, err)
			return
		}
		if !l.isAlive() {
			return // it came too late
		}
		if resp.GetCanceled() {
			x.skip(l, &resp)
			return
		}
		x.take(l, resp.GetEvents())
		if x.rng.IntN(20) == 0 && !x.w.calm.Load() {
			pause(ctx, time.Duration(x.rng.Int64N(int64(time.Second)))) // a slow reader falls behind
		}
	}
}

// skip goes on behind a compaction.
func (x *watcher) skip(l *life, resp *pb.WatchResponse) {
	at := resp.GetCompactRevision()
	if at < x.next {
		x.w.witness.violation("%s was cancelled by member %s at revision %d, compacted %d: %s", x.name, l.member.name, x.next, at, resp.GetCancelReason())
		return
	}
	for ; x.next <= at; x.next++ {
		x.skipped[x.next] = true
	}
}

func (x *watcher) take(l *life, events []*mvccpb.Event) {
	for _, e := range events {
		c := change{revision: e.GetKv().GetModRevision(), key: string(e.GetKv().GetKey()), value: string(e.GetKv().GetValue()), deleted: e.GetType() == mvccpb.Event_DELETE}
		var last int64
		if len(x.got) > 0 {
			last = x.got[len(x.got)-1].revision
		}
		if c.revision < last || c.revision < x.next {
			x.w.witness.violation("%s got revision %d from member %s after %d, having asked from %d on", x.name, c.revision, l.member.name, last, x.next)
			return
		}
		x.got = append(x.got, c)
	}
	// A response ends between revisions unless it is a fragment; these are small, and a revision has one event.
	if n := len(x.got); n > 0 {
		x.next = max(x.next, x.got[n-1].revision+1)
	}
}

// check compares what a watcher got with what happened up to a revision.
func (x *watcher) check(last int64) {
	want, ok := x.w.witness.history(x.prefix, 2, last)
	x.w.complete.Store(ok)
	if !ok {
		return // a revision that all members got by a state from one that died: nobody can say
	}
	want = slices.DeleteFunc(want, func(c change) bool { return x.skipped[c.revision] })
	for i := range max(len(want), len(x.got)) {
		switch {
		case i >= len(x.got):
			x.w.witness.violation("%s got %d events, %d there were: it lacks %s", x.name, len(x.got), len(want), want[i])
		case i >= len(want):
			x.w.witness.violation("%s got %s, which there never was", x.name, x.got[i])
		case want[i] != x.got[i]:
			x.w.witness.violation("%s got %s where there was %s", x.name, x.got[i], want[i])
		default:
			continue
		}
		return
	}
}

func (c change) String() string {
	if c.deleted {
		return fmt.Sprintf("the deletion of %q at %d", c.key, c.revision)
	}
	return fmt.Sprintf("%q=%.20q at %d", c.key, c.value, c.revision)
}
