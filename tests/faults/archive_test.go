package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"bowline/internal/archive"
	"bowline/internal/cluster"
	"bowline/internal/engine"
	"bowline/internal/exchange"
	"bowline/internal/mvcc"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
)

// told is what a client was told that it wrote.
type told struct {
	mu     sync.Mutex
	values map[int64][]byte // by revision
}

// write puts keys named after their number until the server is gone.
func (w *told) write(ctx context.Context, c *client, random *rand.Rand) {
	for i := 0; ; i++ {
		value := make([]byte, random.IntN(4<<10))
		for j := range value {
			value[j] = byte(random.Uint32())
		}
		resp, err := c.Put(ctx, &pb.PutRequest{Key: fmt.Appendf(nil, "k%d", i%50), Value: value})
		if err != nil {
			return
		}
		w.mu.Lock()
		w.values[resp.Header.Revision] = value
		w.mu.Unlock()
	}
}

// acknowledged is the newest revision that the names in an archive tell of.
func acknowledged(t *testing.T, dir string) (newest int64) {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`^(?:log|checkpoint)-.*-r(\d+)-[^-]*$`)
	for _, e := range all {
		if m := name.FindStringSubmatch(e.Name()); m != nil {
			rev, err := strconv.ParseInt(m[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			newest = max(newest, rev)
		}
	}
	return newest
}

// TestArchiveOfAKilledMember kills a member while it archives, slowly, so that most kills
// come in the middle of a piece: what was put away before is restored, to the last
// revision and byte, and the next start goes on without a gap.
func TestArchiveOfAKilledMember(t *testing.T) {
	const rounds = 6
	place := filepath.Join(t.TempDir(), "archive")
	s := startServer(t, "--backup-to", place, "--backup-interval", "100ms", "--backup-checkpoint-interval", "700ms", "--backup-bandwidth", "2500000")
	w := &told{values: make(map[int64][]byte)}
	random := rand.New(rand.NewPCG(1, 2))
	awaitCheckpoint(t, place)
	cut, last := 0, int64(1)
	for round := range rounds {
		if round > 0 {
			if err := s.Restart(); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(testContext(t), time.Duration(1500+random.IntN(1500))*time.Millisecond)
		c := dialTest(t, s)
		w.write(ctx, c, random)
		cancel()
		if err := s.Crash(); err != nil {
			t.Fatal(err)
		}
		left, err := filepath.Glob(filepath.Join(place, ".unfinished-*"))
		if err != nil {
			t.Fatal(err)
		}
		cut += len(left)
		rev := w.compare(t, place)
		if rev < last {
			t.Errorf("round %d has lost something: revision %d after %d", round, rev, last)
		}
		last = rev
	}
	if last < 1000 {
		t.Errorf("no more than revision %d was archived", last)
	}
	if cut == 0 {
		t.Error("no kill came in the middle of a piece")
	}
	if v, err := archive.Verify(t.Context(), mustOpen(t, place), options("")); err != nil || len(v.Spans) != 1 {
		t.Errorf("verify: %+v, %v", v.Spans, err)
	}
}

// awaitCheckpoint waits for the first one, before which nothing can be restored.
func awaitCheckpoint(t *testing.T, place string) {
	t.Helper()
	ctx := testContext(t)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if found, err := filepath.Glob(filepath.Join(place, "checkpoint-*")); err != nil || len(found) > 0 {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("there is no checkpoint yet")
		}
	}
}

func mustOpen(t *testing.T, place string) archive.Store {
	t.Helper()
	store, err := archive.Open(place)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func options(dir string) exchange.RestoreOptions {
	c := cluster.Initial{Members: map[string][]string{"new": {"http://new:2380"}}}
	return exchange.RestoreOptions{DataDir: dir, Name: "new", Members: c.First()}
}

// compare restores the newest moment and holds every version to what was written.
func (w *told) compare(t *testing.T, place string) int64 {
	t.Helper()
	want := acknowledged(t, place)
	dir := filepath.Join(t.TempDir(), "data")
	r, err := archive.Restore(t.Context(), mustOpen(t, place), archive.Target{}, options(dir))
	if err != nil {
		t.Fatal(err)
	}
	if r.Revision < want {
		t.Errorf("restored revision %d, %d was put away", r.Revision, want)
	}
	checkOffline(t, dir)
	e, err := engine.Open(filepath.Join(dir, engine.MemberDir, engine.DirName), engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	seen := make(map[int64]bool)
	err = mvcc.EachVersion(e, func(v mvcc.Version) error {
		kv := new(mvccpb.KeyValue)
		if err := proto.Unmarshal(v.KV, kv); err != nil {
			return err
		}
		seen[v.Revision.Main] = true
		if value, known := w.values[v.Revision.Main]; known && string(value) != string(kv.Value) {
			t.Errorf("revision %d is restored with another value", v.Revision.Main)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for rev := range w.values {
		if rev <= r.Revision && !seen[rev] {
			t.Errorf("revision %d is not restored", rev)
		}
	}
	t.Logf("restored revision %d of %s from %s and %d pieces", r.Revision, r.Moment.Time, r.Checkpoint, r.Pieces)
	return r.Revision
}
