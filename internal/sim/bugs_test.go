package sim

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"bowline/internal/engine"
	"bowline/internal/fsm"
	"bowline/internal/mvcc"
	"bowline/internal/node"
	"bowline/internal/server"
	"bowline/internal/wal"
	"bowline/internal/watch"

	"go.etcd.io/raft/v3"
)

// bug is a fault that is planted to see whether it is found. The zero value is none.
type bug struct {
	name string
	// signs are beginnings of what may be found.
	signs []string
	// adjust makes the plan one under which the bug would do harm.
	adjust func(*plan)
	// atOpen may change the engine of a member that starts again, atStart what its log has told.
	atOpen  func(*life) error
	atStart func(*life, *wal.Recovered)
	// history and node may stand before what watchers read, and before what answers reads.
	history func(watch.History) watch.History
	node    func(*node.Node) server.Node
}

func (b *bug) historyOf(l *life) watch.History {
	if b.history != nil {
		return b.history(l.fsm.Store())
	}
	return l.fsm.Store()
}

func (b *bug) nodeOf(n *node.Node) server.Node {
	if b.node != nil {
		return b.node(n)
	}
	return n
}

// bugs are of the kinds that etcd's history knows.
func bugs() []bug {
	return []bug{
		{name: "applied index saved apart from data", atOpen: loseAppliedIndex, signs: []string{"revision ", "hashes ", "member ", "CORRUPT is raised"}},
		{name: "stale read after a pause", node: func(n *node.Node) server.Node { return careless{n} },
			signs: []string{"get of ", "the history is not linearizable", "CORRUPT is raised"}}, // members compare behind a read index
		{name: "event lost at catch-up", history: func(h watch.History) watch.History { return forgetful{h} }, signs: []string{"watcher "}},
		{name: "revision going back after a crash in compaction", adjust: func(p *plan) { p.favour = "compact" }, atOpen: deriveRevision, signs: []string{"revision ", "hashes ", "member ", "CORRUPT is raised"}},
		{name: "vote lost in a crash", adjust: func(p *plan) { p.favour, p.preVote = "crash after a vote", false }, atStart: func(_ *life, r *wal.Recovered) { r.HardState.Vote = 0 },
			signs: []string{"member ", "two leaders ", "entry "}},
	}
}

// loseAppliedIndex leaves the index of the entry before last: what a crash leaves of a store that writes the index after
// the data.
func loseAppliedIndex(l *life) error {
	at, err := fsm.ReadApplied(l.engine, false)
	if err != nil || at.Index <= uint64(l.w.plan.members) {
		return err
	}
	v := binary.BigEndian.AppendUint64(nil, at.Index-1)
	return setMeta(l.engine, "applied", binary.BigEndian.AppendUint64(v, at.Term))
}

// deriveRevision takes the newest version of a live key for the current revision when all is compacted: what a store does
// that keeps no record of its revision and has removed the deletion that was its last.
func deriveRevision(l *life) error {
	s, err := mvcc.Open(l.engine, mvcc.Options{CacheBytes: 1 << 10})
	if err != nil {
		return err
	}
	if current, compacted := s.Revisions(); compacted < current {
		return nil
	}
	it, err := l.engine.NewIter(&engine.IterOptions{LowerBound: engine.ClassStart(engine.ClassVersion), UpperBound: engine.ClassEnd(engine.ClassVersion)})
	if err != nil {
		return err
	}
	newest := int64(1)
	for ok := it.First(); ok; ok = it.Next() {
		if mvcc.Kind(it.Value()[0]) != mvcc.KindDelete {
			main, _ := engine.VersionRevision(it.Key())
			newest = max(newest, main)
		}
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return err
	}
	return setMeta(l.engine, "revision", binary.BigEndian.AppendUint64(nil, uint64(newest)))
}

func setMeta(e *engine.Engine, name string, value []byte) error {
	b := e.NewBatch()
	if err := b.Set(engine.Key(engine.ClassMeta, []byte(name)), value, nil); err != nil {
		return err
	}
	return e.Commit(b)
}

// careless answers reads while it believes that it leads, without asking the others whether it still does.
type careless struct{ *node.Node }

func (c careless) ReadIndex(ctx context.Context) (uint64, error) {
	if index, ok := c.TryReadIndex(); ok {
		return index, nil
	}
	return c.Node.ReadIndex(ctx)
}

func (c careless) TryReadIndex() (uint64, bool) {
	return c.Applied(), c.Status().State == raft.StateLeader
}

// forgetful leaves out some of the events that watchers are caught up with.
type forgetful struct{ watch.History }

func (h forgetful) Changes(ctx context.Context, key, end []byte, from, to int64, f func(mvcc.Event) bool) error {
	return h.History.Changes(ctx, key, end, from, to, func(e mvcc.Event) bool {
		return e.Revision.Main%7 == 3 || f(e)
	})
}

// seedsForABug bounds the search for a planted bug.
const seedsForABug = 300

// TestPlantedBugsAreFound shows that the simulation finds what it is there for.
func TestPlantedBugsAreFound(t *testing.T) {
	for _, b := range bugs() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			for seed := uint64(1); seed <= seedsForABug; seed++ {
				r := simulate(t, seed, b)
				if len(r.violations) == 0 {
					continue
				}
				for _, sign := range b.signs {
					if strings.HasPrefix(r.violations[0], sign) {
						t.Logf("found by seed %d: %s", seed, fmt.Sprintf("%.200s", r.violations[0]))
						return
					}
				}
				t.Fatalf("seed %d found something else: %s\n%s", seed, r.violations[0], r.last(40))
			}
			t.Errorf("%d seeds have not found it", seedsForABug)
		})
	}
}
