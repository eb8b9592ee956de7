package lint

import (
	"strings"
	"testing"
)

// forbidden gives each rule a module of one file that breaks it, or that does not.
var forbidden = []struct {
	check func(m *module) problems
	file  string
	text  string
	want  string // in the one problem; empty if there is none
}{
	{importsRunOneWay, "internal/fsm/a.go", `import "bowline/internal/engine"`, ""},
	{importsRunOneWay, "internal/engine/a.go", `import "bowline/internal/fsm"`, "does not stand below"},
	{importsRunOneWay, "internal/fsm/a.go", `import "bowline/internal/watch"`, "does not stand below"},
	{importsRunOneWay, "internal/new/a.go", `import "bowline/internal/engine"`, "has no place"},
	{importsRunOneWay, "internal/rpc/a.go", `import "bowline/internal/testkit"`, "no part of the server"},
	{importsRunOneWay, "internal/fsm/a_test.go", `import "bowline/internal/watch"`, ""},
	{importsRunOneWay, "internal/cli/ctl/a.go", `import "bowline/internal/mvcc"`, "may import of ours only"},
	{importsRunOneWay, "cmd/etcd/a.go", `import "bowline/internal/member"`, ""},

	{thirdPartiesStayInTheirRooms, "internal/mvcc/a.go", `import "github.com/cockroachdb/pebble/v2"`, "ask internal/engine"},
	{thirdPartiesStayInTheirRooms, "internal/mvcc/a_test.go", `import "github.com/cockroachdb/pebble/v2/sstable"`, "ask internal/engine"},
	{thirdPartiesStayInTheirRooms, "internal/wal/a.go", `import "github.com/cockroachdb/pebble/v2/vfs"`, ""},
	{thirdPartiesStayInTheirRooms, "internal/fsm/a.go", `import "github.com/cockroachdb/pebble/v2/vfs"`, "as an argument"},
	{thirdPartiesStayInTheirRooms, "internal/fsm/a_test.go", `import "github.com/cockroachdb/pebble/v2/vfs"`, ""},
	{thirdPartiesStayInTheirRooms, "internal/wal/a.go", `import "github.com/cockroachdb/pebble/v2/vfs/errorfs"`, ""},
	{thirdPartiesStayInTheirRooms, "internal/cli/utl/a.go", `import "go.etcd.io/bbolt"`, "exchange's business"},

	{nothingOfEtcdsServer, "internal/fsm/a.go", `import "go.etcd.io/etcd/api/v3/mvccpb"`, ""},
	{nothingOfEtcdsServer, "internal/fsm/a.go", `import "go.etcd.io/etcd/server/v3/lease"`, "write what is missing"},
	{nothingOfEtcdsServer, "internal/fsm/a.go", `import "go.etcd.io/etcd/pkg/v3/idutil"`, "write what is missing"},
	{nothingOfEtcdsServer, "go.mod", `require go.etcd.io/etcd/server/v3 v3.7.1`, "go.mod requires"},
	{nothingOfGofail, "internal/fsm/a.go", `import "go.etcd.io/gofail/runtime"`, "ordinary builds"},
	{nothingOfGofail, "go.mod", `require go.etcd.io/gofail v0.2.0`, "ordinary builds"},
	{failpointsAreDescribed, "internal/fsm/a.go", "func f() {\n\t// gofail: var x struct{}\n}", "is not in the table"},
	{failpointsAreDescribed, "docs/testing.md", "| `x` |", "which is nowhere"},

	{noFileNamesFromOutside, "docs/a.md", "see /wo" + "rk/notes", "docs/a.md:1 names"},

	{applyHasNoClockAndNoDice, "internal/fsm/a.go", `import "time"; var _ = time.Second`, ""},
	{applyHasNoClockAndNoDice, "internal/fsm/a.go", `import "time"; var _ = time.Now()`, "apply knows no clock"},
	{applyHasNoClockAndNoDice, "internal/fsm/a.go", `import clock "time"; var _ = clock.Now()`, "apply knows no clock"},
	{applyHasNoClockAndNoDice, "internal/server/a.go", `import "time"; var _ = time.Now()`, ""},
	{applyHasNoClockAndNoDice, "internal/mvcc/a.go", `import "math/rand/v2"`, "the same state"},
	{applyHasNoClockAndNoDice, "internal/mvcc/a_test.go", `import "math/rand/v2"`, ""},
	{testsDoNotSleep, "internal/a/a_test.go", `import "time"; func f() { time.Sleep(1) }`, "wait for the condition"},
	{testsDoNotSleep, "internal/a/a.go", `import "time"; func f() { time.Sleep(1) }`, ""},
	{testsDoNotSleep, "tests/cli/a_test.go", `import "time"; func f() { time.Sleep(1) }`, ""},
	{testsDoNotSleep, "internal/a/a_test.go",
		`import ("time"; "testing/synctest"); func f() { synctest.Test(t, func() { time.Sleep(1) }) }`, ""},

	{noMutablePackageVariables, "internal/a/a.go", `var x = 1; func f() int { return x }`, ""},
	{noMutablePackageVariables, "internal/a/a.go", `var x = 1; func f() { x := 2; x++; _ = x }`, ""},
	{noMutablePackageVariables, "internal/a/a.go", `var x = 1; func f() { x++ }`, "is changed here"},
	{noMutablePackageVariables, "internal/a/a.go", `var x = map[int]int{}; func f() { x[1] = 2 }`, "is changed here"},
	{noMutablePackageVariables, "internal/a/a.go", `var x = map[int]int{}; func f() { delete(x, 1) }`, "is changed here"},
	{noMutablePackageVariables, "internal/a/a.go", `var x struct{ n int }; func f() { x.n = 2 }`, "is changed here"},
	{noMutablePackageVariables, "internal/a/a.go", `import "sync/atomic"; var x atomic.Int64`, "is a atomic.Int64"},
	{noMutablePackageVariables, "internal/a/a_test.go", `var x = 1; func f() { x++ }`, ""},

	{lengths, "internal/a/a.go", "func f() {" + strings.Repeat("\n", maxFunctionLines) + "}", "parts names"},
	{lengths, "internal/a/a.go", strings.Repeat("// \n", maxFileLines), "carry something"},
	{noLeftovers, "internal/a/a.go", "// TO" + "DO: later", "do it"},
	{noLeftovers, "internal/a/a_test.go", `import "testing"; func f(t *testing.T) { t.Skip() }`, "not there"},
	{noLeftovers, "internal/a/a_test.go", `import "rapid"; func f(t *rapid.T) { t.Skip() }`, ""},
	{noLeftovers, "internal/a/a_test.go", `import "testing"; func f(t *testing.T) { if testing.Short() { t.Skip() } }`, ""},
	{everythingIsFormatted, "internal/a/a.go", "var  x int", "gofmt -w"},
	{everyPackageHasAComment, "internal/a/a.go", "", "Package a ..."},
}

func lengths(m *module) problems { return lengthsAgainst(m, nil, nil) }

func TestRulesSeeWhatTheyForbid(t *testing.T) {
	for _, c := range forbidden {
		text := "package a\n" + c.text
		if !strings.HasSuffix(c.file, ".go") {
			text = c.text
		}
		checkRule(t, c.check, map[string][]byte{c.file: []byte(text)}, c.want)
	}

	commented := map[string][]byte{"internal/a/a.go": []byte("// Package a is small.\npackage a\n\nfunc F() {}\n\ntype T struct{}\n\nfunc (*T) M() {}\n")}
	checkRule(t, everyPackageHasAComment, commented, "")
	for text, want := range map[string]string{
		"`a.F` and `a.T.M`": "",
		"`a.M`":             "", // no other type has it
		"`a.F` then `a.G`":  "there is no `a.G`",
		"`a.T.N`":           "there is no `a.T.N`",
		"no names":          "names no function",
	} {
		commented["docs/ARCHITECTURE.md"] = []byte(text)
		checkRule(t, architectureNamesWhatExists, commented, want)
	}
}

func checkRule(t *testing.T, check func(m *module) problems, texts map[string][]byte, want string) {
	t.Helper()
	m, err := newModule(texts)
	if err != nil {
		t.Fatal(err)
	}
	found := check(m)
	if want == "" && len(found) > 0 {
		t.Errorf("%s: want no problem, got %q", texts, found)
	}
	if want != "" && (len(found) != 1 || !strings.Contains(found[0], want)) {
		t.Errorf("%s: want one problem about %q, got %q", texts, want, found)
	}
}

// TestRatchetOnlyTurnsOneWay follows one long function through its life.
func TestRatchetOnlyTurnsOneWay(t *testing.T) {
	for lines, want := range map[int]string{200: "", 201: "was too many", 195: "", 150: "write that into the table", 80: "take it out"} {
		var found problems
		found.checkLengths(map[string]int{"f": lines}, map[string]int{"f": 200}, 80, "")
		if got := strings.Join(found, "; "); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("with %d lines: want %q, got %q", lines, want, got)
		}
	}
	var found problems
	found.checkLengths(nil, map[string]int{"f": 200}, 80, "")
	if got := strings.Join(found, "; "); !strings.Contains(got, "is gone") {
		t.Errorf("without the function: got %q", got)
	}
}
