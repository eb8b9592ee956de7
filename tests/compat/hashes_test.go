package compat

import (
	"errors"
	"testing"

	"bowline/internal/testkit"
)

// TestHashesOfDifferentHistoriesDiffer takes two strangers for one cluster.
func TestHashesOfDifferentHistoriesDiffer(t *testing.T) {
	a, b := startServer(t), startServer(t)
	c := &testkit.Cluster{Members: []*testkit.Server{a, b}}
	ctx := limited(t)
	must(t, c.SameHashes(ctx)) // both are empty
	put(t, ctx, newClient(t, a), "k", "1")
	put(t, ctx, newClient(t, b), "k", "2")
	var found *testkit.Difference
	if err := c.SameHashes(ctx); !errors.As(err, &found) || found.Revision != 2 {
		t.Fatalf("want a difference at revision 2, got %v", err)
	}
}
