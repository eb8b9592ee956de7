package faults

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"bowline/internal/testkit"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// resident is the memory that a server's process holds, in MiB.
func resident(t *testing.T, s *testkit.Server) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); f[0] == "VmRSS:" {
			kib, err := strconv.Atoi(f[1])
			if err != nil {
				t.Fatal(err)
			}
			return kib >> 10
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

// live is what a server that serves profiles has on its heap, in MiB, when what
// it has let go of, pools included, has been collected.
func live(t *testing.T, s *testkit.Server) int {
	t.Helper()
	bytes := -1
	for range 2 { // a pool is emptied at the second collection
		resp, err := http.Get("http://" + s.Addr + "/debug/pprof/heap?gc=1&debug=1")
		if err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			if v, ok := strings.CutPrefix(lines.Text(), "# HeapAlloc = "); ok {
				if bytes, err = strconv.Atoi(v); err != nil {
					t.Fatal(err)
				}
			}
		}
		resp.Body.Close()
	}
	return bytes >> 20
}

// putNoise returns a function that puts 10 kB that nobody can make smaller: the engine
// holds some blocks while it writes a table, and what is measured must not depend on
// how well those compress.
func putNoise(ctx context.Context, t *testing.T, c *client) func(i int) {
	noise, value := rand.NewChaCha8([32]byte{1}), make([]byte, 10_000)
	return func(i int) {
		t.Helper()
		noise.Read(value)
		if _, err := c.Put(ctx, &pb.PutRequest{Key: fmt.Appendf(nil, "k%d", i%10), Value: value}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWatcherWhoNeverReads opens watches of everything and reads nothing while
// much is written: writers do not wait for it, memory is bounded, and a watcher
// who reads misses nothing.
func TestWatcherWhoNeverReads(t *testing.T) {
	s := startServer(t, "--enable-pprof")
	c := dialTest(t, s)
	ctx := testContext(t)
	all := []byte{0}
	put := putNoise(ctx, t, c)
	// Of 10 kB each: before the watchers, until they are all stuck, and then.
	warm, stuck, puts := 2000, 4000, 14_000
	if testing.Short() {
		warm, stuck, puts = 500, 1500, 3000
	}
	for i := range warm {
		put(i)
	}
	before := live(t, s)
	const silent = 20
	for range silent {
		w, err := c.Watch(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Send(create(0, all, all, 2)); err != nil {
			t.Fatal(err)
		}
	}
	reader, err := c.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := reader.Send(create(0, all, all, 2)); err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() {
		next := int64(2)
		for next <= int64(puts+1) {
			resp, err := reader.Recv()
			if err != nil {
				read <- err
				return
			}
			for _, e := range resp.Events {
				if e.Kv.ModRevision != next {
					read <- fmt.Errorf("event %d after %d", e.Kv.ModRevision, next-1)
					return
				}
				next++
			}
		}
		read <- nil
	}()
	for i := warm; i < stuck; i++ {
		put(i)
	}
	between := live(t, s)
	for i := stuck; i < puts; i++ {
		put(i)
	}
	if err := <-read; err != nil {
		t.Error(err)
	}
	after := live(t, s)
	t.Logf("%d MiB before, %d when they were stuck, %d after", before, between, after)
	// Each holds what waits in its queue and on its connection, however much is
	// written.
	if between-before > silent*8 || after-between > 30 {
		t.Errorf("%d who do not read cost %d and then %d MiB", silent, between-before, after-between)
	}
	c.conn.Close()
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
}

// TestMillionWatches has one client open as many watches as it likes.
func TestMillionWatches(t *testing.T) {
	watches := 1_000_000
	if testing.Short() {
		watches = 50_000
	}
	const streams = 20
	s := startServer(t)
	c := dialTest(t, s)
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	before := resident(t, s)
	began := time.Now()
	errs := make(chan error, 2*streams)
	var group sync.WaitGroup
	for i := range streams {
		w, err := c.Watch(ctx)
		if err != nil {
			t.Fatal(err)
		}
		group.Go(func() {
			for n := range watches / streams {
				key := fmt.Appendf(nil, "watched/%d/%d", i, n)
				if err := w.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: key}}}); err != nil {
					errs <- err
					return
				}
			}
		})
		group.Go(func() {
			for range watches / streams {
				if resp, err := w.Recv(); err != nil || !resp.Created || resp.Canceled {
					errs <- fmt.Errorf("%v %w", resp, err)
					return
				}
			}
		})
	}
	group.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	after := resident(t, s)
	t.Logf("%d watches in %v: %d MiB before, %d after: %d bytes each", watches, time.Since(began), before, after, (after-before)<<20/watches)
	// A watch may cost what it must remember, and no more.
	if grown, allowed := after-before, 100+watches/1000*1500/1000; grown > allowed {
		t.Errorf("%d watches cost %d MiB, more than %d", watches, grown, allowed)
	}
	// They are of use, and in nobody's way.
	put := time.Now()
	if _, err := c.Put(ctx, &pb.PutRequest{Key: []byte("watched/0/0")}); err != nil {
		t.Error(err)
	}
	if took := time.Since(put); took > 5*time.Second {
		t.Errorf("a put takes %v", took)
	}
	cancel()
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
}

const (
	idleRole  = "BOWLINE_TEST_IDLE_CONNECTIONS" // how many, in the process that has them
	idleAddr  = "BOWLINE_TEST_IDLE_ADDRESS"
	idleReady = "all connections are open"
)

// TestIdleConnections has another process open connections and leave them alone.
func TestIdleConnections(t *testing.T) {
	if n := os.Getenv(idleRole); n != "" {
		beIdle(t, n, os.Getenv(idleAddr))
		return
	}
	connections := 10_000
	if testing.Short() {
		connections = 1000
	}
	s := startServer(t)
	c := dialTest(t, s)
	ctx := testContext(t)
	if _, err := c.Put(ctx, &pb.PutRequest{Key: []byte("k")}); err != nil {
		t.Fatal(err)
	}
	before := resident(t, s)
	idle := exec.CommandContext(ctx, os.Args[0], "-test.run", "^TestIdleConnections$")
	idle.Env = append(os.Environ(), fmt.Sprintf("%s=%d", idleRole, connections), idleAddr+"="+s.Addr)
	out, err := idle.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := idle.StdinPipe() // it ends when this is closed
	if err != nil {
		t.Fatal(err)
	}
	if err := idle.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { in.Close(); _ = idle.Wait() }()
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != idleReady {
		t.Log(lines.Text())
	}
	if lines.Text() != idleReady {
		t.Fatal("the other process has not opened its connections")
	}
	began := time.Now()
	fresh := dialTest(t, s)
	for range 100 {
		if _, err := fresh.Range(ctx, &pb.RangeRequest{Key: []byte("k")}); err != nil {
			t.Fatal(err)
		}
	}
	took, after := time.Since(began), resident(t, s)
	t.Logf("%d connections: %d MiB before, %d after: %d KiB each; 100 reads took %v", connections, before, after,
		(after-before)<<10/connections, took)
	if grown, allowed := after-before, 50+connections*60>>10; grown > allowed {
		t.Errorf("%d idle connections cost %d MiB, more than %d", connections, grown, allowed)
	}
	if took > 5*time.Second {
		t.Errorf("100 reads beside them take %v", took)
	}
}

// beIdle opens connections: half of them say nothing at all, half have made
// themselves known as HTTP/2.
func beIdle(t *testing.T, number, addr string) {
	n, err := strconv.Atoi(number)
	if err != nil {
		t.Fatal(err)
	}
	preface := []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	for i := range n {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		defer conn.Close()
		if i%2 == 0 {
			if _, err := conn.Write(preface); err != nil {
				t.Fatalf("connection %d: %v", i, err)
			}
			// The server's settings: it has taken the connection.
			if _, err := conn.Read(make([]byte, 9)); err != nil {
				t.Fatalf("connection %d: %v", i, err)
			}
		}
	}
	fmt.Println(idleReady)
	_, _ = os.Stdin.Read(make([]byte, 1)) // until the test has seen enough
}
