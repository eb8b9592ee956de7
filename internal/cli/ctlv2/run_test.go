package ctlv2

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a server of API v2 that keeps what is set, and is as healthy as it is told.
type fake struct {
	url string

	mu     sync.Mutex        // guards what follows
	set    map[string]string // by key
	ttls   map[string]int
	health []string // of the next checks; the last one goes on
}

func serve(t *testing.T) *fake {
	f := &fake{set: make(map[string]string), ttls: make(map[string]int), health: []string{`{"health":"true"}`}}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch key, isKey := strings.CutPrefix(r.URL.Path, "/v2/keys"); {
	case r.URL.Path == "/v2/members":
		fmt.Fprintf(w, `{"members":[{"id":"1","name":"a","clientURLs":[%q]}]}`, f.url)
	case r.URL.Path == "/health":
		fmt.Fprint(w, f.health[0])
		if len(f.health) > 1 {
			f.health = f.health[1:]
		}
	case isKey && r.FormValue("dir") == "true" && f.set[key] == "directory":
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, `{"errorCode":102,"message":"Not a file","cause":%q,"index":1}`, key)
	case isKey && f.set[key] == "forbidden":
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"errorCode":110,"message":"The request requires user authentication","cause":"Insufficient credentials","index":1}`)
	case isKey:
		f.set[key] = r.FormValue("value")
		if r.FormValue("dir") == "true" {
			f.set[key] = "directory"
		}
		if ttl, err := strconv.Atoi(r.FormValue("ttl")); err == nil {
			f.ttls[key] = ttl
		}
		fmt.Fprintf(w, `{"action":"set","node":{"key":%q,"modifiedIndex":1,"createdIndex":1}}`, key)
	}
}

// run runs a command line and returns the exit status and what it has written.
func run(ctx context.Context, f *fake, after func(time.Duration) <-chan time.Time, args ...string) (code int, out string) {
	var b bytes.Buffer
	env := &Env{
		In: strings.NewReader(""), Out: &b, Err: &b, After: after,
		Interrupted: func(ctx context.Context) (context.Context, context.CancelFunc) { return context.WithCancel(ctx) },
	}
	code = Run(ctx, env, append([]string{"--endpoints", f.url}, args...))
	return code, b.String()
}

const snapFile = "testdata/etcd-3.4.snap"

// TestImport sets what is in a .snap file of etcd 3.4.
func TestImport(t *testing.T) {
	f := serve(t)
	f.set["/app"] = "directory" // it may be there
	code, out := run(t.Context(), f, nil, "import", "--snap", snapFile)
	if code != 0 || out != fmt.Sprintf("finished importing %d keys\n", len(f.set)) {
		t.Errorf("%d, %q; %d are set", code, out, len(f.set))
	}
	for key, want := range map[string]string{
		"/app/config": "directory", "/app/config/k1": "v1", "/app/config/k4": "swapped", "/empty": "directory", "/ttl/long": "stay",
		"/queue/00000000000000000040": "job2", "/ttldir/in": "x",
	} {
		if f.set[key] != want {
			t.Errorf("%s is %q, want %q", key, f.set[key], want)
		}
	}
	for key := range f.set {
		if strings.Contains(key, "_") {
			t.Errorf("%s is hidden", key)
		}
	}
	if len(f.ttls) != 2 || f.ttls["/ttl/long"] < 1 || f.ttls["/ttldir"] < 1 {
		t.Errorf("the ttls are %v", f.ttls)
	}
	before := maps.Clone(f.set)
	if code, out := run(t.Context(), f, nil, "import", "--snap", snapFile, "--hidden", "/_hidden", "--hidden", "/app/config/_secret"); code != 0 {
		t.Errorf("%d, %q", code, out)
	}
	if len(f.set) != len(before)+3 || f.set["/_hidden/a"] != "h" || f.set["/app/config/_secret"] != "s\"<&>é\nz" {
		t.Errorf("with hidden ones: %v", f.set)
	}
}

// TestImportRefuses damaged files, and ends with the first key that is refused.
func TestImportRefuses(t *testing.T) {
	f := serve(t)
	whole, err := os.ReadFile(snapFile)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(whole)
	flipped[len(flipped)/2] ^= 1
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"flipped": {flipped, "its checksum is wrong"},
		"cut":     {whole[:len(whole)-9], "cannot be read as a snapshot of etcd"},
		"empty":   {nil, "cannot be read as a snapshot of etcd"},
	} {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, c.content, 0o600); err != nil {
			t.Fatal(err)
		}
		if code, out := run(t.Context(), f, nil, "import", "--snap", file); code != exitUsage || !strings.Contains(out, c.want) {
			t.Errorf("%s: %d, %q", name, code, out)
		}
	}
	if code, out := run(t.Context(), f, nil, "import"); code != exitUsage || !strings.Contains(out, "--snap") {
		t.Errorf("without a file: %d, %q", code, out)
	}
	if len(f.set) != 0 {
		t.Errorf("set: %v", f.set)
	}
	f.set["/app/config/k12"] = "forbidden"
	if code, out := run(t.Context(), f, nil, "import", "--snap", snapFile); code != exitServer || !strings.Contains(out, "110") {
		t.Errorf("refused: %d, %q", code, out)
	}
	if _, ok := f.set["/app/config/k13"]; ok {
		t.Error("it went on")
	}
}

// TestHealthForever checks again and again until it is interrupted.
func TestHealthForever(t *testing.T) {
	f := serve(t)
	f.health = []string{`{"health":"true"}`, `{"health":"false"}`, `{"health":"true"}`}
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	pauses := 0
	after := func(pause time.Duration) <-chan time.Time {
		if pause != checkPause {
			t.Errorf("a pause of %v", pause)
		}
		now := make(chan time.Time, 1)
		if pauses++; pauses == 3 {
			interrupt()
		} else {
			now <- time.Time{}
		}
		return now
	}
	code, out := run(ctx, f, after, "cluster-health", "--forever")
	next := "\nnext check after 10 second...\n\n"
	healthy := fmt.Sprintf("member 1 is healthy: got healthy result from %s\ncluster is healthy\n", f.url)
	want := healthy + next + fmt.Sprintf("member 1 is unhealthy: got unhealthy result from %s\ncluster is unavailable\n", f.url) + next + healthy + next
	if code != 0 || out != want {
		t.Errorf("%d,\n%s\nwant\n%s", code, out, want)
	}
}

// TestTextsOfFailures are those of etcd 3.4's tool, to the empty line.
func TestTextsOfFailures(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close() // nobody listens there any more
	address := strings.TrimPrefix(gone.URL, "http://")
	refused := "dial tcp " + address + ": connect: connection refused"
	f := &fake{url: gone.URL}
	want := "Error:  client: etcd cluster is unavailable or misconfigured; error #0: " + refused + "\n\nerror #0: " + refused + "\n\n"
	if code, out := run(t.Context(), f, nil, "get", "a"); code != exitConnection || out != want {
		t.Errorf("%d, %q, want %q", code, out, want)
	}
	if code, out := run(t.Context(), f, nil, "--bogus", "get", "a"); code != exitUsage ||
		!strings.HasPrefix(out, "Incorrect Usage. flag provided but not defined: -bogus\n\nNAME:\n") {
		t.Errorf("%d, %q", code, out)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // the names are not asked for, whatever the machine's resolver is
	code, out := run(ctx, f, nil, "--discovery-srv", "x.invalid", "get", "a")
	if code != exitUsage || !strings.HasPrefix(out, "dns lookup errors: lookup ") || strings.Count(out, " and lookup ") != 1 {
		t.Errorf("%d, %q", code, out)
	}
}
