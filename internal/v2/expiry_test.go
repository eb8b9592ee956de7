package v2

import (
	"fmt"
	"math"
	"testing"

	"bowline/internal/wire"
)

// TestHorizonHidesNothing: after random changes, of which some expire in the past, and
// searches in between, the horizon is never behind what is left to expire.
func TestHorizonHidesNothing(t *testing.T) {
	for seed := range uint64(10) {
		b := newBench(t, seed)
		for range 400 {
			if _, err := b.store.HasExpired(b.now); err != nil {
				t.Fatal(err)
			}
			r := b.request()
			if b.maybe(4) && r.Method == wire.V2Put {
				r.Expiration = b.now - b.rand.Int64N(30e9)
			}
			b.apply(r)
			earliest := int64(math.MaxInt64)
			b.must(EachRecord(b.engine, func(body, _ []byte) error {
				if body[0] == kindExpiry {
					at, _, err := parseExpiry(body)
					earliest = min(earliest, at)
					return err
				}
				return nil
			}))
			if from := b.store.horizon.from(); from > earliest {
				t.Fatalf("seed %d: the horizon is %d, but something expires at %d", seed, from, earliest)
			}
			if due, err := b.store.HasExpired(b.now); err != nil || due != (earliest <= b.now) {
				t.Fatalf("seed %d: something has expired: %v, %v; the earliest is at %d, now is %d", seed, due, err, earliest, b.now)
			}
		}
	}
}

// TestSearchBesideTheWriter: an expiry that the writer meets before, or while, somebody
// searches is not hidden by what the search has not found.
func TestSearchBesideTheWriter(t *testing.T) {
	var h horizon
	h.restart()
	h.meet(50) // not stored yet
	if from := h.begin(); from != math.MinInt64 {
		t.Errorf("the first search begins at %d", from)
	}
	h.stored()
	h.meet(70)
	h.end(101)
	if h.from() != 50 {
		t.Errorf("the horizon is %d, want 50", h.from())
	}
	h.stored()
	h.begin()
	h.meet(60)
	h.end(101)
	if h.from() != 60 {
		t.Errorf("the horizon is %d, want 60", h.from())
	}
	h.stored()
	h.begin()
	h.end(101)
	if h.from() != 101 {
		t.Errorf("the horizon is %d, want 101", h.from())
	}
	h.removed(90)
	if h.from() != 101 {
		t.Error("the horizon went back without a reason")
	}
	if h.meet(30); h.from() != 30 {
		t.Errorf("the horizon is %d, want 30", h.from())
	}
}

// TestBatchLongerThanHistory: one batch with more events than are kept leaves the history
// that it should.
func TestBatchLongerThanHistory(t *testing.T) {
	b := newBench(t, 1)
	for _, n := range []int{HistoryLen - 1, 1, 2*HistoryLen + forgetOnce, 2} {
		for i := range n {
			b.add(&wire.V2Request{Method: wire.V2Put, Path: fmt.Sprintf("/1/a%d", i), Time: b.now, Expiration: b.now + 1e9})
		}
		b.commit()
		b.now += 2e9
		b.apply(&wire.V2Request{Method: wire.V2Expire, Time: b.now})
		b.commit()
		b.must(b.store.Check())
		events := 0
		b.must(EachRecord(b.engine, func(body, _ []byte) error {
			if body[0] == kindEvent {
				events++
			}
			return nil
		}))
		index := int(b.store.Index())
		if want := min(index, HistoryLen+(index-HistoryLen+1)%forgetOnce); events != want {
			t.Errorf("at %d there are %d events, want %d", index, events, want)
		}
		w, err := b.store.Watch("/1", true, false, b.store.state.oldest())
		b.must(err)
		select {
		case e := <-w.Events:
			if e.Index() != b.store.state.oldest() {
				t.Errorf("the oldest event is that of %d, want %d", e.Index(), b.store.state.oldest())
			}
		default:
			t.Error("the oldest event is not there")
		}
		w.Close()
	}
}
