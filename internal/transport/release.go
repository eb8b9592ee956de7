package transport

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// release is the part of a version that decides whether two members can work together.
type release struct{ major, minor uint64 }

// firstRelease is what a member is taken for that does not tell its version.
const firstRelease = "2.0.0"

// parseRelease reads "3.7.1", with what semantic versioning allows behind it.
func parseRelease(s string) (release, error) {
	core, _, _ := strings.Cut(s, "+")
	core, _, _ = strings.Cut(core, "-")
	parts := strings.Split(core, ".")
	if len(parts) != 3 {
		return release{}, fmt.Errorf("transport: %q is not a version", s)
	}
	var n [3]uint64
	for i, part := range parts {
		v, err := strconv.ParseUint(part, 10, 63)
		if err != nil {
			return release{}, fmt.Errorf("transport: %q is not a version", s)
		}
		n[i] = v
	}
	return release{n[0], n[1]}, nil
}

// parseHeader reads a version from a header, which may be missing.
func parseHeader(s string) (release, error) {
	if s == "" {
		s = firstRelease
	}
	return parseRelease(s)
}

func (r release) before(other release) bool {
	return cmp.Or(cmp.Compare(r.major, other.major), cmp.Compare(r.minor, other.minor)) < 0
}
