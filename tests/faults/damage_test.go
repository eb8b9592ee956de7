package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bowline/internal/testkit"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

var deterministic = proto.MarshalOptions{Deterministic: true}

// contents is everything that clients can read of a server, by the way it is read.
type contents map[string]string

// readContents reads everything in every way. errs tells which ways failed.
func readContents(ctx context.Context, c *client) (x contents, errs map[string]error) {
	x, errs = make(contents), make(map[string]error)
	all := []byte{0}
	// The revision is the one that was left: nothing writes.
	const revision = damageRevision
	put := func(name string, m proto.Message, err error) {
		var b []byte
		if err == nil {
			b, err = deterministic.Marshal(m)
		}
		if err != nil {
			errs[name] = err
			return
		}
		x[name] = string(b)
	}
	get := func(name string, req *pb.RangeRequest) {
		resp, err := c.Range(ctx, req)
		if resp != nil {
			resp.Header = &pb.ResponseHeader{Revision: resp.Header.Revision}
		}
		put(name, resp, err)
	}
	get("all", &pb.RangeRequest{Key: all, RangeEnd: all})
	get("all, compacted", &pb.RangeRequest{Key: all, RangeEnd: all, Revision: damageCompacted})
	get("count", &pb.RangeRequest{Key: all, RangeEnd: all, CountOnly: true})
	get("old count", &pb.RangeRequest{Key: all, RangeEnd: all, CountOnly: true, Revision: damageCompacted + 1})
	for i := 0; i < damageKeys; i += 100 {
		get(fmt.Sprint("key ", i), &pb.RangeRequest{Key: damageKey(i)})
		get(fmt.Sprint("page ", i), &pb.RangeRequest{Key: damageKey(i), RangeEnd: all, Limit: 20})
	}
	for _, rev := range []int64{damageCompacted, revision - 3, revision} {
		h, err := c.HashKV(ctx, &pb.HashKVRequest{Revision: rev})
		if h != nil {
			h.Header = nil
		}
		put(fmt.Sprint("hash ", rev), h, err)
	}
	lease, err := c.LeaseTimeToLive(ctx, &pb.LeaseTimeToLiveRequest{ID: 77, Keys: true})
	if lease != nil {
		lease.Header, lease.TTL = nil, 0
	}
	put("lease", lease, err)
	for name, r := range map[string][2][]byte{"history": {all, all}, "history of a key": {damageKey(77), nil}} {
		history, err := readHistory(ctx, c, r[0], r[1], damageCompacted)
		if err != nil {
			errs[name] = err
		} else {
			x[name] = string(history)
		}
	}
	return x, errs
}

func damageKey(i int) []byte { return fmt.Appendf(nil, "key/%04d", i) }

// readHistory watches a range from a revision up to one that was written last, on
// purpose for this, to the key that it also watches.
func readHistory(ctx context.Context, c *client, key, end []byte, from int64) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := c.Watch(ctx)
	if err != nil {
		return nil, err
	}
	if err := w.Send(create(0, key, end, from)); err != nil {
		return nil, err
	}
	var history []byte
	for {
		resp, err := w.Recv()
		if err != nil {
			return nil, err
		}
		if resp.Canceled {
			return nil, fmt.Errorf("watch canceled: %v", resp.CancelReason)
		}
		for _, e := range resp.Events {
			if history, err = deterministic.MarshalAppend(history, e); err != nil {
				return nil, err
			}
			if e.Kv.ModRevision == damageRevision {
				return history, nil
			}
		}
	}
}

const (
	damageCompacted = 3000
	// damageRevision is the last; it puts key 77, and other ones have put it before.
	damageRevision = 5502
	damageKeys     = 3000
)

// prepareDamage makes a directory with files of every class and returns it with
// what clients read of it.
func prepareDamage(t *testing.T) (string, contents) {
	t.Helper()
	s := startServer(t)
	c := dialTest(t, s)
	ctx := testContext(t)
	rng := rand.New(rand.NewPCG(1, 2))
	fill := func(n int) {
		for range n {
			value := make([]byte, 200+rng.IntN(400))
			for i := range value {
				value[i] = byte(rng.Uint32())
			}
			if _, err := c.Put(ctx, &pb.PutRequest{Key: damageKey(rng.IntN(damageKeys)), Value: value, Lease: 77 * int64(rng.IntN(2))}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := c.LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: 77, TTL: 10_000}); err != nil {
		t.Fatal(err)
	}
	fill(3500)
	if _, err := c.Compact(ctx, &pb.CompactionRequest{Revision: damageCompacted, Physical: true}); err != nil {
		t.Fatal(err)
	}
	fill(2000)
	if resp, err := c.Put(ctx, &pb.PutRequest{Key: damageKey(77)}); err != nil || resp.Header.Revision != damageRevision {
		t.Fatal(resp, err)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	// A second life, so that there is more than one manifest and log position.
	copied := filepath.Join(t.TempDir(), "data")
	copyDir(t, s.DataDir, copied)
	again, err := startOn(t, copied)
	if err != nil {
		t.Fatal(err)
	}
	want, errs := readContents(ctx, dialTest(t, again))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	if err := again.Stop(); err != nil {
		t.Fatal(err)
	}
	return copied, want
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	// CopyFS makes everything as readable as it may; a data directory is private.
	if err := os.Chmod(to, 0o700); err != nil {
		t.Fatal(err)
	}
}

// lastLine is the last line of a log, without the stack behind it.
func lastLine(log string) string {
	line, _, _ := strings.Cut(testkit.LastLines(log, 1), `"stacktrace"`)
	return line
}

// startOn starts a server on a directory, which must be called data.
func startOn(t *testing.T, dataDir string, flags ...string) (*testkit.Server, error) {
	t.Helper()
	s, err := testkit.StartServer(etcd.Path(t), filepath.Dir(dataDir), &ports, flags...)
	if err == nil {
		t.Cleanup(s.Kill)
	}
	return s, err
}

func serverLog(t *testing.T, dataDir string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(filepath.Dir(dataDir), "server.log"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// classOf is the kind of a file in a data directory; "" for one whose content
// does not matter.
func classOf(path string) string {
	base := filepath.Base(path)
	switch {
	case strings.HasSuffix(base, ".wal"):
		return "log"
	case strings.HasSuffix(base, ".sst"):
		return "table"
	case strings.HasPrefix(base, "MANIFEST-"):
		return "manifest"
	case strings.HasPrefix(base, "OPTIONS-"):
		return "options"
	case base == "FORMAT":
		return "format"
	}
	return ""
}

// filesByClass are the files of a directory, relative to it, the largest first.
func filesByClass(t *testing.T, dir string) map[string][]string {
	t.Helper()
	files := make(map[string][]string)
	sizes := make(map[string]int64)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || classOf(path) == "" {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		sizes[rel] = info.Size()
		files[classOf(path)] = append(files[classOf(path)], rel)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, names := range files {
		slices.SortFunc(names, func(a, b string) int { return int(sizes[b] - sizes[a]) })
	}
	// Of these only the newest is in use.
	for _, class := range []string{"manifest", "options"} {
		files[class] = []string{slices.Max(files[class])}
	}
	return files
}

// written is where a file's content ends: a log is longer than what it holds.
func written(content []byte) int {
	return len(bytes.TrimRight(content, "\x00"))
}

// TestFlippedBit flips one bit of a stopped member's directory at a time. Starting
// or reading must fail with an error that names the file, or everything must be
// as it was: never may anything else be served.
func TestFlippedBit(t *testing.T) {
	dir, want := prepareDamage(t)
	files := filesByClass(t, dir)
	places := map[string]int{"log": 12, "table": 24, "manifest": 12, "options": 4, "format": 4}
	rng := rand.New(rand.NewPCG(7, 7))
	for class, n := range places {
		if len(files[class]) == 0 {
			t.Fatalf("no file of class %s", class)
		}
		if testing.Short() {
			n = min(n, 3)
		}
		outcomes := make(map[string]int)
		t.Run(class, func(t *testing.T) {
			for i := range n {
				name := files[class][i%min(len(files[class]), 3)]
				content, err := os.ReadFile(filepath.Join(dir, name))
				if err != nil {
					t.Fatal(err)
				}
				at := written(content) * i / n
				bit := byte(1) << rng.IntN(8)
				outcomes[flipOne(t, dir, name, at, bit, want)]++
			}
			t.Logf("%s: %v", class, outcomes)
		})
	}
}

// flipOne flips one bit in a copy of dir and tells what came of it.
func flipOne(t *testing.T, dir, name string, at int, bit byte, want contents) string {
	t.Helper()
	what := fmt.Sprintf("bit %02x at %d of %s", bit, at, name)
	copied := filepath.Join(t.TempDir(), "data")
	copyDir(t, dir, copied)
	path := filepath.Join(copied, name)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content[at] ^= bit
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(copied)
	named := func() bool { return strings.Contains(serverLog(t, copied), filepath.Base(name)) }
	s, err := startOn(t, copied)
	if err != nil {
		if log := serverLog(t, copied); !named() || strings.Contains(log, "panic") || strings.Contains(log, "goroutine ") {
			t.Errorf("%s: the start failed, but the file is not named, or it panicked:\n%s", what, lastLine(log))
		}
		return "refused to start"
	}
	defer s.Kill()
	ctx, cancel := context.WithTimeout(testContext(t), 20*time.Second)
	defer cancel()
	c, err := dial(s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.conn.Close()
	got, errs := readContents(ctx, c)
	for way, x := range got {
		if x != want[way] {
			t.Errorf("%s: WRONG DATA is served when reading %s", what, way)
		}
	}
	select {
	case <-s.Ended():
		t.Errorf("%s: the server has ended: %s", what, lastLine(s.Log(1)))
	default:
	}
	for way, err := range errs {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.Errorf("%s: a read of %s hangs", what, way)
		}
		if !named() {
			t.Errorf("%s: reading %s failed (%v), but the file is not named in the log: %s", what, way, err, lastLine(s.Log(1)))
		}
	}
	if len(errs) > 0 {
		return "failed to read"
	}
	return "harmless"
}
