package conformance

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// compare lists the differences between the recorded result of a step and the
// one that came, one line each.
func (s *step) compare(got object) []string {
	if len(s.Expect) == 0 {
		return []string{"nothing is recorded to compare with"}
	}
	recorded, err := decode(s.Expect)
	if err != nil {
		return []string{err.Error()}
	}
	want, ok := recorded.(object)
	if !ok {
		return []string{"what is recorded is not an object"}
	}
	if (want["error"] == nil) != (got["error"] == nil) {
		return []string{"want " + shown(want), "got  " + shown(got)}
	}
	c := comparison{ignore: s.Ignore}
	c.walk("", want, got)
	return c.differences
}

type comparison struct {
	ignore      []string // paths like response.kvs.0.value
	differences []string
}

func (c *comparison) walk(path string, want, got any) {
	if slices.Contains(c.ignore, path) {
		return
	}
	switch w := want.(type) {
	case object:
		if g, ok := got.(object); ok {
			for _, name := range sortedNames(union(w, g)) {
				c.walk(strings.TrimPrefix(path+"."+name, "."), w[name], g[name])
			}
			return
		}
	case []any:
		if g, ok := got.([]any); ok {
			for i := range max(len(w), len(g)) {
				c.walk(path+"."+strconv.Itoa(i), element(w, i), element(g, i))
			}
			return
		}
	default:
		if want == got && want != nil || nearly(want, got) {
			return
		}
	}
	c.differences = append(c.differences, fmt.Sprintf("%s: want %s, got %s", path, shown(want), shown(got)))
}

// nearly compares two numbers that are written "~59".
func nearly(want, got any) bool {
	w, ok := about(want)
	g, okGot := about(got)
	return ok && okGot && max(w-g, g-w) <= 2
}

func about(value any) (int, bool) {
	text, _ := value.(string)
	digits, marked := strings.CutPrefix(text, "~")
	n, err := strconv.Atoi(digits)
	return n, marked && err == nil
}

func union(a, b object) object {
	all := object{}
	for name := range a {
		all[name] = nil
	}
	for name := range b {
		all[name] = nil
	}
	return all
}

// element is a list's i-th element, or nil behind its end.
func element(list []any, i int) any {
	if i < len(list) {
		return list[i]
	}
	return nil
}

func shown(value any) string {
	if value == nil {
		return "nothing"
	}
	return clip(textOf(value), 300)
}
