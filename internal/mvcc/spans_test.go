package mvcc

import (
	"testing"

	"pgregory.net/rapid"
)

// TestSpans compares the set with a list that is searched from end to end.
func TestSpans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []span
		var parts [2]Spans
		key := rapid.SampledFrom([]string{"", "a", "a\x00", "aa", "b", "c", "\xff"})
		for range rapid.IntRange(0, 40).Draw(t, "ranges") {
			x := span{key: []byte(key.Draw(t, "key"))}
			if rapid.IntRange(0, 9).Draw(t, "endless") > 0 {
				x.end = []byte(key.Draw(t, "end"))
			}
			all = append(all, x)
			parts[rapid.IntRange(0, 1).Draw(t, "part")].Add(x.key, x.end)
		}
		s := &parts[0]
		s.AddAll(&parts[1])
		for range 5 {
			k := key.Draw(t, "asked")
			want := false
			for _, x := range all {
				want = want || k >= string(x.key) && (x.end == nil || k < string(x.end))
			}
			if got := s.Covers([]byte(k)); got != want {
				t.Fatalf("%q covered: %v, want %v", k, got, want)
			}
		}
	})
}
