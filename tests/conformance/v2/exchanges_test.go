package v2test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bowline/internal/testkit"
)

// atOnce is how many files are played at the same time: they mostly wait.
const atOnce = 6

// stepsRecorded is how many steps the files compare.
const stepsRecorded = 974

// connected is how long members must have been in touch before changes of members are
// let through.
const connected = 5 * time.Second

func TestExchanges(t *testing.T) {
	program := os.Getenv("BOWLINE_ETCD")
	if program == "" {
		var err error
		if program, err = testkit.Build(t.TempDir(), "etcd"); err != nil {
			t.Fatal(err)
		}
	}
	paths, err := filepath.Glob("testdata/*.json")
	if err != nil {
		t.Fatal(err)
	}
	files := make(chan string)
	var free testkit.Ports
	var recorded, passed atomic.Int64
	var wg sync.WaitGroup
	for range atOnce {
		wg.Go(func() {
			for path := range files {
				f, err := load(path)
				if err != nil {
					t.Errorf("%s: %v", path, err)
					continue
				}
				for i := range f.Steps {
					if f.Steps[i].checked() {
						recorded.Add(1)
					}
				}
				t.Run(strings.TrimSuffix(filepath.Base(path), ".json"), func(t *testing.T) {
					passed.Add(int64(playFile(t, program, f, &free)))
				})
			}
		})
	}
	for _, path := range paths {
		files <- path
	}
	close(files)
	wg.Wait()
	if recorded.Load() != stepsRecorded {
		t.Errorf("the files have %d steps, want %d", recorded.Load(), stepsRecorded)
	}
	t.Logf("%d of %d steps fit", passed.Load(), recorded.Load())
}

func playFile(t *testing.T, program string, f *file, free *testkit.Ports) int {
	block, err := free.Take()
	if err != nil {
		t.Fatal(err)
	}
	defer block.Release()
	c := startCluster(t, program, f, block)
	if len(c.nodes) > 1 {
		<-time.After(connected)
	}
	p := &player{t: t, cluster: c, known: known{saved: map[string]any{}, raft: map[string]uint64{}}, watches: map[string]*watch{}}
	return p.play(f)
}
