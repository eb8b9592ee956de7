package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"bowline/internal/testkit"
)

// directories says for every directory of testdata/v3 whether its scenarios run:
// an empty text, or what they wait for.
var directories = []struct{ name, waits string }{
	{"kv", ""},
	{"txn", ""},
	{"watch", ""},
	{"lease", ""},
	{"limits", ""},
	{"maintenance", ""},
	{"lock", ""},
	{"election", ""},
	{"auth", ""},
	{"cluster", ""},
	{"members", ""},
}

// server is the program under test.
var server = testkit.Program{Name: "etcd", Variable: "BOWLINE_ETCD"}

func TestMain(m *testing.M) { testkit.Main(m, &server) }

// atOnce is how many scenarios run at the same time. They mostly wait, so this
// may be more than the number of processors.
const atOnce = 4

// TestScenarios plays every scenario of the enabled directories.
func TestScenarios(t *testing.T) {
	queue := enabled(t)
	// Those that wait for long come first, so that none of them starts when all
	// others have ended.
	slices.SortStableFunc(queue, func(a, b *scenario) int { return int(b.pauses() - a.pauses()) })

	var ports testkit.Ports
	var passed, steps atomic.Int64
	scenarios := make(chan *scenario)
	var wg sync.WaitGroup
	for range atOnce {
		wg.Go(func() {
			for sc := range scenarios {
				steps.Add(int64(sc.answered()))
				t.Run(sc.Name, func(t *testing.T) { passed.Add(int64(play(t, sc, &ports))) })
			}
		})
	}
	for _, sc := range queue {
		scenarios <- sc
	}
	close(scenarios)
	wg.Wait()
	t.Logf("%d scenarios, %d of %d steps passed", len(queue), passed.Load(), steps.Load())
}

// enabled loads the scenarios that run, and prints the table.
func enabled(t *testing.T) (queue []*scenario) {
	all := os.Getenv("BOWLINE_RECORDINGS") == "all"
	for _, dir := range directories {
		scenarios, err := loadDirectory(dir.name)
		if err != nil {
			t.Fatal(err)
		}
		steps := 0
		for _, sc := range scenarios {
			steps += sc.answered()
		}
		line := fmt.Sprintf("%-12s %3d scenarios %5d steps", dir.name, len(scenarios), steps)
		switch {
		case len(scenarios) == 0:
			t.Errorf("%s: no scenarios", dir.name)
		case dir.waits != "" && !all:
			t.Logf("waits    %s: %s", line, dir.waits)
		default:
			t.Logf("enabled  %s", line)
			queue = append(queue, scenarios...)
		}
	}
	return queue
}

// maxTimeouts is when a scenario is given up, so that a server that hangs does
// not hold up all others.
const maxTimeouts = 3

// play plays one scenario and returns the number of answers that were right.
func play(t *testing.T, sc *scenario, ports *testkit.Ports) (passed int) {
	p, err := newPlayer(startMembers(t, sc, ports))
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	passed, failures := p.play(sc)
	for _, failure := range failures {
		t.Error(failure)
	}
	return passed
}

// play performs the steps of a scenario and compares their results.
func (p *player) play(sc *scenario) (passed int, failures []string) {
	timeouts := 0
	for i, s := range sc.Steps {
		got, err := p.perform(s)
		var wrong []string
		switch {
		case err != nil:
			wrong = []string{err.Error()}
		case s.answered():
			wrong = s.compare(got)
		}
		if len(wrong) > 0 {
			failures = append(failures, fmt.Sprintf("step %d: %s\n    %s", i+1, s, strings.Join(wrong, "\n    ")))
		} else if s.answered() {
			passed++
		}
		if got["timeout"] != nil {
			timeouts++
		}
		if timeouts == maxTimeouts {
			return passed, append(failures, fmt.Sprintf("given up after %d timeouts", timeouts))
		}
	}
	return passed, failures
}

// TestEveryDirectoryIsListed keeps the table and testdata in step.
func TestEveryDirectoryIsListed(t *testing.T) {
	present, err := filepath.Glob(filepath.Join("testdata", "v3", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, dir := range directories {
		listed = append(listed, filepath.Join("testdata", "v3", dir.name))
	}
	slices.Sort(listed)
	if !slices.Equal(present, listed) {
		t.Errorf("testdata has %s\nthe table has %s", present, listed)
	}
}
