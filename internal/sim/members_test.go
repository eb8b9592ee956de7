package sim

import (
	"context"
	"fmt"
	"time"

	"bowline/internal/cluster"
	"bowline/internal/server"
)

// changeMembers asks for one change of the members.
func (n *nemesis) changeMembers(l *life) {
	view := l.fsm.Members().Members()
	if len(view) == 0 {
		return // it has joined, and knows nothing yet
	}
	some := view[n.rng.IntN(len(view))]
	choice := n.rng.IntN(4)
	n.background(l, 5*time.Second, func(ctx context.Context) {
		var err error
		what := "promote"
		switch {
		case some.IsLearner && choice < 3:
			_, err = l.server.MemberPromote(ctx, some.ID)
		case len(view) > 3 && choice < 2, len(view) > 4:
			what = "remove"
			_, err = l.server.MemberRemove(ctx, some.ID)
		default:
			what = "add"
			_, err = l.server.MemberAdd(ctx, server.MemberAddition{PeerURLs: []string{n.w.nextURL()}, Learner: choice > 0, AutoPromote: choice == 1})
		}
		if err == nil {
			n.w.note("changed: %s by member %s", what, l.member.name)
		} else {
			n.w.note("%s by member %s: %v", what, l.member.name, err)
		}
	})
}

// nextURL is that of a member that there is not yet.
func (w *world) nextURL() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.named++
	return fmt.Sprintf("http://m%d:2380", w.named)
}

// followMembers starts those that were added, and tells those that were removed, as real members hear when they connect.
// Whether an addition that nobody answered for took place is seen here.
func (w *world) followMembers() {
	var newest *life
	for _, l := range w.lives() {
		if newest == nil || l.fsm.Applied() > newest.fsm.Applied() {
			newest = l
		}
	}
	if newest == nil {
		return
	}
	for _, l := range w.lives() {
		if newest.fsm.Members().Removed(l.member.id) {
			l.removed()
		}
	}
	members := newest.fsm.Members().Members()
	var ids []uint64
	for i := range members {
		ids = append(ids, members[i].ID)
	}
	for i := range members {
		w.mu.Lock()
		known := w.members[members[i].ID] != nil
		w.mu.Unlock()
		if !known {
			w.join(members[i], ids)
		}
	}
}

func (w *world) join(c cluster.Member, others []uint64) {
	var name string
	if _, err := fmt.Sscanf(c.PeerURLs[0], "http://%s", &name); err != nil {
		w.witness.violation("a member with the URL %q, which nobody asked for", c.PeerURLs[0])
		return
	}
	w.addMember(name[:len(name)-len(":2380")], c, &founding{clusterID: w.clusterID}, others)
}
