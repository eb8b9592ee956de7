package engine

import (
	"bytes"
	"cmp"
	"math"
	"testing"
)

// storedKeys are the shapes of stored keys that one user key can have.
func storedKeys(key []byte, main, sub int64) [][]byte {
	return [][]byte{
		AppendVersionKey(nil, key, main, sub), Key(ClassVersion, key), Key(ClassCount, key), Key(ClassLease, key),
		AppendRevisionKey(nil, main, sub),
	}
}

func revision(main uint64, sub uint32) (int64, int64) { return int64(main & math.MaxInt64), int64(sub) }

// FuzzKeyOrder: stored keys sort by user key, then the bare one first, then newest
// first; what comes out of a stored key is what went in; and what Pebble asks of a
// comparer beside the order holds.
func FuzzKeyOrder(f *testing.F) {
	f.Add([]byte("a"), uint64(2), uint32(0), []byte("a\x00"), uint64(2), uint32(1))
	f.Add([]byte(""), uint64(0), uint32(0), []byte("\x00"), uint64(math.MaxInt64), uint32(math.MaxUint32))
	f.Add([]byte("\xff\xff"), uint64(255), uint32(13), []byte("\xff"), uint64(256), uint32(0))
	f.Add([]byte("a\r"), uint64(13), uint32(13), []byte("a\x0d\x00"), uint64(13), uint32(12))
	f.Add([]byte("same"), uint64(7), uint32(1), []byte("same"), uint64(7), uint32(2))
	f.Fuzz(func(t *testing.T, key1 []byte, m1 uint64, s1 uint32, key2 []byte, m2 uint64, s2 uint32) {
		main1, sub1 := revision(m1, s1)
		main2, sub2 := revision(m2, s2)
		a, b := AppendVersionKey(nil, key1, main1, sub1), AppendVersionKey(nil, key2, main2, sub2)
		if main, sub := VersionRevision(a); main != main1 || sub != sub1 || !bytes.Equal(VersionUserKey(a), key1) {
			t.Fatalf("%x holds %q %d.%d", a, VersionUserKey(a), main, sub)
		}
		want := bytes.Compare(key1, key2)
		if want == 0 {
			if want = cmp.Compare(main2, main1); want == 0 {
				want = cmp.Compare(sub2, sub1)
			}
		}
		if got := compare(a, b); got != want {
			t.Fatalf("compare %x, %x: %d, want %d", a, b, got, want)
		}
		if bare := Key(ClassVersion, key1); compare(bare, a) >= 0 {
			t.Fatalf("%x does not sort before %x", bare, a)
		}
		r1, r2 := AppendRevisionKey(nil, main1, sub1), AppendRevisionKey(nil, main2, sub2)
		if want := cmp.Or(cmp.Compare(main1, main2), cmp.Compare(sub1, sub2)); compare(r1, r2) != want {
			t.Fatalf("revision records %x, %x: want %d", r1, r2, want)
		}
		if main, sub, err := ParseRevisionKey(r1); err != nil || main != main1 || sub != sub1 {
			t.Fatalf("%x: %d.%d %v", r1, main, sub, err)
		}
		for _, x := range storedKeys(key1, main1, sub1) {
			for _, y := range storedKeys(key2, main2, sub2) {
				checkContracts(t, x, y)
				checkContracts(t, y, x)
			}
		}
	})
}

// checkContracts checks what pebble.Comparer documents about two keys.
func checkContracts(t *testing.T, a, b []byte) {
	t.Helper()
	c := newComparer()
	for _, k := range [][]byte{a, b} {
		if err := c.ValidateKey.Validate(k); err != nil {
			t.Fatal(err)
		}
	}
	order := c.Compare(a, b)
	if order != -c.Compare(b, a) || (order == 0) != c.Equal(a, b) {
		t.Fatalf("compare %x, %x: %d and %d", a, b, order, c.Compare(b, a))
	}
	if x, y := c.AbbreviatedKey(a), c.AbbreviatedKey(b); x < y && order >= 0 || x > y && order <= 0 {
		t.Fatalf("abbreviated %x, %x: %x, %x", a, b, x, y)
	}
	prefixA, prefixB := a[:c.Split(a)], b[:c.Split(b)]
	if p := bytes.Compare(prefixA, prefixB); p != 0 && p != order {
		t.Fatalf("prefixes of %x, %x: %d", a, b, p)
	}
	if order < 0 {
		sep := c.Separator([]byte("x"), a, b)[1:]
		if c.Compare(a, sep) > 0 || c.Compare(sep, b) >= 0 || c.ValidateKey.Validate(sep) != nil {
			t.Fatalf("separator of %x, %x: %x", a, b, sep)
		}
	}
	next := c.Successor([]byte("x"), a)[1:]
	if c.Compare(next, a) < 0 || c.ValidateKey.Validate(next) != nil {
		t.Fatalf("successor of %x: %x", a, next)
	}
	immediate := c.ImmediateSuccessor(nil, prefixA)
	if c.Split(immediate) != len(immediate) || c.Compare(prefixA, immediate) >= 0 {
		t.Fatalf("immediate successor of %x: %x", prefixA, immediate)
	}
	if c.Compare(prefixB, prefixA) > 0 && c.Compare(prefixB, immediate) < 0 {
		t.Fatalf("%x is between %x and its immediate successor %x", prefixB, prefixA, immediate)
	}
}

// FuzzStoredKey: bytes that are no key of ours must not make a comparer panic;
// Pebble hands it what it reads from a file.
func FuzzStoredKey(f *testing.F) {
	for _, k := range storedKeys([]byte("k"), 5, 1) {
		f.Add(k)
	}
	f.Fuzz(func(t *testing.T, k []byte) {
		c := newComparer()
		if c.ValidateKey.Validate(k) != nil {
			return
		}
		_ = formatKey(k)
		if c.Compare(k, k) != 0 || c.Split(k) > len(k) {
			t.Fatalf("%x", k)
		}
		checkContracts(t, k, Key(ClassVersion, []byte("k")))
	})
}
