package exchange

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestSorter sorts more than fits, in more runs than are merged at once.
func TestSorter(t *testing.T) {
	for _, records := range []int{0, 1, 100, 20_000} {
		t.Run(fmt.Sprint(records), func(t *testing.T) {
			s := newSorter(t.TempDir())
			s.limit = 1000
			defer s.close()
			var want []string
			random := rand.New(rand.NewPCG(3, 3))
			for i := range records {
				key := fmt.Sprintf("%08x-%d", random.Uint32(), i)
				value := bytes.Repeat([]byte{byte(i)}, i%50)
				want = append(want, key+string(value))
				must(t, s.add([]byte(key), value))
			}
			slices.Sort(want)
			var got []string
			must(t, s.each(func(key, value []byte) error {
				got = append(got, string(key)+string(value))
				return nil
			}))
			if !slices.Equal(got, want) {
				t.Errorf("%d records came, not in order or not those of %d", len(got), len(want))
			}
			if records == 20_000 && len(s.runs) >= maxRuns {
				t.Errorf("%d runs were merged at once", len(s.runs))
			}
		})
	}
}

// TestSorterHeads sorts records whose first bytes hardly tell them apart: equal ones, ones that
// end in their heads, zeros; by key, and by value before that.
func TestSorterHeads(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 5))
	draw := func(prefix string) []byte {
		b := []byte(prefix)
		for range random.IntN(12) {
			b = append(b, "\x00\x00\x00a\xff"[random.IntN(5)])
		}
		return b
	}
	for _, prefix := range []string{"", "/registry/pods/"} {
		for _, by := range []func(_, value []byte) []byte{nil, func(_, value []byte) []byte { return value }} {
			s := newSorter(t.TempDir())
			s.by, s.limit = by, 20_000
			var want [][2]string
			for range 3000 {
				key, value := draw(prefix), draw(prefix)
				want = append(want, [2]string{string(key), string(value)})
				must(t, s.add(key, value))
			}
			slices.SortFunc(want, func(a, b [2]string) int {
				if by == nil {
					return cmp.Compare(a[0], b[0])
				}
				return cmp.Or(cmp.Compare(a[1], b[1]), cmp.Compare(a[0], b[0]))
			})
			n := 0
			must(t, s.each(func(key, value []byte) error {
				if string(key) != want[n][0] || by != nil && string(value) != want[n][1] {
					t.Fatalf("record %d is %q %q, want %q", n, key, value, want[n])
				}
				n++
				return nil
			}))
			if s.close(); n != len(want) {
				t.Errorf("%d records of %d", n, len(want))
			}
		}
	}
}
