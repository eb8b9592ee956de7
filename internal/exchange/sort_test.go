package exchange

import (
	"bytes"
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
