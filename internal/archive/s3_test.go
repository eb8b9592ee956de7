package archive

import (
	"bytes"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// service is a service in this process that speaks S3 and has a bucket; it refuses
// everything while down is set.
func service(t *testing.T, bucket string) (down *atomic.Bool) {
	t.Helper()
	down = new(atomic.Bool)
	serviceBehind(t, bucket, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if down.Load() {
				http.Error(w, "down", http.StatusForbidden)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	return down
}

// serviceBehind is a service that is reached through what before makes of it.
func serviceBehind(t *testing.T, bucket string, before func(http.Handler) http.Handler) {
	t.Helper()
	backend := s3mem.New()
	must(t, backend.CreateBucket(bucket))
	fake := gofakes3.New(backend, gofakes3.WithLogger(gofakes3.StdLog(log.New(io.Discard, "", 0)))).Server()
	server := httptest.NewServer(before(fake))
	t.Cleanup(server.Close)
	t.Setenv("AWS_ENDPOINT_URL", server.URL)
	t.Setenv("AWS_REGION", "us-east-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
}

// TestStores holds both kinds of store to what Store promises.
func TestStores(t *testing.T) {
	service(t, "backups")
	for _, place := range []string{t.TempDir(), "s3://backups/cluster/m1", "s3://backups"} {
		s, err := Open(place)
		must(t, err)
		if s.String() != place {
			t.Errorf("%s calls itself %s", place, s)
		}
		if _, err := s.Open(t.Context(), "none"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: opening nothing: %v", place, err)
		}
		large := bytes.Repeat([]byte("0123456789abcdef"), 2<<20) // several parts
		must(t, s.Put(t.Context(), "a", Content{ReaderAt: strings.NewReader("first"), Size: 5}))
		must(t, s.Put(t.Context(), "a", Content{ReaderAt: strings.NewReader("second"), Size: 6}))
		must(t, s.Put(t.Context(), "large", Content{ReaderAt: bytes.NewReader(large), Size: int64(len(large))}))
		if err := s.Put(t.Context(), "cut", Content{ReaderAt: strings.NewReader("half"), Size: 8}); err == nil {
			t.Errorf("%s takes half of an object", place)
		}
		names, err := s.List(t.Context())
		must(t, err)
		names = slices.DeleteFunc(names, func(name string) bool { return strings.HasSuffix(name, "/") })
		if slices.Sort(names); !slices.Equal(names, []string{"a", "large"}) {
			t.Errorf("%s lists %q", place, names)
		}
		for name, want := range map[string][]byte{"a": []byte("second"), "large": large} {
			f, err := s.Open(t.Context(), name)
			must(t, err)
			got, err := io.ReadAll(f)
			if err = errors.Join(err, f.Close()); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: %s has %d bytes, %v", place, name, len(got), err)
			}
		}
		must(t, s.Remove(t.Context(), "large"))
		if _, err := s.Open(t.Context(), "large"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: opening what was removed: %v", place, err)
		}
		must(t, s.Remove(t.Context(), "a"))
	}
	for _, place := range []string{"", "s3://", "s3:///x"} {
		if _, err := Open(place); err == nil {
			t.Errorf("%q is a place", place)
		}
	}
}

// TestArchiveInABucket archives to a service that fails at times, and restores from it.
func TestArchiveInABucket(t *testing.T) {
	down := service(t, "backups")
	s, err := Open("s3://backups/m1")
	must(t, err)
	w := newWorld(t, s)
	w.busy(30)
	down.Store(true)
	for range 5 {
		w.write()
	}
	if err := w.tick(t.Context(), 2*time.Second); err == nil {
		t.Error("it is archived while the service is down")
	}
	down.Store(false)
	w.busy(30)
	must(t, w.tick(t.Context(), 2*time.Second))
	_, rev := w.fsm.At()
	w.expect(Target{}, rev)
	w.expect(Target{Revision: rev / 2}, rev/2)
	if v, err := Verify(t.Context(), s, options("")); err != nil || len(v.Spans) != 1 {
		t.Errorf("verify: %+v, %v", v, err)
	}
}
