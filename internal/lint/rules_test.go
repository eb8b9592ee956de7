package lint

import (
	"fmt"
	"slices"
	"testing"
)

// problems are what a rule has found.
type problems []string

func (p *problems) add(format string, args ...any) { *p = append(*p, fmt.Sprintf(format, args...)) }

// rules are the house rules.
var rules = []struct {
	name  string
	check func(m *module) problems
}{
	{"imports run one way", importsRunOneWay},
	{"third parties stay in their rooms", thirdPartiesStayInTheirRooms},
	{"nothing of etcd's server", nothingOfEtcdsServer},
	{"nothing of gofail", nothingOfGofail},
	{"failpoints are described", failpointsAreDescribed},
	{"no file names from outside", noFileNamesFromOutside},
	{"apply has no clock and no dice", applyHasNoClockAndNoDice},
	{"tests do not sleep", testsDoNotSleep},
	{"no mutable package variables", noMutablePackageVariables},
	{"files and functions stay short", filesAndFunctionsStayShort},
	{"no leftovers", noLeftovers},
	{"everything is formatted", everythingIsFormatted},
	{"every package has a comment", everyPackageHasAComment},
	{"the architecture names what exists", architectureNamesWhatExists},
}

// TestHouseRules holds the module to the rules.
func TestHouseRules(t *testing.T) {
	m, err := load()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			found := r.check(m)
			slices.Sort(found)
			for _, problem := range found {
				t.Error(problem)
			}
		})
	}
}
