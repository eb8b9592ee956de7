package lease

import (
	"slices"
	"testing"
	"time"
)

func TestCheckpointsOfLongLeases(t *testing.T) {
	now := time.Unix(0, 0)
	k := NewKeeper(Config{Now: func() time.Time { return now }})
	old := []Lease{{ID: 3, TTL: 1000, Remaining: 500}}
	k.Promote(0, slices.Values(old))
	k.Track(1, 60)
	k.Track(2, 3600)
	if !k.Recorded(3) || k.Recorded(2) {
		t.Error("what the log has of a lease is not known")
	}
	if due := k.Checkpoints(10); len(due) != 0 {
		t.Errorf("%v are due at once", due)
	}
	now = now.Add(CheckpointInterval)
	due := k.Checkpoints(10)
	slices.SortFunc(due, func(a, b Checkpoint) int { return int(a.ID - b.ID) })
	if want := []Checkpoint{{2, 3300}, {3, 200}}; !slices.Equal(due, want) {
		t.Errorf("%v are due, want %v", due, want)
	}
	if due := k.Checkpoints(10); len(due) != 0 {
		t.Errorf("%v are due again", due)
	}
	if !k.Recorded(2) {
		t.Error("a checkpoint is not remembered")
	}
	k.Unrecorded(2)
	if k.Recorded(2) {
		t.Error("a checkpoint that was taken back is remembered")
	}
	now = now.Add(CheckpointInterval)
	if due := k.Checkpoints(10); !slices.Equal(due, []Checkpoint{{2, 3000}}) {
		t.Errorf("%v are due; lease 3 has expired", due)
	}
}
