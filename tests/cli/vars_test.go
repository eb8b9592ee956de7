package clitest

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// kinds are the placeholders that match anew each time.
var kinds = map[string]string{
	"duration":           duration,
	"size":               `\d+(?:\.\d+)? [kMGTP]?B`,
	"int":                `\d+`,
	"rev":                `\d+`,
	"raft_term":          `\d+`,
	"raft_index":         `\d+`,
	"index":              `\d+`,
	"bytes":              `\d+`,
	"hash":               `\d+`,
	"percent":            `\d+%`,
	"ttl":                `\d+`,
	"count":              `\d+`,
	"hash_hex":           `[0-9a-f]+`,
	"version":            `\d+\.\d+\.\d+(?:[-+][\w.+-]+)?`,
	"minor_version":      `\d+\.\d+`,
	"any_version":        `\d+\.\d+(?:\.\d+)?`,
	"opt_version":        `(?:\d+\.\d+\.\d+)?`,
	"opt_version_col":    `(?:, (?:\d+\.\d+\.\d+)?)?`,
	"opt_server_version": `(?:Server version \d+\.\d+\.\d+\n)?`,
	"opt_json_version":   `(?:,"version":"(?:\d+\.\d+\.\d+)?")?`,
	"opt_took":           `(?:\. took ` + duration + `)?`,
	"float":              `\d+(?:\.\d+)?`,
	"b64":                `[A-Za-z0-9+/=]+`,
	"timestamp":          `[0-9T:.Z+-]+`,
	"word":               `\S+`,
	"text":               `[^\n]*`,
	"any":                `(?s:.*)`,
	"any_id":             `\d+`,
	"any_id_hex":         `[0-9a-f]+`,
	"sp":                 ` +`,
	"opt_sp":             ` *`,
}

const duration = `(?:\d+h)?(?:\d+m)?(?:\d+(?:\.\d+)?(?:ns|µs|us|ms|s))?`

var (
	placeholder = regexp.MustCompile(`<<([a-z0-9_]+)>>`)
	identifier  = regexp.MustCompile(`^(cluster_id|member_id|lease_id)(_\d+)?(?:_(hex|dec|x))?$`)
	number      = regexp.MustCompile(`_\d+$`)
)

// vars are the values of placeholders: fixed texts, and identifiers that are
// bound where they are first seen.
type vars struct {
	text map[string]string
	ids  map[string]uint64
}

func newVars() *vars { return &vars{text: map[string]string{}, ids: map[string]uint64{}} }

// idName splits lease_id_2_dec into its base lease_id, its name lease_id_2 and
// its form dec.
func idName(name string) (base, id, form string, ok bool) {
	m := identifier.FindStringSubmatch(name)
	if m == nil {
		return "", "", "", false
	}
	base, id, form = m[1], m[1]+m[2], m[3]
	if form == "" {
		form = "dec"
		if base == "lease_id" {
			form = "hex"
		}
	}
	return base, id, form, true
}

// value is the text that a placeholder stands for, if it is known.
func (v *vars) value(name string) (string, bool) {
	base, id, form, ok := idName(name)
	if !ok {
		text, known := v.text[name]
		return text, known
	}
	n, known := v.ids[id]
	switch {
	case !known:
		return "", false
	case form == "dec":
		return strconv.FormatUint(n, 10), true
	case form == "hex" && base == "lease_id":
		return fmt.Sprintf("%016x", n), true
	}
	return strconv.FormatUint(n, 16), true
}

// bind gives a placeholder the value it was seen with. It reports false if it
// has another one already.
func (v *vars) bind(name, seen string) bool {
	if _, id, form, ok := idName(name); ok {
		base := 16
		if form == "dec" {
			base = 10
		}
		n, err := strconv.ParseUint(strings.TrimSpace(seen), base, 64)
		if err != nil {
			return false
		}
		if old, bound := v.ids[id]; bound {
			return old == n
		}
		v.ids[id] = n
		return true
	}
	if old, bound := v.text[name]; bound {
		return old == seen
	}
	v.text[name] = seen
	return true
}

// subst replaces all placeholders by their values.
func (v *vars) subst(text string) (string, error) {
	var err error
	out := placeholder.ReplaceAllStringFunc(text, func(m string) string {
		value, known := v.value(strings.Trim(m, "<>"))
		if !known {
			err = fmt.Errorf("placeholder %s has no value yet", m)
		}
		return value
	})
	return out, err
}

// pattern is the expression for one placeholder, and whether what it matches
// becomes its value.
func (v *vars) pattern(name string) (expr string, binds bool, err error) {
	_, _, form, isID := idName(name)
	pad := ""
	if isID && form == "hex" {
		pad = ` {0,8}`
	}
	if value, known := v.value(name); known {
		return pad + regexp.QuoteMeta(value), false, nil
	}
	switch {
	case isID && form == "dec":
		return `\d+`, true, nil
	case isID:
		return pad + `[0-9a-f]{1,16}`, true, nil
	case strings.HasPrefix(name, "index_"):
		return `\d+`, true, nil
	}
	expr, known := kinds[number.ReplaceAllString(name, "")]
	if !known {
		return "", false, fmt.Errorf("unknown placeholder <<%s>>", name)
	}
	return expr, false, nil
}

// match compares text with a template, all of it or any part, and binds the
// identifiers that the template names for the first time.
func (v *vars) match(template, text string, all bool) (bool, error) {
	var expr strings.Builder
	var names []string
	pos := 0
	for _, m := range placeholder.FindAllStringSubmatchIndex(template, -1) {
		expr.WriteString(regexp.QuoteMeta(template[pos:m[0]]))
		name := template[m[2]:m[3]]
		pos = m[1]
		pattern, binds, err := v.pattern(name)
		if err != nil {
			return false, err
		}
		if binds {
			names = append(names, name)
			expr.WriteString("(" + pattern + ")")
		} else {
			expr.WriteString("(?:" + pattern + ")")
		}
	}
	expr.WriteString(regexp.QuoteMeta(template[pos:]))
	full := expr.String()
	if all {
		full = `\A(?:` + full + `)\z`
	}
	re, err := regexp.Compile(full)
	if err != nil {
		return false, err
	}
	found := re.FindStringSubmatch(text)
	if found == nil {
		return false, nil
	}
	for i, name := range names {
		// A name that occurs twice must be the same both times.
		if !v.bind(name, found[i+1]) {
			return false, nil
		}
	}
	return true, nil
}
