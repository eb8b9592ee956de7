package reclaim

import (
	"testing"
	"time"
)

func TestRest(t *testing.T) {
	const took = 2 * time.Millisecond
	for _, c := range []struct {
		files float64
		bytes int64
		want  time.Duration
	}{
		{0, 0, idleness * took},
		{.1, maxBytes / 2, idleness * took},
		{.5, 1, idleness * took},
		{.1, maxBytes / 4 * 3, idleness * took / 2},
		{.75, 1, idleness * took / 2},
		{.1, maxBytes, 0},
		{1, maxBytes, 0},
	} {
		if got := rest(c.files, c.bytes, took); got != c.want {
			t.Errorf("rest(%v, %d) = %v, want %v", c.files, c.bytes, got, c.want)
		}
	}
}
