package lint

import (
	"regexp"
	"strings"
)

// nothingOfGofail keeps failpoints what they are in ordinary builds: comments.
func nothingOfGofail(m *module) (p problems) {
	const gofail = "go.etcd.io/gofail"
	for _, f := range m.files {
		for _, imported := range f.imports {
			if within(imported, gofail) {
				p.add("%s imports %s: ordinary builds carry nothing of it; make gofail adds it to a copy", f.path, imported)
			}
		}
	}
	if strings.Contains(string(m.texts["go.mod"]), gofail) {
		p.add("go.mod requires %s: ordinary builds carry nothing of it; make gofail adds it to a copy", gofail)
	}
	return p
}

var (
	failpoint          = regexp.MustCompile(`(?m)^\t+// gofail: var (\w+) `)
	describedFailpoint = regexp.MustCompile("(?m)^\\| `(\\w+)` \\|")
)

// failpointsAreDescribed compares the failpoints in the sources with the table of them.
func failpointsAreDescribed(m *module) (p problems) {
	const page = "docs/testing.md"
	described := make(map[string]bool)
	for _, name := range describedFailpoint.FindAllStringSubmatch(string(m.texts[page]), -1) {
		described[name[1]] = false
	}
	where := make(map[string]string)
	for _, f := range m.files {
		if f.test {
			continue
		}
		for _, name := range failpoint.FindAllStringSubmatch(string(m.texts[f.path]), -1) {
			if other := where[name[1]]; other != "" {
				p.add("%s: the failpoint %s is in %s too", f.path, name[1], other)
			}
			where[name[1]] = f.path
			if _, ok := described[name[1]]; !ok {
				p.add("%s: the failpoint %s is not in the table of %s", f.path, name[1], page)
			}
			described[name[1]] = true
		}
	}
	for name, there := range described {
		if !there {
			p.add("%s tells of a failpoint %s, which is nowhere", page, name)
		}
	}
	return p
}
