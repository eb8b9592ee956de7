package recent

import (
	"testing"
	"time"
)

func BenchmarkPicks(b *testing.B) {
	r, key := New(), []byte("/registry/pods/default/x")
	for i := 0; b.Loop(); i++ {
		if took := time.Duration(i); r.Picks(took) {
			r.Count(key, false)
		}
	}
}
