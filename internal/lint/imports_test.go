package lint

import (
	"slices"
	"strings"
)

// layers lists the packages of the server from the top to the bottom of the
// house. A package may import those that stand on a line below its own.
var layers = [][]string{
	{"cmd/etcd"},
	{"embed"},
	{"internal/member", "internal/proxy", "internal/gateway"},
	{"internal/rpc", "internal/httpapi", "internal/console", "internal/httpapi/v2http", "internal/transfer", "internal/archive"},
	{"internal/server", "internal/exchange"},
	{"internal/node", "internal/fsm", "internal/watch", "internal/transport", "internal/peers", "internal/discovery"},
	{"internal/mvcc", "internal/lease", "internal/auth", "internal/cluster", "internal/v2"},
	{"internal/engine"},
	{"internal/config", "internal/wal", "internal/wire", "internal/invariants", "internal/tally", "internal/phase", "internal/tracing", "internal/recent", "internal/admission", "internal/audit", "internal/certs", "internal/socket", "internal/reclaim", "internal/rest", "internal/outpost", "internal/rpc/lockpb", "internal/rpc/electionpb"},
}

// others lists the packages beside the server's house, and all of our own
// packages that each may import.
var others = map[string][]string{
	"cmd/etcdctl":        {"internal/cli/ctl", "internal/cli/ctlv2"},
	"cmd/etcdutl":        {"internal/cli/utl"},
	"internal/cli":       {},
	"internal/cli/ctl":   {"internal/cli", "internal/cli/utl", "internal/exchange"},
	"internal/cli/ctlv2": {"internal/cli", "internal/exchange"},
	"internal/cli/utl":   {"internal/cli", "internal/config", "internal/archive", "internal/exchange", "internal/fsm", "internal/mvcc", "internal/engine", "internal/wal", "internal/cluster"},
	"internal/lint":      {},
	"internal/sim":       {}, // tests alone, which see the whole house
	"internal/testkit":   {},

	"internal/testkit/gofail": {"internal/testkit"},
}

// onlyFor lists packages that few may import, their tests excepted.
var onlyFor = map[string][]string{
	"internal/member": {"embed", "cmd/etcd"},
}

// layerOf is the number of the line that a package stands on.
func layerOf(dir string) (int, bool) {
	for i, line := range layers {
		if slices.Contains(line, dir) {
			return i, true
		}
	}
	return 0, false
}

// importsRunOneWay holds the order of the rooms. Tests may look further.
func importsRunOneWay(m *module) (p problems) {
	for _, f := range m.files {
		if f.test || strings.HasPrefix(f.dir, "tests/") {
			continue
		}
		for _, imported := range f.imports {
			to, ours := strings.CutPrefix(imported, modulePath)
			if !ours {
				continue
			}
			if only, limited := onlyFor[to]; limited && !slices.Contains(only, f.dir) {
				p.add("%s imports %s, which only %s may: take what you need as an interface or an argument", f.path, to, strings.Join(only, " and "))
			}
			p.checkDirection(f, to)
		}
	}
	return p
}

func (p *problems) checkDirection(f *source, to string) {
	if allowed, beside := others[f.dir]; beside {
		if !slices.Contains(allowed, to) {
			p.add("%s imports %s: %s may import of ours only %q", f.path, to, f.dir, allowed)
		}
		return
	}
	from, known := layerOf(f.dir)
	below, knownTo := layerOf(to)
	switch {
	case !known:
		p.add("%s: package %s has no place in the house: give it one in the tables of internal/lint/imports_test.go", f.path, f.dir)
	case !knownTo:
		p.add("%s imports %s, which is no part of the server", f.path, to)
	case below <= from:
		p.add("%s imports %s, which does not stand below it: declare the interface you need where you use it, or let the package above join the two", f.path, to)
	}
}

// restricted lists modules and packages that belong to one room, tests included.
var restricted = []struct {
	prefix  string
	except  string // a package below the prefix that is judged by its own line
	rooms   []string
	tests   bool // any test may import it
	instead string
}{
	{"github.com/cockroachdb/pebble", "github.com/cockroachdb/pebble/v2/vfs", []string{"internal/engine"}, false,
		"ask internal/engine for what you need"},
	{"github.com/cockroachdb/pebble/v2/vfs", "", []string{"internal/engine", "internal/wal", "internal/member", "internal/transfer", "internal/exchange", "internal/reclaim"}, true,
		"take a file system as an argument from internal/member"},
	{"github.com/minio/minio-go", "", []string{"internal/archive"}, false,
		"where archives are kept is internal/archive's business"},
	{"go.etcd.io/bbolt", "", []string{"internal/exchange"}, false,
		"etcd's files are internal/exchange's business"},
}

// thirdPartiesStayInTheirRooms names the packages that one room alone knows.
func thirdPartiesStayInTheirRooms(m *module) (p problems) {
	for _, f := range m.files {
		for _, imported := range f.imports {
			for _, r := range restricted {
				if !within(imported, r.prefix) || r.except != "" && within(imported, r.except) {
					continue
				}
				if slices.Contains(r.rooms, f.dir) || f.test && r.tests {
					continue
				}
				p.add("%s imports %s, which only %q may: %s", f.path, imported, r.rooms, r.instead)
			}
		}
	}
	return p
}

func within(imported, prefix string) bool {
	return imported == prefix || strings.HasPrefix(imported, prefix+"/")
}
