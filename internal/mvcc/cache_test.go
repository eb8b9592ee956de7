package mvcc

import (
	"bytes"
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// TestCacheKnowsTheNewest draws puts, reads and trims, and compares with a map: an answer is
// the newest version, and what was put since the last trim is there. Few hashes for many
// keys have their records meet in the index.
func TestCacheKnowsTheNewest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newNewest(rapid.SampledFrom([]int64{0, 100 << 10, 2 << 20}).Draw(t, "limit"))
		hashes := rapid.Uint64Range(1, 40).Draw(t, "hashes")
		c.hash = func(key []byte) uint64 { return uint64(key[1]) % hashes * cacheShards << 32 }
		known := make(map[string]version)
		fresh := make(map[string]bool)
		for i := range rapid.IntRange(1, 300).Draw(t, "steps") {
			key := fmt.Sprintf("k%c", rapid.IntRange(0, 60).Draw(t, "key"))
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				c.trim()
				fresh = make(map[string]bool)
			case 1, 2, 3:
				checkCached(t, c, key, known, fresh[key])
			default:
				v := version{rev: Revision{int64(i + 1), int64(i % 3)}, meta: meta{KindUpdate, int64(i), 7, -int64(i)}}
				if n := rapid.SampledFrom([]int{0, 1, 500, 5000, 9000, 70000}).Draw(t, "size"); n > 0 {
					v.stored = bytes.Repeat([]byte{byte(i)}, n)
				}
				replace := rapid.IntRange(0, 3).Draw(t, "replace") == 0
				_, there := c.get([]byte(key))
				c.put([]byte(key), v, replace)
				known[key] = v
				fresh[key] = there || !replace
			}
		}
		for key := range known {
			checkCached(t, c, key, known, fresh[key])
		}
		checkShards(t, c)
	})
}

func checkCached(t *rapid.T, c *newest, key string, known map[string]version, must bool) {
	want := known[key]
	got, ok := c.get([]byte(key))
	switch {
	case !ok && must:
		t.Fatalf("%q was dropped before it may be", key)
	case !ok:
		return
	case got.stored == nil && !must:
		want.stored = nil
	}
	if got.rev != want.rev || got.meta != want.meta || !bytes.Equal(got.stored, want.stored) || (got.stored == nil) != (want.stored == nil) {
		t.Fatalf("%q is %+v, want %+v", key, got, want)
	}
}

// checkShards compares what the shards say of themselves with what they hold.
func checkShards(t *rapid.T, c *newest) {
	for i := range c.shards {
		s := &c.shards[i]
		var bytes, live int64
		for _, p := range s.pages {
			bytes += int64(cap(p.data))
		}
		for slot, at := range s.index {
			r := s.pages[at.page()-s.base].record(at.offset())
			live += int64(r.size)
			if found, _, _, ok := s.find(c.hash(r.key), r.key); !ok || found != slot {
				t.Fatalf("%q stands at %x and is not found there", r.key, slot)
			}
		}
		if bytes != s.bytes || live != s.live {
			t.Fatalf("a shard has %d bytes and %d live ones, it says %d and %d", bytes, live, s.bytes, s.live)
		}
	}
}

// TestCacheStaysWithinItsLimit, and keeps what is used, the values of what was written last,
// and of more the rest.
func TestCacheStaysWithinItsLimit(t *testing.T) {
	const limit, size, keys = 4 << 20, 1000, 20000
	c := newNewest(limit)
	key := func(i int) []byte { return fmt.Appendf(nil, "key-%d", i) }
	value := make([]byte, size)
	for i := range keys {
		c.put(key(i), version{rev: Revision{Main: int64(i)}, stored: value}, false)
		c.trim()
		if _, ok := c.get(key(0)); !ok {
			t.Fatalf("a key that is always read is dropped after %d others", i)
		}
	}
	var bytes int64
	for i := range c.shards {
		bytes += c.shards[i].bytes + int64(len(c.shards[i].index))*placeBytes
	}
	whole, parts := 0, 0
	for i := range keys {
		if v, ok := c.get(key(i)); ok && v.stored != nil {
			whole++
		} else if ok {
			parts++
		}
	}
	if bytes > limit || whole < limit/size/4 || parts < whole {
		t.Errorf("%d bytes, the limit is %d; %d versions with values and %d without", bytes, limit, whole, parts)
	}
}

// TestCacheKeepsAllOfAFewThatChangeOften: what they replace makes room, not they.
func TestCacheKeepsAllOfAFewThatChangeOften(t *testing.T) {
	const limit, size, keys = 4 << 20, 1000, 2000
	c := newNewest(limit)
	for i := range 20 * keys {
		c.put(fmt.Appendf(nil, "key-%d", i%keys), version{rev: Revision{Main: int64(i)}, stored: make([]byte, size)}, false)
		c.trim()
	}
	for i := range keys {
		if v, ok := c.get(fmt.Appendf(nil, "key-%d", i)); !ok || v.stored == nil || v.rev.Main != int64(19*keys+i) {
			t.Fatalf("key %d: %v, %v, %d bytes", i, ok, v.rev, len(v.stored))
		}
	}
}
