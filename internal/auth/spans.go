package auth

import (
	"slices"
	"strings"
)

// span is the keys from begin up to, but without, end; without an end it goes on for
// ever.
type span struct {
	begin, end string
	open       bool
}

// reaches tells whether s goes at least as far as the key before x: that nothing is
// missing between s and what begins with x.
func (s span) reaches(x string) bool { return s.open || s.end >= x }

// goesAsFarAs tells whether s goes on at least as long as o.
func (s span) goesAsFarAs(o span) bool { return s.open || !o.open && s.end >= o.end }

// spanOf is what a key and a range end mean, in a permission as in a request: no end
// is the key alone, "\x00" every key from it on.
func spanOf(key, end string) span {
	switch end {
	case "":
		return span{begin: key, end: key + "\x00"}
	case "\x00":
		return span{begin: key, open: true}
	}
	return span{begin: key, end: end}
}

// spans are the keys that somebody may read, or write: disjoint, in order, and no two
// of them touch.
type spans []span

// newSpans merges what was granted. Permissions without a key, or whose end is not
// above it, which old versions let in, permit nothing.
func newSpans(granted []span) spans {
	granted = slices.DeleteFunc(granted, func(s span) bool { return s.begin == "" || !s.open && s.end <= s.begin })
	slices.SortStableFunc(granted, func(a, b span) int { return strings.Compare(a.begin, b.begin) })
	var merged []span
	for _, s := range granted {
		last := len(merged) - 1
		switch {
		case last < 0 || !merged[last].reaches(s.begin):
			merged = append(merged, s)
		case !merged[last].goesAsFarAs(s):
			merged[last].end, merged[last].open = s.end, s.open
		}
	}
	return merged
}

// coverKey tells whether a key is among them.
func (s spans) coverKey(key []byte) bool {
	at, ok := s.at(key)
	return ok && (at.open || string(key) < at.end)
}

// at is the last of the spans that begin at a key or below it.
func (s spans) at(key []byte) (span, bool) {
	lo, hi := 0, len(s)
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		if s[mid].begin <= string(key) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == 0 {
		return span{}, false
	}
	return s[lo-1], true
}

// coverRange tells whether all keys of a request's range are among them. A range that
// holds nothing, since its end is not above its key, is judged by the key, as in etcd.
func (s spans) coverRange(key, end []byte) bool {
	open := len(end) == 1 && end[0] == 0
	if !open && string(end) <= string(key) {
		return s.coverKey(key)
	}
	at, ok := s.at(key)
	switch {
	case !ok:
		return false
	case at.open:
		return true
	}
	return !open && string(end) <= at.end
}
