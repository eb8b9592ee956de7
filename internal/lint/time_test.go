package lint

import (
	"go/ast"
	"slices"
	"strings"
)

// deterministic are the packages in which the same entries must give the same
// state on every member.
var deterministic = []string{"internal/fsm", "internal/mvcc"}

// clocksAllowed lists the files of those packages that may look at a clock.
var clocksAllowed = map[string]string{
	"internal/fsm/compactor.go": "paces the removal of what a compaction has already decided; nothing that is stored depends on it",
}

// applyHasNoClockAndNoDice looks for what could differ between members.
func applyHasNoClockAndNoDice(m *module) (p problems) {
	unused := map[string]bool{}
	for file := range clocksAllowed {
		if _, present := m.texts[file]; present {
			unused[file] = true
		}
	}
	clock := []string{"Now", "Since", "Until", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Sleep"}
	for _, f := range m.files {
		if f.test || !slices.Contains(deterministic, f.dir) {
			continue
		}
		for _, imported := range f.imports {
			if imported == "math/rand" || imported == "math/rand/v2" || imported == "crypto/rand" {
				p.add("%s imports %s: every member must come to the same state; draw the number in internal/server and put it into the proposal", f.path, imported)
			}
		}
		f.uses("time", clock, func(call ast.Node, name string) {
			delete(unused, f.path)
			if clocksAllowed[f.path] == "" {
				p.add("%s: time.%s: apply knows no clock; let the time enter with the proposal", m.at(call), name)
			}
		})
		f.uses("os", []string{"Hostname", "Getenv", "LookupEnv", "Getpid"}, func(call ast.Node, name string) {
			p.add("%s: os.%s: apply must not depend on where it runs", m.at(call), name)
		})
	}
	for file := range unused {
		p.add("%s needs no clock any more: take it out of clocksAllowed", file)
	}
	return p
}

// pausesAllowed lists the directories whose tests may sleep.
var pausesAllowed = map[string]string{
	"tests/cli/":         "the recordings contain pauses",
	"tests/conformance/": "the recordings contain pauses",
}

// testsDoNotSleep looks for pauses in tests: one that is long enough today is
// too short on a busy machine, and too long on every other.
func testsDoNotSleep(m *module) (p problems) {
	for _, f := range m.files {
		if !f.test {
			continue
		}
		allowed := false
		for dir := range pausesAllowed {
			allowed = allowed || strings.HasPrefix(f.path, dir)
		}
		if allowed {
			continue
		}
		f.uses("time", []string{"Sleep"}, func(call ast.Node, _ string) {
			if !inBubble(f, call) {
				p.add("%s: time.Sleep in a test: wait for the condition itself (a channel, a poll with a deadline), or run the test in testing/synctest", m.at(call))
			}
		})
	}
	return p
}

// inBubble tells whether a call stands in a function given to synctest.Test,
// where sleeping takes no time.
func inBubble(f *source, call ast.Node) (found bool) {
	local := f.importName("testing/synctest")
	if local == "" {
		return false
	}
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		c, ok := n.(*ast.CallExpr)
		if !ok {
			return !found
		}
		if s, ok := c.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "Test" {
			if id, ok := s.X.(*ast.Ident); ok && id.Name == local && c.Pos() <= call.Pos() && call.End() <= c.End() {
				found = true
			}
		}
		return !found
	})
	return found
}
