package v2test

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var placeholder = regexp.MustCompile(`<<([a-z_]+)(?::([A-Za-z0-9_.]+))?([+-]\d+)?>>`)

// forms are the placeholders that stand for anything of a form.
var forms = map[string]string{
	"number":     `-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?`,
	"raft_index": `[0-9]+`,
	"raft_term":  `[0-9]+`,
	"ttl":        `-?[0-9]+`,
	"cluster_id": `[1-9a-f][0-9a-f]{0,15}`,
	"member_id":  `[1-9a-f][0-9a-f]{0,15}`,
	"expiration": `[0-9]{4,}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?Z`,
	"timestamp":  `[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})`,
	"duration":   `(?:[0-9]+h)?(?:[0-9]+m)?[0-9]+(?:\.[0-9]+)?(?:h|m|s|ms|µs|us|ns)`,
	"version":    `[0-9]+\.[0-9]+\.[0-9]+(?:[-+][0-9A-Za-z.+-]+)?`,
	"url":        `(?:https?|unixs?)://[^\s",]+`,
	"machines":   `(?:https?|unixs?)://[^\s",]+(?:, (?:https?|unixs?)://[^\s",]+)*`,
	"string":     `.*`,
	"any":        `.*`,
}

// known is what a file's placeholders stand for so far.
type known struct {
	base    uint64
	stats   []map[string]float64 // per member, at the beginning
	saved   map[string]any
	cluster string
	raft    map[string]uint64 // member and name: the highest seen
	node    int
}

// literal is the text that a placeholder stands for; ok is false if it stands for many.
func (k *known) literal(name, argument, delta string) (text string, ok bool) {
	n, _ := strconv.ParseInt(delta, 10, 64)
	switch name {
	case "idx":
		return strconv.FormatInt(int64(k.base)+n, 10), true
	case "seq":
		return fmt.Sprintf("%020d", int64(k.base)+n), true
	case "stat":
		return strconv.FormatInt(int64(k.stats[k.node][argument])+n, 10), true
	case "var":
		return fmt.Sprint(k.saved[argument]), true
	}
	return "", false
}

// expand puts values in the place of placeholders in what is sent.
func (k *known) expand(s string) string {
	return placeholder.ReplaceAllStringFunc(s, func(p string) string {
		m := placeholder.FindStringSubmatch(p)
		text, _ := k.literal(m[1], m[2], m[3])
		return text
	})
}

// matchText compares a text, and takes note of what it holds.
func (k *known) matchText(want, got string) bool {
	var pattern strings.Builder
	pattern.WriteString(`(?s)\A`)
	var open [][2]string
	at := 0
	for _, m := range placeholder.FindAllStringSubmatchIndex(want, -1) {
		group := func(i int) string {
			if m[2*i] < 0 {
				return ""
			}
			return want[m[2*i]:m[2*i+1]]
		}
		pattern.WriteString(regexp.QuoteMeta(want[at:m[0]]))
		at = m[1]
		if text, ok := k.literal(group(1), group(2), group(3)); ok {
			pattern.WriteString(regexp.QuoteMeta(text))
			continue
		}
		pattern.WriteString("(" + forms[group(1)] + ")")
		open = append(open, [2]string{group(1), group(2)})
	}
	pattern.WriteString(regexp.QuoteMeta(want[at:]) + `\z`)
	found := regexp.MustCompile(pattern.String()).FindStringSubmatch(got)
	if found == nil {
		return false
	}
	for i, p := range open {
		if !k.plausible(p[0], p[1], found[i+1]) {
			return false
		}
	}
	return true
}

func (k *known) plausible(name, argument, got string) bool {
	switch name {
	case "ttl":
		want, _ := strconv.Atoi(argument)
		less, more := 3, 1
		if want >= 100 {
			less, more = 30, 10
		}
		n, err := strconv.Atoi(got)
		return err == nil && n >= want-less && n <= want+more
	case "cluster_id":
		if k.cluster == "" {
			k.cluster = got
		}
		return k.cluster == got
	case "raft_index", "raft_term":
		n, _ := strconv.ParseUint(got, 10, 64)
		which := fmt.Sprint(k.node, name)
		if n < k.raft[which] {
			return false
		}
		k.raft[which] = n
	}
	return true
}

// match compares JSON and returns the differences.
func (k *known) match(want, got any, path string, subset, unordered bool) (diff []string) {
	differs := func() []string { return []string{fmt.Sprintf("%s: want %s, got %s", path, text(want), text(got))} }
	switch want := want.(type) {
	case string:
		if m := placeholder.FindStringSubmatch(want); m != nil && m[0] == want {
			switch m[1] {
			case "any":
				return nil
			case "idx", "stat", "ttl", "number":
				if _, isNumber := got.(json.Number); !isNumber || !k.matchText(want, text(got)) {
					return differs()
				}
				return nil
			}
		}
		if s, isText := got.(string); !isText || !k.matchText(want, s) {
			return differs()
		}
	case map[string]any:
		have, isObject := got.(map[string]any)
		if !isObject {
			return differs()
		}
		for _, name := range slices.Sorted(maps.Keys(want)) {
			v, there := have[name]
			if !there {
				diff = append(diff, path+"."+name+": missing")
				continue
			}
			diff = append(diff, k.match(want[name], v, path+"."+name, subset, unordered)...)
		}
		for _, name := range slices.Sorted(maps.Keys(have)) {
			if _, wanted := want[name]; !wanted && !subset {
				diff = append(diff, fmt.Sprintf("%s.%s: not wanted, got %s", path, name, text(have[name])))
			}
		}
	case []any:
		return k.matchList(want, got, path, subset, unordered)
	default:
		if text(want) != text(got) {
			return differs()
		}
	}
	return diff
}

func (k *known) matchList(want []any, got any, path string, subset, unordered bool) (diff []string) {
	have, isList := got.([]any)
	if !isList || len(have) != len(want) {
		return []string{fmt.Sprintf("%s: want %s, got %s", path, text(want), text(got))}
	}
	if !unordered {
		for i := range want {
			diff = append(diff, k.match(want[i], have[i], fmt.Sprintf("%s[%d]", path, i), subset, unordered)...)
		}
		return diff
	}
	left := slices.Clone(have)
	for i := range want {
		at := slices.IndexFunc(left, func(v any) bool { return k.match(want[i], v, path, subset, unordered) == nil })
		if at < 0 {
			return []string{fmt.Sprintf("%s: nothing is %s in %s", path, text(want[i]), text(left))}
		}
		left = slices.Delete(left, at, at+1)
	}
	return nil
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
