package server

import (
	"context"
	"testing"
)

// TestAppliedNeverGoesBack: what was read at an index stays applied, whoever tells of an
// earlier one afterwards.
func TestAppliedNeverGoesBack(t *testing.T) {
	var a appliedWait
	a.init(1)
	done := make(chan error, 1)
	go func() { done <- a.wait(t.Context(), 10) }()
	a.reached(10) // an installed state
	a.reached(7)  // a group that was under way
	if err := <-done; err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.wait(ctx, 10); err != nil {
		t.Errorf("index 10 is not applied any more: %v", err)
	}
	if err := a.wait(ctx, 11); err == nil {
		t.Error("index 11 was never applied")
	}
}
