package chaos

import (
	"context"
	"errors"
	"fmt"
	"time"

	"bowline/internal/testkit"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// victim is who suffers: the leader, or one by chance.
type victim func(ctx context.Context, w *world) (*testkit.Server, error)

func leads(ctx context.Context, w *world) (*testkit.Server, error) { return w.cluster.Leader(ctx) }

func anyone(_ context.Context, w *world) (*testkit.Server, error) {
	return w.cluster.Members[w.rng.IntN(len(w.cluster.Members))], nil
}

// to makes a deed that hurts one member.
func to(name string, who victim, do func(ctx context.Context, w *world, m *testkit.Server) error) deed {
	return deed{name, func(ctx context.Context, w *world) error {
		m, err := who(ctx, w)
		if err != nil {
			return err
		}
		w.did("    it is %s", m.Name)
		return do(ctx, w, m)
	}}
}

// others are the names of all members but one.
func (w *world) others(m *testkit.Server) (names []string) {
	for _, other := range w.cluster.Members {
		if other != m {
			names = append(names, other.Name)
		}
	}
	return names
}

func killed(ctx context.Context, w *world, m *testkit.Server) error {
	if err := m.Crash(); err != nil {
		return err
	}
	return errors.Join(w.pause(ctx, w.between(0, 3*time.Second)), m.Launch())
}

func paused(ctx context.Context, w *world, m *testkit.Server) error {
	if err := m.Pause(); err != nil {
		return err
	}
	return errors.Join(w.pause(ctx, w.between(time.Second, 4*time.Second)), m.Resume())
}

// cutOff is a partition of one member, in one direction or both.
func cutOff(in, out bool) func(ctx context.Context, w *world, m *testkit.Server) error {
	return func(ctx context.Context, w *world, m *testkit.Server) error {
		ids, err := w.ids(ctx)
		if err != nil {
			return err
		}
		if err := w.network.isolate(ctx, ids, m.Name, w.others(m), in, out); err != nil {
			return err
		}
		return w.pause(ctx, w.between(2*time.Second, 5*time.Second))
	}
}

// ids are the members' names by their IDs in hexadecimal.
func (w *world) ids(ctx context.Context) (map[string]string, error) {
	leader, err := w.cluster.Leader(ctx)
	if err != nil {
		return nil, err
	}
	c, err := dial(leader)
	if err != nil {
		return nil, err
	}
	defer c.conn.Close()
	list, err := c.MemberList(ctx, &pb.MemberListRequest{})
	if err != nil {
		return nil, err
	}
	ids := map[string]string{}
	for _, m := range list.Members {
		ids[fmt.Sprintf("%x", m.ID)] = m.Name
	}
	return ids, nil
}

func slowed(ctx context.Context, w *world, m *testkit.Server) error {
	by := w.between(10*time.Millisecond, 150*time.Millisecond)
	w.did("    by %v", by)
	if err := w.network.slow(ctx, m.Name, by); err != nil {
		return err
	}
	return w.pause(ctx, w.between(2*time.Second, 4*time.Second))
}

func disconnected(ctx context.Context, w *world, m *testkit.Server) error {
	for range 10 {
		if err := errors.Join(w.network.disturb(m.Name), w.pause(ctx, w.between(50*time.Millisecond, 300*time.Millisecond))); err != nil {
			return err
		}
	}
	return nil
}

func replaced(ctx context.Context, w *world, m *testkit.Server) error {
	return w.cluster.Rejoin(ctx, m)
}

// rolling restarts every member as an operator would, one after the other.
func rolling(ctx context.Context, w *world) error {
	for _, m := range w.cluster.Members {
		if err := m.Shutdown(); err != nil {
			return err
		}
		if err := m.Restart(); err != nil {
			return err
		}
		if err := w.cluster.WaitHealthy(ctx); err != nil {
			return err
		}
	}
	return nil
}

// blackout kills all at once.
func blackout(ctx context.Context, w *world) error {
	for _, m := range w.cluster.Members {
		if err := m.Crash(); err != nil {
			return err
		}
	}
	for _, m := range w.cluster.Members {
		if err := errors.Join(w.pause(ctx, w.between(0, 300*time.Millisecond)), m.Launch()); err != nil {
			return err
		}
	}
	return nil
}

// flapping kills one again and again, before it has come up or just after.
func flapping(ctx context.Context, w *world, m *testkit.Server) error {
	for range 5 {
		if err := m.Crash(); err != nil {
			return err
		}
		if err := m.Launch(); err != nil {
			return err
		}
		if err := w.pause(ctx, w.between(10*time.Millisecond, 700*time.Millisecond)); err != nil {
			return err
		}
	}
	return nil
}

// overthrown moves leadership on purpose, several times.
func overthrown(ctx context.Context, w *world) error {
	for range 3 {
		if err := w.moveLeader(ctx); err != nil {
			return err
		}
		if err := w.pause(ctx, w.between(100*time.Millisecond, time.Second)); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) moveLeader(ctx context.Context) error {
	leader, err := w.cluster.Leader(ctx)
	if err != nil {
		return err
	}
	ids, err := w.ids(ctx)
	if err != nil {
		return err
	}
	names := w.others(leader)
	heir := names[w.rng.IntN(len(names))]
	c, err := dial(leader)
	if err != nil {
		return err
	}
	defer c.conn.Close()
	for id, name := range ids {
		if name != heir {
			continue
		}
		var target uint64
		if _, err := fmt.Sscanf(id, "%x", &target); err != nil {
			return err
		}
		_, err = c.MoveLeader(ctx, &pb.MoveLeaderRequest{TargetID: target})
	}
	return err
}

// allDeeds are what a long run draws from.
var allDeeds = []deed{
	to("kill -9 of the leader", leads, killed),
	to("kill -9 of a member", anyone, killed),
	to("a pause of the leader", leads, paused),
	to("a pause of a member", anyone, paused),
	to("a partition of the leader", leads, cutOff(true, true)),
	to("a partition of a member", anyone, cutOff(true, true)),
	to("the leader hears nobody", leads, cutOff(true, false)),
	to("the leader is not heard", leads, cutOff(false, true)),
	to("a member hears nobody", anyone, cutOff(true, false)),
	to("a member is not heard", anyone, cutOff(false, true)),
	to("slow links of the leader", leads, slowed),
	to("slow links of a member", anyone, slowed),
	to("connections that break", anyone, disconnected),
	to("a member replaced", anyone, replaced),
	to("a member killed again and again", anyone, flapping),
	{"a rolling restart", rolling},
	{"all killed at once", blackout},
	{"leadership moved", overthrown},
}
