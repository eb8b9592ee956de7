package engine

import (
	"bytes"
	"cmp"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// split returns the length of a stored key's prefix: all of it but a version's
// suffix. The last byte of a key is the length of its suffix.
func split(k []byte) int {
	if len(k) == 0 {
		return 0
	}
	return len(k) - int(k[len(k)-1])
}

func compare(a, b []byte) int {
	an, bn := split(a), split(b)
	if c := bytes.Compare(a[:an], b[:bn]); c != 0 {
		return c
	}
	return compareSuffixes(a[an:], b[bn:])
}

// compareSuffixes puts the bare prefix first, then versions newest first: their
// revisions are stored inverted, so plain byte order is the wanted one.
func compareSuffixes(a, b []byte) int {
	if len(a) == 0 || len(b) == 0 {
		return cmp.Compare(len(a), len(b))
	}
	return bytes.Compare(a, b)
}

// body strips the suffix and the terminator. A key without a terminator is not
// one of ours.
func body(k []byte) ([]byte, bool) {
	n := split(k)
	if n < 1 || k[n-1] != terminator {
		return nil, false
	}
	return k[:n-1], true
}

// newComparer orders stored keys as docs/format/engine.md describes. Pebble's
// default Separator and Successor would cut a key in the middle of its suffix
// or its terminator; these work on the body and append the terminator again.
func newComparer() *pebble.Comparer {
	plain := *pebble.DefaultComparer
	shorten := func(dst, a []byte, short func(dst, aBody []byte) []byte) []byte {
		aBody, ok := body(a)
		if !ok || len(aBody) == 0 {
			return append(dst, a...)
		}
		n := len(dst)
		dst = short(dst, aBody)
		if bytes.Equal(aBody, dst[n:]) {
			return append(dst[:n], a...)
		}
		return append(dst, terminator)
	}
	c := &pebble.Comparer{
		Name:                 "bowline.1",
		Split:                split,
		Compare:              compare,
		Equal:                bytes.Equal,
		ComparePointSuffixes: compareSuffixes,
		CompareRangeSuffixes: compareSuffixes,
		AbbreviatedKey: func(k []byte) uint64 {
			b, ok := body(k)
			if !ok {
				return 0
			}
			return plain.AbbreviatedKey(b)
		},
		Separator: func(dst, a, b []byte) []byte {
			bBody, ok := body(b)
			if !ok || len(bBody) == 0 {
				return append(dst, a...)
			}
			return shorten(dst, a, func(dst, aBody []byte) []byte {
				if bytes.Equal(aBody, bBody) {
					return append(dst, aBody...)
				}
				return plain.Separator(dst, aBody, bBody)
			})
		},
		Successor: func(dst, a []byte) []byte {
			if len(a) == 0 {
				return append(dst, terminator)
			}
			return shorten(dst, a, func(dst, aBody []byte) []byte { return plain.Successor(dst, aBody) })
		},
		ImmediateSuccessor: func(dst, a []byte) []byte {
			return append(append(dst, a...), terminator)
		},
		FormatKey:   func(k []byte) fmt.Formatter { return formatKey(k) },
		ValidateKey: validateKey,
	}
	return c
}

func validateKey(k []byte) error {
	if len(k) == 0 {
		return nil
	}
	if last := k[len(k)-1]; last != terminator && last != suffixLen {
		return fmt.Errorf("engine: stored key %x ends in %d, want 0 or %d", k, last, suffixLen)
	}
	if _, ok := body(k); !ok {
		return fmt.Errorf("engine: stored key %x has no terminator", k)
	}
	return nil
}

// formatKey prints a stored key for logs and Pebble's own tools.
type formatKey []byte

func (k formatKey) Format(f fmt.State, _ rune) {
	b, ok := body(k)
	if !ok || len(b) == 0 {
		fmt.Fprintf(f, "%x", []byte(k))
		return
	}
	fmt.Fprintf(f, "%d/%q", b[0], b[1:])
	if split(k) < len(k) {
		main, sub := VersionRevision(k)
		fmt.Fprintf(f, "@%d.%d", main, sub)
	}
}
