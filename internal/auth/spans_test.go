package auth

import (
	"testing"

	"pgregory.net/rapid"
)

func TestSpans(t *testing.T) {
	type ask struct{ key, end string }
	tests := []struct {
		name    string
		granted []ask
		yes, no []ask
	}{
		{"nothing", nil, nil, []ask{{"a", ""}, {"a", "b"}, {"\x00", "\x00"}}},
		{"a key", []ask{{"a", ""}}, []ask{{"a", ""}, {"a", "a\x00"}}, []ask{{"b", ""}, {"a\x00", ""}, {"a", "b"}, {"a", "\x00"}}},
		{"neighbours join", []ask{{"c", "e"}, {"a", "c"}}, []ask{{"a", "e"}, {"b", "d"}, {"c", ""}}, []ask{{"a", "f"}, {"A", "b"}, {"e", ""}}},
		{"a gap of one key", []ask{{"a", "b"}, {"b\x00", "c"}}, []ask{{"a", "b"}, {"b\x00", "c"}}, []ask{{"a", "c"}, {"b", ""}}},
		{"a key fills the gap", []ask{{"a", "b"}, {"b\x00", "c"}, {"b", ""}}, []ask{{"a", "c"}, {"b", ""}}, []ask{{"a", "c\x00"}}},
		{"within another", []ask{{"a", "z"}, {"c", "d"}}, []ask{{"a", "z"}, {"d", "e"}}, []ask{{"a", "\x00"}, {"z", ""}}},
		{"open", []ask{{"m", "\x00"}}, []ask{{"m", "\x00"}, {"n", "\x00"}, {"m", "z"}, {"\xff\xff", ""}}, []ask{{"l", "\x00"}, {"l", ""}}},
		{"everything", []ask{{"\x00", "\x00"}}, []ask{{"\x00", "\x00"}, {"a", "b"}, {"\x00", ""}}, nil},
		{"empty ranges go by their key", []ask{{"a", "c"}}, []ask{{"b", "a"}, {"a", "a"}, {"b", "b"}}, []ask{{"c", "c"}, {"c", "a"}, {"x", "b"}}},
		{"what 3.4 let in permits nothing", []ask{{"c", "a"}, {"", "\x00"}, {"", ""}}, nil, []ask{{"a", ""}, {"b", ""}, {"c", ""}}},
	}
	for _, test := range tests {
		var granted []span
		for _, g := range test.granted {
			granted = append(granted, spanOf(g.key, g.end))
		}
		s := newSpans(granted)
		covers := func(a ask) bool {
			if a.end == "" {
				return s.coverKey([]byte(a.key))
			}
			return s.coverRange([]byte(a.key), []byte(a.end))
		}
		for _, a := range test.yes {
			if !covers(a) {
				t.Errorf("%s: %q to %q is not permitted", test.name, a.key, a.end)
			}
		}
		for _, a := range test.no {
			if covers(a) {
				t.Errorf("%s: %q to %q is permitted", test.name, a.key, a.end)
			}
		}
	}
}

// TestSpansAgainstSets grants random spans of a small world of keys and asks for random
// ranges: a range is permitted exactly if each key that it can hold is.
func TestSpansAgainstSets(t *testing.T) {
	world := []string{"a", "a\x00", "aa", "b", "b\x00", "c", "c\x00", "d"}
	// Everything that is named begins or ends at one of these, so each stands for all
	// keys from it to the next.
	stretches := append([]string(nil), world...)
	for _, k := range world {
		stretches = append(stretches, k+"\x00")
	}
	word := func(t *rapid.T, name string) string { return rapid.SampledFrom(world).Draw(t, name) }
	end := func(t *rapid.T) string {
		return rapid.SampledFrom(append([]string{"", "\x00"}, world...)).Draw(t, "end")
	}
	holds := func(key, end, k string) bool {
		switch end {
		case "":
			return k == key
		case "\x00":
			return k >= key
		}
		return k >= key && k < end
	}
	rapid.Check(t, func(t *rapid.T) {
		var granted []span
		permitted := map[string]bool{}
		forEver := false
		for range rapid.IntRange(0, 6).Draw(t, "permissions") {
			key, end := word(t, "key"), end(t)
			granted = append(granted, spanOf(key, end))
			forEver = forEver || end == "\x00"
			for _, k := range stretches {
				permitted[k] = permitted[k] || holds(key, end, k)
			}
		}
		s := newSpans(granted)
		for i := 1; i < len(s); i++ {
			if s[i-1].open || s[i-1].end >= s[i].begin {
				t.Fatalf("%+v touches %+v", s[i-1], s[i])
			}
		}
		key, end := word(t, "asked"), end(t)
		want := end != "\x00" || forEver
		if end != "" && end != "\x00" && end <= key {
			want = permitted[key]
		}
		for _, k := range stretches {
			want = want && (!holds(key, end, k) || permitted[k])
		}
		got := s.coverRange([]byte(key), []byte(end))
		if end == "" {
			got = s.coverKey([]byte(key))
		}
		if got != want {
			t.Fatalf("%q to %q: %v, want %v; granted %+v", key, end, got, want, granted)
		}
	})
}
