package lease

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"math/rand"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// clock is a clock that a test moves.
type clock struct{ now time.Time }

func newClock() *clock { return &clock{time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time          { return c.now }
func (c *clock) advance(d time.Duration) { c.now = c.now.Add(d) }

func newKeeper(leases ...Lease) (*Keeper, *clock) {
	c := newClock()
	k := NewKeeper(Config{Now: c.Now, Retry: 7 * time.Second})
	k.Promote(0, slices.Values(leases))
	return k, c
}

func wantExpired(t *testing.T, k *Keeper, limit int, want ...int64) {
	t.Helper()
	if got := k.Expired(limit); !slices.Equal(got, want) {
		t.Fatalf("expired are %v, want %v", got, want)
	}
}

func TestLeaseExpiresAndIsNamedUntilForgotten(t *testing.T) {
	k, c := newKeeper()
	k.Track(1, 5)
	k.Track(1, 500) // known already
	k.Track(2, 6)
	c.advance(5*time.Second - 1)
	wantExpired(t, k, 10)
	c.advance(1)
	wantExpired(t, k, 10, 1)
	c.advance(2 * time.Second)
	wantExpired(t, k, 10, 2) // 1 was named
	c.advance(5 * time.Second)
	wantExpired(t, k, 10, 1) // again, its revocation must have failed
	k.Forget(1)
	k.Forget(1)
	c.advance(time.Minute)
	wantExpired(t, k, 10, 2)
	k.Forget(2)
	c.advance(time.Minute)
	wantExpired(t, k, 10)
	if len(k.due) != 0 {
		t.Fatalf("the heap holds %d forgotten leases", len(k.due))
	}
}

func TestExpiredNamesTheLongestExpiredFirst(t *testing.T) {
	k, c := newKeeper()
	for i := range int64(10) {
		k.Track(i+1, 20-i)
	}
	c.advance(time.Minute)
	wantExpired(t, k, 4, 10, 9, 8, 7)
	wantExpired(t, k, 100, 6, 5, 4, 3, 2, 1)
}

func TestRenewal(t *testing.T) {
	k, c := newKeeper()
	k.Track(1, 5)
	for range 10 {
		c.advance(4 * time.Second)
		wantExpired(t, k, 10)
		if ttl, gone, err := k.Renew(1); ttl != 5 || gone != nil || err != nil {
			t.Fatalf("Renew = %d, %v, %v", ttl, gone, err)
		}
	}
	if left, err := k.Remaining(1); left != 5*time.Second || err != nil {
		t.Fatalf("Remaining = %v, %v", left, err)
	}
	if _, _, err := k.Renew(2); !errors.Is(err, ErrNotFound) {
		t.Fatalf("renewal of an unknown lease: %v", err)
	}
}

func TestExpiredLeaseIsNotRenewed(t *testing.T) {
	for _, end := range []struct {
		name string
		do   func(*Keeper)
		err  error
	}{
		{"revoked", func(k *Keeper) { k.Forget(1) }, ErrNotFound},
		{"demoted", (*Keeper).Demote, ErrNotPrimary},
		{"promoted again", func(k *Keeper) { k.Promote(0, slices.Values([]Lease(nil))) }, ErrNotFound},
	} {
		t.Run(end.name, func(t *testing.T) {
			k, c := newKeeper(Lease{ID: 1, TTL: 5})
			c.advance(5 * time.Second) // Expired has not seen it yet
			ttl, gone, err := k.Renew(1)
			if ttl != 0 || gone == nil || err != nil {
				t.Fatalf("Renew = %d, %v, %v", ttl, gone, err)
			}
			_, same, _ := k.Renew(1)
			select {
			case <-gone:
				t.Fatal("nothing was revoked yet")
			default:
			}
			wantExpired(t, k, 10, 1)
			end.do(k)
			<-gone
			<-same
			if _, _, err := k.Renew(1); !errors.Is(err, end.err) {
				t.Fatalf("Renew afterwards: %v", err)
			}
		})
	}
}

func TestOnlyThePrimaryCounts(t *testing.T) {
	c := newClock()
	k := NewKeeper(Config{Now: c.Now})
	k.Track(1, 1)
	c.advance(time.Hour)
	wantExpired(t, k, 10)
	if _, err := k.Remaining(1); !errors.Is(err, ErrNotPrimary) {
		t.Fatal(err)
	}
	if _, _, err := k.Renew(1); !errors.Is(err, ErrNotPrimary) || k.Primary() || k.Soonest() != nil {
		t.Fatal(err)
	}
	k.Promote(time.Second, slices.Values([]Lease{{ID: 1, TTL: 100}, {ID: 2, TTL: 100, Remaining: 30}}))
	if ids := k.Soonest(); !slices.Equal(ids, []int64{2, 1}) {
		t.Fatalf("order is %v", ids)
	}
	for id, want := range map[int64]time.Duration{1: 101 * time.Second, 2: 31 * time.Second} {
		if left, err := k.Remaining(id); left != want || err != nil {
			t.Fatalf("lease %d has %v left, %v", id, left, err)
		}
	}
	// A renewal gives the granted TTL, without the extension.
	if ttl, _, err := k.Renew(2); ttl != 100 || err != nil {
		t.Fatalf("Renew = %d, %v", ttl, err)
	}
	if left, _ := k.Remaining(2); left != 100*time.Second {
		t.Fatalf("%v are left", left)
	}
	if _, _, err := k.Renew(1); err != nil {
		t.Fatal(err)
	}
	c.advance(100 * time.Second)
	if got := k.Expired(10); len(got) != 2 {
		t.Fatalf("expired are %v", got)
	}
}

func TestManyLeasesAreSpread(t *testing.T) {
	leases := func(n int) iter.Seq[Lease] {
		return func(yield func(Lease) bool) {
			for i := range n {
				l := Lease{ID: int64(i + 1), TTL: 10}
				if i%10 == 0 {
					l.TTL = 1000 // far from the crowd
				}
				if !yield(l) {
					return
				}
			}
		}
	}
	for _, c := range []struct{ n, most int }{{999, 899}, {1000, 750}, {10_000, 750}} {
		t.Run(fmt.Sprint(c.n), func(t *testing.T) {
			clk := newClock()
			k := NewKeeper(Config{Now: clk.Now, Retry: time.Hour})
			k.Promote(0, leases(c.n))
			clk.advance(10*time.Second - 1)
			wantExpired(t, k, c.n)
			clk.advance(1)
			total, busiest := 0, 0
			for second := 0; total < c.n*9/10; second++ {
				n := len(k.Expired(c.n))
				total += n
				busiest = max(busiest, n)
				clk.advance(time.Second)
				if second > c.n/700 {
					t.Fatalf("after %d seconds %d leases have expired", second, total)
				}
			}
			if busiest != c.most {
				t.Errorf("%d leases expired within a second, want %d", busiest, c.most)
			}
			if left, _ := k.Remaining(1); left > 1000*time.Second {
				t.Errorf("a lease far from the crowd was given %v", left)
			}
			// Who renews is no longer spread.
			k.Promote(0, leases(c.n))
			for i := range c.n {
				if ttl, _, err := k.Renew(int64(i + 1)); err != nil {
					t.Fatal(err)
				} else if left, _ := k.Remaining(int64(i + 1)); left != time.Duration(ttl)*time.Second {
					t.Fatalf("%v are left after a renewal of %d s", left, ttl)
				}
			}
			clk.advance(10 * time.Second)
			if n := len(k.Expired(c.n)); n != c.n*9/10 {
				t.Errorf("%d of %d renewed leases expire in time", n, c.n)
			}
		})
	}
}

// TestKeeperAgainstAList compares with deadlines in a map.
func TestKeeperAgainstAList(t *testing.T) {
	const retry = 7 * time.Second
	rapid.Check(t, func(t *rapid.T) {
		c := newClock()
		k := NewKeeper(Config{Now: c.Now, Retry: retry})
		k.Promote(0, slices.Values([]Lease(nil)))
		type fact struct {
			ttl             int64
			deadline, named time.Time
		}
		facts := map[int64]*fact{}
		id := func(t *rapid.T) int64 { return rapid.Int64Range(1, 12).Draw(t, "id") }
		t.Repeat(map[string]func(*rapid.T){
			"track": func(t *rapid.T) {
				i, ttl := id(t), rapid.Int64Range(1, 30).Draw(t, "ttl")
				k.Track(i, ttl)
				if facts[i] == nil {
					facts[i] = &fact{ttl: ttl, deadline: c.now.Add(seconds(ttl))}
				}
			},
			"forget": func(t *rapid.T) {
				i := id(t)
				k.Forget(i)
				delete(facts, i)
			},
			"renew": func(t *rapid.T) {
				i := id(t)
				ttl, gone, err := k.Renew(i)
				f := facts[i]
				switch {
				case f == nil:
					if !errors.Is(err, ErrNotFound) {
						t.Fatalf("unknown lease: %v", err)
					}
				case !f.deadline.After(c.now):
					if gone == nil || err != nil {
						t.Fatalf("expired lease: %d, %v", ttl, err)
					}
				default:
					if ttl != f.ttl || gone != nil || err != nil {
						t.Fatalf("renewed: %d, %v", ttl, err)
					}
					f.deadline = c.now.Add(seconds(f.ttl))
				}
			},
			"promote": func(t *rapid.T) {
				k.Promote(time.Second, func(yield func(Lease) bool) {
					for i, f := range facts {
						if !yield(Lease{ID: i, TTL: f.ttl}) {
							return
						}
					}
				})
				for _, f := range facts {
					f.deadline, f.named = c.now.Add(seconds(f.ttl)+time.Second), time.Time{}
				}
			},
			"time": func(t *rapid.T) {
				c.advance(time.Duration(rapid.Int64Range(0, 5000).Draw(t, "ms")) * time.Millisecond)
			},
			"expired": func(t *rapid.T) {
				limit := rapid.IntRange(0, 5).Draw(t, "limit")
				due := 0
				for _, f := range facts {
					if !f.deadline.After(c.now) && !f.named.Add(retry).After(c.now) {
						due++
					}
				}
				got := k.Expired(limit)
				if len(got) != min(limit, due) {
					t.Fatalf("%d of %d due leases with limit %d", len(got), due, limit)
				}
				for _, i := range got {
					f := facts[i]
					if f == nil || f.deadline.After(c.now) || f.named.Add(retry).After(c.now) {
						t.Fatalf("lease %d is not due", i)
					}
					f.named = c.now
				}
			},
			"": func(t *rapid.T) {
				order := k.Soonest()
				if len(order) != len(facts) || len(k.due) != len(facts) ||
					!slices.IsSortedFunc(order, func(a, b int64) int {
						return cmp.Compare(facts[a].deadline.UnixNano(), facts[b].deadline.UnixNano())
					}) {
					t.Fatalf("order is %v", order)
				}
				for i, item := range k.due {
					if item.lease.at != i || i > 0 && k.due[(i-1)/2].due > item.due {
						t.Fatalf("the heap is broken at %d", i)
					}
				}
			},
		})
	})
}

// million returns a keeper of a million leases.
func million(b *testing.B) (*Keeper, *clock) {
	b.Helper()
	c := newClock()
	k := NewKeeper(Config{Now: c.Now, Retry: 7 * time.Second})
	k.Promote(0, func(yield func(Lease) bool) {
		for i := range int64(1_000_000) {
			if !yield(Lease{ID: i + 1, TTL: 60 + i%600}) {
				return
			}
		}
	})
	return k, c
}

func BenchmarkRenewOfAMillion(b *testing.B) {
	k, _ := million(b)
	ids := rand.New(rand.NewSource(1)).Perm(1_000_000)
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		if _, _, err := k.Renew(int64(ids[i%len(ids)]) + 1); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkScanOfAMillion is a scan of a second's worth among leases that are all
// renewed in time.
func BenchmarkScanOfAMillion(b *testing.B) {
	k, c := million(b)
	b.ReportAllocs()
	b.ResetTimer()
	for i := int64(0); b.Loop(); i++ {
		b.StopTimer()
		c.advance(30 * time.Millisecond)
		for j := range int64(1000) { // each lease every 30 seconds
			_, _, _ = k.Renew((i*1000+j)%1_000_000 + 1)
		}
		b.StartTimer()
		if ids := k.Expired(ScanLimit); len(ids) > 0 {
			b.Fatalf("%d leases expired", len(ids))
		}
	}
}

func BenchmarkPromoteAMillion(b *testing.B) {
	k, _ := million(b)
	t := NewTable(2)
	for i := range int64(1_000_000) {
		if _, err := t.Grant(i+1, 60); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		k.Promote(time.Second, t.All())
	}
}
