package clitest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"bowline/internal/testkit"
)

// recordings says for every file of testdata whether it runs: an empty text, or
// what it waits for.
var recordings = map[string]string{
	"own_diff":                "",
	"own_member_auto_promote": "",
	"own_member_replace":      "",
	"v3_alarm":                "",
	"v3_check":                "",
	"v3_check_datascale":      "",
	"v3_cluster3":             "",
	"v3_compaction":           "",
	"v3_defrag":               "",
	"v3_del":                  "",
	"v3_elect":                "",
	"v3_endpoint":             "",
	"v3_endpoint_dead":        "",
	"v3_get_errors":           "",
	"v3_get_formats":          "",
	"v3_get_ranges":           "",
	"v3_get_sort_rev":         "",
	"v3_global_flags":         "",
	"v3_lease":                "",
	"v3_lease_errors":         "",
	"v3_lease_formats":        "",
	"v3_lock":                 "",
	"v3_member":               "",
	"v3_member_add":           "",
	"v3_member_learner":       "",
	"v3_member_promote":       "",
	"v3_misc":                 "",
	"v3_no_server":            "",
	"v3_put_get":              "",
	"v3_put_options":          "",
	"v3_put_stdin":            "",
	"v3_snapshot":             "",
	"v3_snapshot_k8s":         "",
	"v3_txn":                  "",
	"v3_txn_errors":           "",
	"v3_txn_formats":          "",
	"v3_watch":                "",
	"v3_watch_errors":         "",
	"v3_watch_exec":           "",
	"v3_watch_interactive":    "",
	"v3_watch_progress":       "",

	"legacy_api_env": "",
	"v2_auth":        "",
	"v2_backup":      "",
	"v2_dirs":        "",
	"v2_exec_watch":  "",
	"v2_flags":       "",
	"v2_member":      "",
	"v2_member3":     "",
	"v2_set_get":     "",
	"v2_tls":         "",
	"v2_ttl_cas":     "",
	"v2_watch":       "",

	"legacy_snapshot": "",
	"utl_migrate":     "",
	"utl_misc":        "",
	"utl_raw_db":      "",
	"utl_restore":     "",

	"v3_auth":        "",
	"v3_role":        "",
	"v3_user":        "",
	"v3_tls":         "",
	"v3_tls_mutual":  "",
	"v3_make_mirror": "",
	"v3_downgrade":   "",
}

// atOnce is how many recordings run at the same time. They mostly wait, so this
// may be more than the number of processors.
const atOnce = 6

// TestRecordings replays every recording that is enabled.
func TestRecordings(t *testing.T) {
	buildPrograms(t)
	makeCertificates(t)
	all := os.Getenv("BOWLINE_RECORDINGS") == "all"
	var queue []string
	for _, name := range sortedNames() {
		if reason := recordings[name]; reason != "" && !all {
			t.Logf("waits    %-22s for %s", name, reason)
			continue
		}
		t.Logf("enabled  %s", name)
		queue = append(queue, name)
	}

	var free testkit.Ports
	names := make(chan string)
	var wg sync.WaitGroup
	for range atOnce {
		wg.Go(func() {
			for name := range names {
				t.Run(name, func(t *testing.T) { replayOne(t, name, &free) })
			}
		})
	}
	for _, name := range longestFirst(queue) {
		names <- name
	}
	close(names)
	wg.Wait()
}

// longestFirst moves the recordings that take long to the front, so that none of
// them starts when all others have ended.
func longestFirst(names []string) []string {
	long := []string{"v3_lease", "v3_endpoint_dead", "v3_no_server", "v3_member", "own_member", "v3_cluster3", "v3_tls", "v3_alarm", "v3_check_datascale", "v3_watch"}
	slow := func(name string) int {
		if slices.ContainsFunc(long, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(names, func(a, b string) int { return slow(a) - slow(b) })
	return names
}

func replayOne(t *testing.T, name string, free *testkit.Ports) {
	s, err := loadScenario(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	block, err := free.Take()
	if err != nil {
		t.Fatal(err)
	}
	defer block.Release()
	r, err := newRun(s, t.TempDir(), block.First)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	if err := r.startMembers(); err != nil {
		t.Fatal(err)
	}
	r.replay(t)
	if t.Failed() {
		for _, m := range r.members {
			t.Logf("the end of %s's log:\n%s", m.name, testkit.LastLines(m.proc.stderr.String(), 5))
		}
	}
}

// TestEveryRecordingIsListed keeps the table and the folder in step.
func TestEveryRecordingIsListed(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	var present []string
	for _, file := range files {
		present = append(present, strings.TrimSuffix(filepath.Base(file), ".json"))
	}
	slices.Sort(present)
	if listed := sortedNames(); !slices.Equal(present, listed) {
		t.Errorf("testdata has %s\nthe table has %s", fmt.Sprint(present), fmt.Sprint(listed))
	}
}

func sortedNames() []string {
	var names []string
	for name := range recordings {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
