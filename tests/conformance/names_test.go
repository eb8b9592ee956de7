package conformance

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// names are values that differ from run to run, in the order they were bound.
// In a scenario they stand as $name, which is the whole text, or as ${name} and
// ${name:hex} within one.
type names struct {
	order  []string
	values map[string]string
}

func newNames() *names { return &names{values: map[string]string{}} }

func (n *names) bind(name, value string) {
	if _, known := n.values[name]; !known {
		n.order = append(n.order, name)
	}
	n.values[name] = value
}

// repetition sets ${i} for the i-th of several, counted from zero.
func (n *names) repetition(i int) { n.bind("i", fmt.Sprintf("%03d", i+1)) }

var reference = regexp.MustCompile(`^\$([a-z][a-z0-9_]*)$|\$\{([a-z][a-z0-9_]*)(:hex)?\}`)

// expand puts values in the place of names.
func (n *names) expand(text string) (string, error) {
	var unknown error
	out := reference.ReplaceAllStringFunc(text, func(found string) string {
		m := reference.FindStringSubmatch(found)
		value, known := n.values[m[1]+m[2]]
		if !known {
			unknown = fmt.Errorf("%s is not bound", found)
		}
		if m[3] != "" {
			return hex(value)
		}
		return value
	})
	return out, unknown
}

// shortest is the length from which a value is taken for itself wherever it
// stands in a text.
const shortest = 8

// fold puts names in the place of values.
func (n *names) fold(text string) string {
	for _, name := range n.order {
		value := n.values[name]
		digits := hex(value)
		if text == value && (len(value) >= shortest || digits == "") {
			return "$" + name
		}
		if len(value) < shortest {
			continue
		}
		text = strings.ReplaceAll(text, value, "${"+name+"}")
		if len(digits) >= shortest {
			text = strings.ReplaceAll(text, digits, "${"+name+":hex}")
		}
	}
	return text
}

// foldID names a number that the server chose; cluster IDs are apart from all
// others.
func (n *names) foldID(number string, isCluster bool) (string, bool) {
	for _, name := range n.order {
		if n.values[name] == number && (name == "cluster") == isCluster {
			return "$" + name, true
		}
	}
	return "", false
}

// hex gives a decimal number in hexadecimal digits, and nothing for other text.
func hex(text string) string {
	number, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return ""
	}
	return strconv.FormatInt(number, 16)
}
