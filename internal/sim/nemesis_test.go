package sim

import (
	"context"
	"math/rand/v2"
	"time"

	"bowline/internal/fsm"
	"bowline/internal/wal"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// nemesis is what goes wrong.
type nemesis struct {
	w   *world
	rng *rand.Rand
}

// evil is one kind of it.
type evil struct {
	name   string
	weight int
	do     func(*nemesis, *life)
}

func evils() []evil {
	return []evil{
		{"crash", 8, (*nemesis).crash},
		{"crash soon", 10, func(n *nemesis, l *life) { l.disk.crashAfter(1 + n.rng.IntN(60)) }},
		{"crash after a vote", 5, (*nemesis).crashVoters},
		{"crash all", 2, (*nemesis).crashAll},
		{"cut off", 8, (*nemesis).cutOff},
		{"cut one way", 6, (*nemesis).cutOneWay},
		{"weather", 8, (*nemesis).changeWeather},
		{"stall", 5, func(n *nemesis, l *life) { l.disk.stall(n.upTo(4 * time.Second)) }},
		{"disk error", 4, func(n *nemesis, l *life) { l.disk.failAfter(1 + n.rng.IntN(40)) }},
		{"move leader", 6, (*nemesis).moveLeader},
		{"compact", 8, (*nemesis).compact},
		{"flush and cut the log", 10, (*nemesis).keepHouse},
		{"change members", 12, (*nemesis).changeMembers},
	}
}

// upTo is a time below d.
func (n *nemesis) upTo(d time.Duration) time.Duration { return time.Duration(n.rng.Int64N(int64(d))) }

// run does one thing after the other until ctx ends.
func (n *nemesis) run(ctx context.Context) {
	table := evils()
	total := 0
	for _, e := range table {
		total += e.weight
	}
	for {
		pause(ctx, 20*time.Millisecond+n.upTo(n.w.plan.peace))
		if ctx.Err() != nil {
			return
		}
		n.w.followMembers()
		lives := n.w.lives()
		if len(lives) == 0 {
			continue
		}
		l := lives[n.rng.IntN(len(lives))]
		if lead := n.w.leader(); lead != nil && n.rng.IntN(3) == 0 {
			l = lead
		}
		at := n.rng.IntN(total)
		favourite := n.rng.IntN(2) == 0 && n.w.plan.favour != ""
		for _, e := range table {
			at -= e.weight
			if favourite && e.name == n.w.plan.favour || !favourite && at < 0 {
				n.w.note("%s, member %s", e.name, l.member.name)
				e.do(n, l)
				break
			}
		}
	}
}

func (n *nemesis) crash(l *life) { l.crash("crash") }

func (n *nemesis) crashAll(*life) {
	for _, l := range n.w.lives() {
		l.crash("crash, with all others")
	}
}

// crashVoters waits for an election, and makes sure of one.
func (n *nemesis) crashVoters(*life) {
	for _, l := range n.w.lives() {
		l.voted.Store(true)
	}
	if lead := n.w.leader(); lead != nil {
		lead.crash("crash")
	}
}

// cutOff separates one or more members from the others for a while.
func (n *nemesis) cutOff(l *life) {
	all := n.w.all()
	side := map[uint64]bool{l.member.id: true}
	for _, m := range all {
		if n.rng.IntN(4) == 0 {
			side[m.id] = true
		}
	}
	var ways [][2]uint64
	for _, a := range all {
		for _, b := range all {
			if side[a.id] != side[b.id] {
				ways = append(ways, [2]uint64{a.id, b.id})
			}
		}
	}
	n.cutFor(ways)
}

func (n *nemesis) cutOneWay(l *life) {
	var ways [][2]uint64
	in := n.rng.IntN(2) == 0
	for _, m := range n.w.all() {
		switch {
		case m == l.member || n.rng.IntN(3) == 0:
		case in:
			ways = append(ways, [2]uint64{m.id, l.member.id})
		default:
			ways = append(ways, [2]uint64{l.member.id, m.id})
		}
	}
	n.cutFor(ways)
}

// cutFor takes ways down, and restores them later.
func (n *nemesis) cutFor(ways [][2]uint64) {
	for _, way := range ways {
		n.w.setCut(way[0], way[1], true)
	}
	d := 100*time.Millisecond + n.upTo(5*time.Second)
	n.w.tasks.Go(func() {
		pause(n.w.running, d)
		for _, way := range ways {
			n.w.setCut(way[0], way[1], false)
		}
	})
}

func (n *nemesis) changeWeather(*life) {
	switch n.rng.IntN(3) {
	case 0:
		n.w.setWeather(0, 0, 0, 0)
	case 1:
		n.w.setWeather(n.rng.IntN(20), n.rng.IntN(20), n.rng.IntN(30), 100*time.Millisecond)
	case 2:
		n.w.setWeather(n.rng.IntN(60), n.rng.IntN(60), n.rng.IntN(100), n.upTo(slowest))
	}
}

func (n *nemesis) moveLeader(l *life) {
	lead, all := n.w.leader(), n.w.all()
	if lead == nil {
		return
	}
	to := all[n.rng.IntN(len(all))].id
	n.background(lead, 3*time.Second, func(ctx context.Context) { _ = lead.server.MoveLeader(ctx, to) }) // refused, or too late: as it may be
}

// background does something with a member that takes time and may fail.
func (n *nemesis) background(l *life, limit time.Duration, f func(ctx context.Context)) {
	n.w.tasks.Go(func() {
		ctx, cancel := context.WithTimeout(n.w.running, limit)
		defer cancel()
		l.use(ctx, f)
	})
}

// compact compacts at or near the newest revision, which a deletion may have made just before.
func (n *nemesis) compact(l *life) {
	back, physical, first := int64(n.rng.IntN(12)), n.rng.IntN(2) == 0, n.rng.IntN(3) == 0
	if first || n.rng.IntN(3) == 0 {
		back = 0
	}
	crashIn := n.rng.IntN(3) * (1 + n.rng.IntN(30))
	n.background(l, 3*time.Second, func(ctx context.Context) {
		if first {
			_, _, _ = ask(ctx, l, op{kind: "put", key: "gone", new: "soon"}) // if it fails there is nothing to be deleted
			_, _, _ = ask(ctx, l, op{kind: "delete", key: "gone"})
		}
		rev := l.fsm.Store().Revision() - back
		if a, err := l.server.Compact(ctx, &pb.CompactionRequest{Revision: rev, Physical: physical}); err == nil {
			a.Release()
			n.w.note("compacted at %d", rev)
			l.disk.crashAfter(crashIn)
		}
	})
}

// keepHouse flushes and cuts the log, of one member or of all, as member.Member does when there is much of it.
func (n *nemesis) keepHouse(l *life) {
	if n.rng.IntN(2) == 0 {
		for _, each := range n.w.lives() {
			n.cutLog(each)
		}
		return
	}
	n.cutLog(l)
}

func (n *nemesis) cutLog(l *life) {
	n.background(l, 5*time.Second, func(ctx context.Context) {
		if err := l.release(ctx); err != nil && l.isAlive() && ctx.Err() == nil && !l.disk.hasFailed() {
			n.w.witness.violation("member %s cannot cut its log: %v", l.member.name, err)
		}
	})
}

func (l *life) release(ctx context.Context) error {
	if err := l.engine.Flush(); err != nil {
		return err
	}
	at, err := fsm.ReadApplied(l.engine, true)
	if err != nil || at.Index == 0 {
		return err
	}
	conf := l.fsm.Members().ConfState()
	l.installer.Durable(at, conf)
	_, err = l.node.Load().ReleaseLog(ctx, wal.Snapshot{Index: at.Index, Term: at.Term, ConfState: conf})
	return err
}
