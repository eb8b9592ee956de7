package chaos

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestShort is one fault of each important kind.
func TestShort(t *testing.T) {
	w := newWorld(t, seed(t), etcd.Path(t), 3, newProxies(), t.TempDir(), "--heartbeat-interval", "50", "--election-timeout", "500")
	if err := w.play([]deed{
		to("kill -9 of the leader", leads, killed),
		to("a pause of the leader", leads, paused),
		to("a partition of the leader", leads, cutOff(true, true)),
		to("a member is not heard", anyone, cutOff(false, true)),
		{"a rolling restart", rolling},
	}); err != nil {
		t.Fatal(err)
	}
}

// deedsPerRound is how many faults a round of a long run has before it is judged.
const deedsPerRound = 6

// TestChaos draws faults until its time is over. It runs when BOWLINE_CHAOS says how
// long.
func TestChaos(t *testing.T) {
	wish := os.Getenv("BOWLINE_CHAOS")
	if wish == "" {
		t.Log("nothing was asked for: BOWLINE_CHAOS is empty")
		return
	}
	duration, err := time.ParseDuration(wish)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	all := slices.Concat(allDeeds, clockDeeds)
	if mountSmallDisk(t, dir) {
		all = append(all, deed{"a full disk", fullDisk})
	}
	all = chosen(t, all)
	program, network := withClocks(t, chosenNetwork(t))
	w := newWorld(t, seed(t), program, members(t), network, dir)
	for rounds := 0; rounds == 0 || time.Since(w.began) < duration; rounds++ {
		var deeds []deed
		for range deedsPerRound {
			deeds = append(deeds, all[w.rng.IntN(len(all))])
		}
		if err := w.play(deeds); err != nil {
			t.Fatalf("after %v: %v", time.Since(w.began), err)
		}
	}
	w.did("clean: %d rounds, %d faults", w.round, w.round*deedsPerRound)
}

// seed is the one that was asked for, or a new one.
func seed(t *testing.T) uint64 {
	n := uint64(time.Now().UnixNano())
	if text := os.Getenv("BOWLINE_CHAOS_SEED"); text != "" {
		var err error
		if n, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("seed %d", n)
	return n
}

// members is how many a long run has: three if nothing was asked for.
func members(t *testing.T) int {
	n := 3
	if text := os.Getenv("BOWLINE_CHAOS_MEMBERS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// chosen are the deeds whose names contain what BOWLINE_CHAOS_DEEDS says.
func chosen(t *testing.T, all []deed) (some []deed) {
	part := os.Getenv("BOWLINE_CHAOS_DEEDS")
	for _, d := range all {
		if strings.Contains(d.name, part) {
			some = append(some, d)
		}
	}
	if len(some) == 0 {
		t.Fatalf("no deed is called %q", part)
	}
	return some
}

// chosenNetwork is what BOWLINE_CHAOS_NET names.
func chosenNetwork(t *testing.T) network {
	switch kind := os.Getenv("BOWLINE_CHAOS_NET"); kind {
	case "", "proxy":
		return newProxies()
	case "namespaces":
		n, err := newNamespaces()
		if err != nil {
			t.Fatal(err)
		}
		return n
	default:
		t.Fatalf("no network is called %q", kind)
		return nil
	}
}
