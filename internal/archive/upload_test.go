package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// line is what is between the archive and a service: it counts parts, and breaks in the middle
// of some.
type line struct {
	next http.Handler

	mu sync.Mutex
	// breaks are the numbers of the parts in which it breaks, once each; sent is how often
	// each has been begun. Guarded by mu.
	breaks map[string]bool
	sent   map[string]int
}

func (l *line) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	n := q.Get("partNumber")
	l.mu.Lock()
	breaks := n != "" && l.breaks[n]
	delete(l.breaks, n)
	if n != "" {
		l.sent[n]++
	} else if q.Has("uploads") && r.Method == http.MethodPost {
		l.sent["begin"]++
	}
	l.mu.Unlock()
	if !breaks {
		l.next.ServeHTTP(w, r)
		return
	}
	_, _ = io.CopyN(io.Discard, r.Body, r.ContentLength/2)
	panic(http.ErrAbortHandler) // closes the connection
}

// took returns how often what was sent, and begins to count anew.
func (l *line) took() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := fmt.Sprint(l.sent)
	clear(l.sent)
	return s
}

func (l *line) breakIn(parts ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range parts {
		l.breaks[n] = true
	}
}

// brokenLine is a service behind a line, and a store in it.
func brokenLine(t *testing.T) (*line, *bucket) {
	l := &line{breaks: make(map[string]bool), sent: make(map[string]int)}
	serviceBehind(t, "backups", func(h http.Handler) http.Handler {
		l.next = h
		return l
	})
	s, err := Open("s3://backups/m1")
	must(t, err)
	return l, s.(*bucket)
}

func randomBytes(n int, seed uint64) []byte {
	b := make([]byte, n)
	var key [32]byte
	key[0] = byte(seed)
	_, _ = rand.NewChaCha8(key).Read(b)
	return b
}

func contentOf(b []byte) Content { return Content{ReaderAt: bytes.NewReader(b), Size: int64(len(b))} }

func (b *bucket) get(t *testing.T, name string) []byte {
	t.Helper()
	f, err := b.Open(t.Context(), name)
	must(t, err)
	got, err := io.ReadAll(f)
	must(t, errors.Join(err, f.Close()))
	return got
}

// waiting are the uploads that are not finished.
func (b *bucket) waiting(t *testing.T) (keys []string) {
	t.Helper()
	core := minio.Core{Client: b.client}
	r, err := core.ListMultipartUploads(t.Context(), b.name, "", "", "", "", 100)
	must(t, err)
	for _, u := range r.Uploads {
		keys = append(keys, u.Key)
	}
	return keys
}

// TestUploadGoesOn: parts that have arrived are not sent again, unless they are others by now.
func TestUploadGoesOn(t *testing.T) {
	l, b := brokenLine(t)
	content := randomBytes(3*partBytes+12345, 1)
	l.breakIn("3")
	if err := b.Put(t.Context(), "a", contentOf(content)); err == nil || !strings.Contains(err.Error(), "part 3") {
		t.Fatalf("through a line that breaks: %v", err)
	}
	if got := l.took(); got != "map[1:1 2:1 3:1 begin:1]" {
		t.Errorf("sent %s", got)
	}
	if _, err := b.Open(t.Context(), "a"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("half of it is there: %v", err)
	}
	l.breakIn("4")
	if err := b.Put(t.Context(), "a", contentOf(content)); err == nil {
		t.Fatal("it was put through a line that breaks")
	}
	must(t, b.Put(t.Context(), "a", contentOf(content)))
	if got := l.took(); got != "map[3:1 4:2]" {
		t.Errorf("sent again %s", got)
	}
	if !bytes.Equal(b.get(t, "a"), content) {
		t.Error("it is not what was put")
	}
	l.breakIn("3")
	if err := b.Put(t.Context(), "a", contentOf(content)); err == nil {
		t.Fatal("it was put through a line that breaks")
	}
	l.took()
	other := bytes.Clone(content)
	other[partBytes] ^= 1
	must(t, b.Put(t.Context(), "a", contentOf(other)))
	if got := l.took(); got != "map[2:1 3:1 4:1]" {
		t.Errorf("of other content %s", got)
	}
	if !bytes.Equal(b.get(t, "a"), other) || len(b.waiting(t)) != 0 || len(b.uploads) != 0 {
		t.Errorf("it is not what was put; waiting %q, %d", b.waiting(t), len(b.uploads))
	}
}

// TestUploadThatWasForgotten by the service, as its rules may say, begins anew.
func TestUploadThatWasForgotten(t *testing.T) {
	l, b := brokenLine(t)
	content := randomBytes(2*partBytes, 2)
	l.breakIn("2")
	if err := b.Put(t.Context(), "a", contentOf(content)); err == nil {
		t.Fatal("it was put through a line that breaks")
	}
	must(t, minio.Core{Client: b.client}.AbortMultipartUpload(t.Context(), b.name, "m1/a", b.uploads["a"].id))
	if err := b.Put(t.Context(), "a", contentOf(content)); !isForgotten(err) {
		t.Fatalf("a forgotten upload: %v", err)
	}
	l.took()
	must(t, b.Put(t.Context(), "a", contentOf(content)))
	if got := l.took(); got != "map[1:1 2:1 begin:1]" || !bytes.Equal(b.get(t, "a"), content) {
		t.Errorf("sent %s", got)
	}
}

// TestTidyUploads aborts what a crash has left of pieces, and nothing of others.
func TestTidyUploads(t *testing.T) {
	l, b := brokenLine(t)
	h := header{Last: 7, Moments: []Moment{{Index: 7, Revision: 3, Time: time.Unix(1, 0)}}}
	for _, name := range []string{h.name(), "m2/" + h.name(), "something"} {
		l.breakIn("1")
		if err := b.Put(t.Context(), name, contentOf(randomBytes(partBytes+1, 3))); err == nil {
			t.Fatal("it was put through a line that breaks")
		}
	}
	if len(b.waiting(t)) != 3 {
		t.Fatalf("waiting %q", b.waiting(t))
	}
	again, err := Open(b.String()) // by the next process
	must(t, err)
	must(t, again.(tidier).tidy(t.Context()))
	if got := strings.Join(b.waiting(t), " "); got != "m1/m2/"+h.name()+" m1/something" {
		t.Errorf("left is %q", got)
	}
}

// TestUploadKeepsItsPace: parts are sent no faster than is allowed, all together.
func TestUploadKeepsItsPace(t *testing.T) {
	_, b := brokenLine(t)
	c := contentOf(randomBytes(2*partBytes, 4))
	c.pace = &pace{perSecond: 64 << 20}
	begin := time.Now()
	must(t, b.Put(t.Context(), "a", c))
	if took := time.Since(begin); took < 250*time.Millisecond {
		t.Errorf("16 MiB took %s at 64 MiB a second", took)
	}
}

// TestCheckpointGoesOn: a checkpoint whose upload breaks is sent on, not made again; one that
// a crash has left is aborted by the next archiver.
func TestCheckpointGoesOn(t *testing.T) {
	l, b := brokenLine(t)
	w := newWorld(t, b)
	w.archiver.retry = time.Millisecond
	for i := range 20 {
		_, rev := w.fsm.At()
		w.apply(&pb.InternalRaftRequest{Put: w.put(rev+1, w.key(), string(randomBytes(1<<20, uint64(i))), 0)})
	}
	l.breakIn("1", "2", "3")
	must(t, w.tick(t.Context(), 100*time.Millisecond))
	if got := l.took(); !strings.HasPrefix(got, "map[1:2 2:2 3:2") || !strings.HasSuffix(got, " begin:1]") {
		t.Errorf("sent %s", got)
	}
	if n := w.archiver.Stats().Failures.Load(); n != 3 {
		t.Errorf("%d failures are counted", n)
	}
	_, rev := w.fsm.At()
	w.expect(Target{}, rev)
	h := header{Last: 99, Moments: []Moment{{Index: 99, Revision: 99, Time: time.Unix(1, 0)}}}
	l.breakIn("1")
	if err := b.Put(t.Context(), h.name(), contentOf(randomBytes(partBytes+1, 5))); err == nil {
		t.Fatal("it was put through a line that breaks")
	}
	w.restart()
	must(t, w.tick(t.Context(), 100*time.Millisecond))
	if left := b.waiting(t); len(left) != 0 {
		t.Errorf("left is %q", left)
	}
}
