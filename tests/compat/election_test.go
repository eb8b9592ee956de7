package compat

import (
	"errors"
	"testing"

	"go.etcd.io/etcd/client/v3/concurrency"
)

func TestElection(t *testing.T) {
	c, ctx := start(t)
	first := concurrency.NewElection(newSession(t, c), "chair")
	second := concurrency.NewElection(newSession(t, c), "chair")
	if _, err := first.Leader(ctx); !errors.Is(err, concurrency.ErrElectionNoLeader) {
		t.Errorf("before the election: %v", err)
	}
	observer := concurrency.NewElection(newSession(t, c), "chair")
	observed := observer.Observe(ctx)
	expect := func(want string) {
		t.Helper()
		if got := string(receive(t, ctx, observed).Kvs[0].Value); got != want {
			t.Errorf("observed %q, want %q", got, want)
		}
	}

	must(t, first.Campaign(ctx, "one"))
	expect("one")
	elected := make(chan error, 1)
	go func() { elected <- second.Campaign(ctx, "two") }()
	waitForKeys(t, ctx, c, "chair/", 2)
	must(t, first.Proclaim(ctx, "one again"))
	expect("one again")
	leader, err := second.Leader(ctx)
	must(t, err)
	if string(leader.Kvs[0].Key) != first.Key() || leader.Kvs[0].CreateRevision != first.Rev() {
		t.Errorf("the leader is %v, want %s of revision %d", leader.Kvs[0], first.Key(), first.Rev())
	}

	must(t, first.Resign(ctx))
	must(t, receive(t, ctx, elected))
	expect("two")
	if err := first.Proclaim(ctx, "three"); !errors.Is(err, concurrency.ErrElectionNotLeader) {
		t.Errorf("Proclaim after Resign: %v", err)
	}
	must(t, second.Resign(ctx))
	if _, err := observer.Leader(ctx); !errors.Is(err, concurrency.ErrElectionNoLeader) {
		t.Errorf("after the last has resigned: %v", err)
	}
}

// TestElectionSurvivesItsLeader lets the leader's session end, and another
// process resume what is left of an election.
func TestElectionSurvivesItsLeader(t *testing.T) {
	c, ctx := start(t)
	session := newSession(t, c)
	first, second := concurrency.NewElection(session, "chair"), concurrency.NewElection(newSession(t, c), "chair")
	must(t, first.Campaign(ctx, "one"))
	elected := make(chan error, 1)
	go func() { elected <- second.Campaign(ctx, "two") }()
	waitForKeys(t, ctx, c, "chair/", 2)

	resumed := concurrency.ResumeElection(session, "chair", first.Key(), first.Rev())
	must(t, resumed.Proclaim(ctx, "still one"))
	if got := get(t, ctx, c, first.Key()); got != "still one" {
		t.Errorf("the leader says %q", got)
	}
	must(t, session.Close())
	must(t, receive(t, ctx, elected))
	leader, err := second.Leader(ctx)
	must(t, err)
	if string(leader.Kvs[0].Value) != "two" {
		t.Errorf("the leader is %s", leader.Kvs[0].Value)
	}
}
