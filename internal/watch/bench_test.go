package watch

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"bowline/internal/mvcc"
	"bowline/internal/wire"
)

// benchEvent makes the event of a put of 512 bytes.
func benchEvent(key string, rev int64) []mvcc.Event {
	kv := wire.KeyValue{Key: []byte(key), Create: 2, Mod: rev, Version: rev, Value: make([]byte, 512)}
	return []mvcc.Event{{
		Key: kv.Key, Revision: mvcc.Revision{Main: rev}, Kind: mvcc.KindUpdate,
		Prev: mvcc.Revision{Main: 1}, KV: kv.Append(nil),
	}}
}

// benchHistory knows one previous version of everything and no changes.
type benchHistory struct{ current int64 }

func (h *benchHistory) Revisions() (int64, int64) { return h.current, -1 }

func (h *benchHistory) Changes(context.Context, []byte, []byte, int64, int64, func(mvcc.Event) bool) error {
	return nil
}

func (h *benchHistory) Version(key []byte, rev mvcc.Revision) ([]byte, error) {
	return (&wire.KeyValue{Key: key, Mod: rev.Main, Value: make([]byte, 512)}).Append(nil), nil
}

func benchHub() (*Hub, *benchHistory) {
	h := &benchHistory{current: 1}
	return NewHub(Config{History: h, MaxWatchersPerStream: 10_000_000}), h
}

// benchDrain reads and encodes all that waits on s and returns the events in it.
func benchDrain(b *testing.B, s *Stream, parts [][]byte) int {
	n := 0
	for {
		r, err := s.poll(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		if r == nil {
			return n
		}
		n += r.Events()
		_ = r.Encode(parts[:0], 1, 2, 3)
	}
}

// BenchmarkFanout is one put to 1000 watchers of its key on 100 streams, from
// Publish to encoded responses. The figures are for each put.
func BenchmarkFanout(b *testing.B) {
	for _, prev := range []bool{false, true} {
		for _, batch := range []int{1, 16} {
			b.Run(fmt.Sprintf("prev=%v/revisions=%d", prev, batch), func(b *testing.B) {
				h, history := benchHub()
				var streams []*Stream
				parts := make([][]byte, 0, 64)
				for range 100 {
					s := h.NewStream()
					for range 10 {
						r := one("key")
						r.PrevKV = prev
						if err := s.Create(b.Context(), r); err != nil {
							b.Fatal(err)
						}
					}
					benchDrain(b, s, parts)
					streams = append(streams, s)
				}
				b.ReportAllocs()
				for b.Loop() {
					for range batch {
						history.current++
						h.Publish(history.current, benchEvent("key", history.current))
					}
					for h.dispatch() {
					}
					n := 0
					for _, s := range streams {
						n += benchDrain(b, s, parts)
					}
					if n != 1000*batch {
						b.Fatalf("%d events arrived", n)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*1000*batch), "ns/event")
			})
		}
	}
}

// BenchmarkManyWatch is one put that one of very many watchers is for.
func BenchmarkManyWatch(b *testing.B) {
	const watchers, streams = 10_000, 10
	for _, kind := range []string{"keys", "prefixes"} {
		b.Run(kind, func(b *testing.B) {
			h, history := benchHub()
			parts := make([][]byte, 0, 64)
			var all []*Stream
			keys := make([]string, watchers)
			for i := range streams {
				s := h.NewStream()
				all = append(all, s)
				for j := range watchers / streams {
					n := i*watchers/streams + j
					r := one(fmt.Sprintf("/registry/pods/%06d", n))
					keys[n] = string(r.Key)
					if kind == "prefixes" {
						r.Key = append(r.Key, '/')
						r.End = append([]byte(keys[n]), '0')
						keys[n] += "/status"
					}
					if err := s.Create(b.Context(), r); err != nil {
						b.Fatal(err)
					}
					benchDrain(b, s, parts)
				}
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				n := i * 7919 % watchers
				i++
				history.current++
				h.Publish(history.current, benchEvent(keys[n], history.current))
				for h.dispatch() {
				}
				if benchDrain(b, all[n*streams/watchers], parts) != 1 {
					b.Fatal("the event did not arrive")
				}
			}
		})
	}
}

// BenchmarkPublishUnwatched is what a put costs when nobody watches.
func BenchmarkPublishUnwatched(b *testing.B) {
	h, history := benchHub()
	event := benchEvent("key", 1)
	b.ReportAllocs()
	for b.Loop() {
		history.current++
		h.Publish(history.current, event)
	}
}

// BenchmarkGoroutines is Fanout with the hub's goroutine and one for each stream.
func BenchmarkGoroutines(b *testing.B) {
	for _, streams := range []int{1, 100} {
		b.Run(fmt.Sprintf("streams=%d", streams), func(b *testing.B) {
			h, history := benchHub()
			ctx, cancel := context.WithCancel(b.Context())
			var running sync.WaitGroup
			running.Go(func() { _ = h.Run(ctx) })
			arrived := make(chan int, streams)
			for range streams {
				s := h.NewStream()
				for range 10 {
					if err := s.Create(ctx, one("key")); err != nil {
						b.Fatal(err)
					}
				}
				running.Go(func() {
					var parts [][]byte
					for n := 0; ; {
						r, err := s.Next(ctx)
						if err != nil {
							return
						}
						parts = r.Encode(parts[:0], 1, 2, 3)
						if n += r.Events(); n == 10 {
							arrived <- n
							n = 0
						}
					}
				})
			}
			b.ReportAllocs()
			for b.Loop() {
				history.current++
				h.Publish(history.current, benchEvent("key", history.current))
				for range streams {
					<-arrived
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*streams*10), "ns/event")
			cancel()
			running.Wait()
		})
	}
}

// BenchmarkCatchUpFromFeed is 10,000 watchers of a key each that start in a feed of
// 10,000 events.
func BenchmarkCatchUpFromFeed(b *testing.B) {
	const n = 10_000
	history := &benchHistory{current: 1}
	h := NewHub(Config{History: history})
	for i := range n {
		history.current++
		h.Publish(history.current, benchEvent(fmt.Sprintf("%06d", i), history.current))
	}
	parts := make([][]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		s := h.NewStream()
		got := 0
		for i := range n {
			if err := s.Create(b.Context(), one(fmt.Sprintf("%06d", i)).from(2)); err != nil {
				b.Fatal(err)
			}
			if i%100 == 99 { // the answers alone
				for len(s.answers) > 0 {
					if r, err := s.poll(b.Context()); err != nil || !r.Created {
						b.Fatal("expected an answer")
					}
				}
			}
		}
		if got += benchDrain(b, s, parts); got != n {
			b.Fatalf("%d events arrived", got)
		}
		s.Close()
	}
}

// TestMemoryOfAWatcher measures what an idle watcher takes besides its key.
func TestMemoryOfAWatcher(t *testing.T) {
	const n = 100_000
	for _, c := range []struct {
		name    string
		request func(i int) CreateRequest
		most    uint64
	}{
		{"one key", func(int) CreateRequest { return one("/registry/pods") }, 210},
		{"own keys", func(i int) CreateRequest { return one(fmt.Sprintf("%016d", i)) }, 290},
		{"own ranges", func(i int) CreateRequest { return span(fmt.Sprintf("%016d", i), fmt.Sprintf("%016d", i+1)) }, 350},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, _ := benchHub()
			s := h.NewStream()
			before := heapBytes()
			for i := range n {
				must(t, s.Create(t.Context(), c.request(i)))
				if _, err := s.poll(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			each := (heapBytes() - before) / n
			t.Logf("%d bytes a watcher", each)
			if each > c.most {
				t.Errorf("%d bytes a watcher, more than %d", each, c.most)
			}
			start := time.Now()
			s.Close()
			t.Logf("closing %d watches took %v", n, time.Since(start))
			runtime.KeepAlive(h)
		})
	}
}

func heapBytes() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
