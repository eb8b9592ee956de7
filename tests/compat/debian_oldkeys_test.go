//go:build debian

package compat

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"bowline/internal/testkit"
)

// withOldKeys is a server with API v2 on a data directory, running.
func withOldKeys(t *testing.T, program, dataDir string, flags ...string) *testkit.Server {
	t.Helper()
	s, err := testkit.NewServer(program, t.TempDir(), &ports, append(flags, "--enable-v2")...)
	must(t, err)
	if dataDir != "" {
		s.DataDir = dataDir
	}
	t.Cleanup(s.Kill)
	must(t, s.Restart())
	return s
}

// plant writes a tree.
func plant(t *testing.T, s *testkit.Server) {
	t.Helper()
	for i := range 40 {
		oldRequest(t, s, http.MethodPut, fmt.Sprintf("/app/d%d/k%d", i%3, i), url.Values{"value": {fmt.Sprint("v", i)}})
	}
	oldRequest(t, s, http.MethodPut, "/app/ttl", url.Values{"value": {"x"}, "ttl": {"5000"}})
	oldRequest(t, s, http.MethodPut, "/app/dying", url.Values{"dir": {"true"}, "ttl": {"6000"}})
	oldRequest(t, s, http.MethodPost, "/app/queue", url.Values{"value": {"job"}})
	oldRequest(t, s, http.MethodDelete, "/app/d1/k4", nil)
	oldRequest(t, s, http.MethodPut, "/app/d1/k7", url.Values{"value": {"swapped"}, "prevValue": {"v7"}})
	oldRequest(t, s, http.MethodPut, "/app/_hidden", url.Values{"value": {"h"}})
}

// oldAnswers is what API v2 shows, without the seconds that are left.
func oldAnswers(t *testing.T, s *testkit.Server) string {
	t.Helper()
	var b strings.Builder
	for _, path := range []string{
		"/v2/keys/?recursive=true&sorted=true", "/v2/keys/app/_hidden", "/v2/keys/?recursive=true&wait=true&waitIndex=10",
		"/v2/keys/app/d1?recursive=true&wait=true&waitIndex=40", "/v2/auth/users", "/v2/auth/roles",
	} {
		resp, err := http.Get("http://" + s.Addr + path)
		must(t, err)
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		must(t, err)
		fmt.Fprintf(&b, "%s: %s\n", path, regexp.MustCompile(`"ttl":\d+,?`).ReplaceAll(text, nil))
	}
	return b.String()
}

// TestDebianOldKeysInPlace starts on a data directory of etcd 3.4 that holds keys of API v2,
// with .snap files and without, and once more under etcd from where its files are kept.
func TestDebianOldKeysInPlace(t *testing.T) {
	for _, snapshotCount := range []string{"10", "100000"} {
		t.Run(snapshotCount, func(t *testing.T) {
			debian := debianProgram(t, "etcd", "BOWLINE_DEBIAN_ETCD")
			theirs := withOldKeys(t, debian, "", "--snapshot-count="+snapshotCount)
			plant(t, theirs)
			want := oldAnswers(t, theirs)
			theirs.Kill()
			ours := withOldKeys(t, server.Path(t), theirs.DataDir)
			if got := oldAnswers(t, ours); got != want {
				t.Errorf("here it is\n%s\nwant\n%s", got, want)
			}
			ours.Kill()
			again := withOldKeys(t, debian, filepath.Join(theirs.DataDir, "from-etcd"))
			if got := oldAnswers(t, again); got != want {
				t.Errorf("under etcd it is\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// TestDebianKeepsOldKeys takes a snapshot with keys of both APIs here, has etcd 3.4 restore
// and serve it, and takes its snapshot back.
func TestDebianKeepsOldKeys(t *testing.T) {
	ours := withOldKeys(t, server.Path(t), "")
	plant(t, ours)
	want := oldAnswers(t, ours)
	first := ctlFor(t, ours.Addr)
	first.furnish()
	first.prints("Snapshot saved at one.db", "snapshot", "save", "one.db")
	everything := first.everything()

	theirs := debianServer(t, "")
	first.restore([]string{first.program}, "one.db", theirs)
	must(t, theirs.Restart())
	second := ctlFor(t, theirs.Addr)
	second.dir = first.dir
	if got := second.everything(); got != everything {
		t.Errorf("under etcd it is\n%s\nwant\n%s", got, everything)
	}
	second.prints("Snapshot saved at two.db", "snapshot", "save", "two.db")

	back := serverOn(t, server.Path(t), "")
	second.restore([]string{etcdutl.Path(t)}, "two.db", back)
	served := withOldKeys(t, server.Path(t), back.DataDir)
	if got := oldAnswers(t, served); got != want {
		t.Errorf("back again it is\n%s\nwant\n%s", got, want)
	}
}
