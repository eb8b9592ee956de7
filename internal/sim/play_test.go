package sim

import (
	"context"
	"sync"
	"time"

	"bowline/internal/mvcc"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// settleTime is how long, in virtual time, a cluster in which nothing goes wrong any more may take to agree.
const settleTime = 2 * time.Minute

// play lets clients, watchers and the nemesis loose for a while, and then looks at what is left.
func (w *world) play(ctx context.Context, rec *record) {
	w.tasks.Go(w.pump)
	watchers := make([]*watcher, w.plan.watchers)
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	var watch sync.WaitGroup
	for i := range watchers {
		watchers[i] = w.newWatcher(i)
		watch.Go(func() { watchers[i].run(watching) })
	}
	w.mischief(ctx, rec)
	w.makePeace()
	if w.settle(ctx) {
		last := w.agree(ctx)
		pause(ctx, 5*time.Second) // what watchers still have to get
		stopWatching()
		watch.Wait()
		for _, x := range watchers {
			if ctx.Err() == nil {
				x.check(last)
			}
		}
	}
	stopWatching()
	watch.Wait()
}

// mischief is the part in which things go wrong.
func (w *world) mischief(ctx context.Context, rec *record) {
	ctx, cancel := context.WithTimeout(ctx, w.plan.span)
	defer cancel()
	var busy sync.WaitGroup
	for i := range w.plan.clients {
		c := w.newClient(i)
		busy.Go(func() { c.run(ctx, rec) })
	}
	n := &nemesis{w: w, rng: w.stream("nemesis", 0)}
	busy.Go(func() {
		pause(ctx, time.Second+n.upTo(4*time.Second))
		n.run(ctx)
	})
	busy.Go(func() {
		for ctx.Err() == nil {
			pause(ctx, 500*time.Millisecond)
			w.compareHashes(ctx)
		}
	})
	busy.Wait()
}

// makePeace restores everything.
func (w *world) makePeace() {
	w.note("peace")
	w.calm.Store(true)
	w.setWeather(0, 0, 0, 0)
	w.mu.Lock()
	var ways [][2]uint64
	for way := range w.cut {
		ways = append(ways, way)
	}
	w.mu.Unlock()
	for _, way := range ways {
		w.setCut(way[0], way[1], false)
	}
	for _, l := range w.lives() {
		l.disk.crashAfter(0)
		l.disk.failAfter(0)
		l.voted.Store(false)
	}
	pause(w.running, slowest+time.Second) // what is on its way arrives, and what it says is agreed on
}

// settle waits until all members are there, follow one leader, and have applied the same. A last write makes sure that
// what is under way has come to its end.
func (w *world) settle(ctx context.Context) bool {
	end := time.Now().Add(settleTime)
	wrote := false
	for time.Now().Before(end) && ctx.Err() == nil {
		pause(ctx, 100*time.Millisecond)
		w.followMembers()
		w.lookForAlarms()
		if lead := w.leader(); lead != nil && !wrote {
			limited, cancel := context.WithTimeout(ctx, 2*time.Second)
			err := errUnreachable
			lead.use(limited, func(ctx context.Context) { _, _, err = ask(ctx, lead, op{kind: "put", key: "k-end", new: "the end"}) })
			cancel()
			if wrote = err == nil; !wrote {
				w.note("the last write by member %s: %v", lead.member.name, err)
			}
			continue
		}
		if wrote && w.settled() {
			return true
		}
	}
	if ctx.Err() == nil {
		for _, m := range w.all() {
			if l := m.life.Load(); l != nil {
				w.note("member %s: %+v", m.name, l.node.Load().Status())
			} else {
				w.note("member %s does not run", m.name)
			}
		}
		w.witness.violation("the members do not agree %v after all was well", settleTime)
	}
	return false
}

// settled tells whether the members are of one mind.
func (w *world) settled() bool {
	lead := w.leader()
	if lead == nil {
		return false
	}
	commit := lead.node.Load().Commit()
	for _, c := range lead.fsm.Members().Members() {
		w.mu.Lock()
		m := w.members[c.ID]
		w.mu.Unlock()
		if m == nil || m.life.Load() == nil {
			return false
		}
		if l := m.life.Load(); l.fsm.Applied() != commit || l.node.Load().Status().Leader != lead.member.id {
			return false
		}
	}
	return true
}

// agree compares the members at the end, and returns the revision that they are at.
func (w *world) agree(ctx context.Context) (last int64) {
	lead := w.leader()
	if lead == nil {
		return 0
	}
	last = lead.fsm.Store().Revision()
	for _, c := range lead.fsm.Members().Members() {
		w.mu.Lock()
		m := w.members[c.ID]
		w.mu.Unlock()
		l := m.life.Load()
		if l == nil {
			continue // settled saw it: it has been removed since
		}
		if rev := l.fsm.Store().Revision(); rev != last {
			w.witness.violation("member %s is at revision %d, member %s at %d", m.name, rev, lead.member.name, last)
		}
		l.use(ctx, func(ctx context.Context) {
			if err := l.fsm.Check(ctx); err != nil && ctx.Err() == nil {
				w.witness.violation("member %s: %v", m.name, err)
			}
		})
	}
	w.compareHashes(ctx)
	return last
}

// lookForAlarms makes it a violation that members believe data to be corrupt.
func (w *world) lookForAlarms() {
	for _, l := range w.lives() {
		if l.fsm.AlarmRaised(pb.AlarmType_CORRUPT) {
			w.witness.violation("CORRUPT is raised, as member %s knows", l.member.name)
			return
		}
	}
}

// compareHashes hashes what all members hold now, and looks for what they think of each other's.
func (w *world) compareHashes(ctx context.Context) {
	w.lookForAlarms()
	for _, l := range w.lives() {
		l.use(ctx, func(ctx context.Context) {
			h, _, err := l.fsm.Store().HashKV(ctx, 0)
			if err == nil && h != (mvcc.Hash{}) {
				l.alive(func() { w.witness.hash(l.member.name, h) })
			}
		})
	}
}
