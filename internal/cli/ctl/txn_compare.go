package ctl

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"

	clientv3 "go.etcd.io/etcd/client/v3"

	"bowline/internal/cli"
)

// comparison is one line of a transaction's first section:
//
//	TARGET("KEY") OP "VALUE"
type comparison struct {
	target, key, op, value string
}

// parseCompare reads a comparison.
func parseCompare(line string) (clientv3.Cmp, error) {
	malformed := func(detail string) (clientv3.Cmp, error) {
		return clientv3.Cmp{}, cli.Exitf(cli.ExitInvalidInput, "malformed comparison: %s%s", line, detail)
	}
	target, rest, found := strings.Cut(line, "(")
	if !found {
		return malformed("")
	}
	c := comparison{target: target}
	if !c.scan(rest) {
		return malformed(fmt.Sprintf("; got %s(%q) %s %q", c.target, c.key, c.op, c.value))
	}
	switch c.op {
	case "=", "!=", ">", "<":
	default:
		return malformed(fmt.Sprintf(" (unknown operator %s)", c.op))
	}
	cmp, known, err := c.build()
	if !known {
		return malformed(fmt.Sprintf(" (unknown target %s)", c.target))
	}
	if err != nil {
		return clientv3.Cmp{}, cli.Exitf(cli.ExitInvalidInput, "invalid txn compare request: %s", line)
	}
	return cmp, nil
}

// scan reads what follows TARGET( as far as it is well formed, so that an error
// can show how far that was. The operator ends at a blank, and what follows the
// value is ignored, as etcdctl always did.
func (c *comparison) scan(rest string) bool {
	var ok bool
	if c.key, rest, ok = scanQuoted(strings.TrimLeft(rest, " ")); !ok {
		return false
	}
	if rest, ok = strings.CutPrefix(rest, ") "); !ok {
		return false
	}
	rest = strings.TrimLeft(rest, " ")
	end := strings.IndexFunc(rest, unicode.IsSpace)
	if end < 0 {
		end = len(rest)
	}
	c.op, rest = rest[:end], rest[end:]
	c.value, _, ok = scanQuoted(strings.TrimLeft(rest, " "))
	return ok
}

// scanQuoted takes a Go string literal off the front of text.
func scanQuoted(text string) (value, rest string, ok bool) {
	if text == "" || (text[0] != '"' && text[0] != '`') {
		return "", text, false
	}
	quoted, err := strconv.QuotedPrefix(text)
	if err != nil {
		return "", text, false
	}
	value, err = strconv.Unquote(quoted)
	return value, text[len(quoted):], err == nil
}

// build makes the comparison; known is false for a target that does not exist.
func (c *comparison) build() (cmp clientv3.Cmp, known bool, err error) {
	number := func(subject clientv3.Cmp, base int) (clientv3.Cmp, bool, error) {
		n, err := strconv.ParseInt(c.value, base, 64)
		if err != nil {
			return clientv3.Cmp{}, true, err
		}
		return clientv3.Compare(subject, c.op, n), true, nil
	}
	switch c.target {
	case "ver", "version":
		return number(clientv3.Version(c.key), 10)
	case "c", "create":
		return number(clientv3.CreateRevision(c.key), 10)
	case "m", "mod":
		return number(clientv3.ModRevision(c.key), 10)
	case "val", "value":
		return clientv3.Compare(clientv3.Value(c.key), c.op, c.value), true, nil
	case "lease":
		return number(clientv3.LeaseValue(c.key), 16)
	}
	return clientv3.Cmp{}, false, nil
}
