package clitest

import (
	"errors"
	"io/fs"
	"os"
	"testing"

	"bowline/internal/testkit"
)

// programs are the binaries under test. Those that the module does not have are
// left out: the table of recordings names what needs them.
var programs struct {
	etcd, etcdctl, etcdutl string
}

// buildPrograms builds the programs, or takes those that the environment names.
func buildPrograms(t *testing.T) {
	dir := t.TempDir()
	for _, p := range []struct {
		name, variable string
		path           *string
	}{
		{"etcd", "BOWLINE_ETCD", &programs.etcd},
		{"etcdctl", "", &programs.etcdctl},
		{"etcdutl", "BOWLINE_ETCDUTL", &programs.etcdutl},
	} {
		if instead := os.Getenv(p.variable); p.variable != "" && instead != "" {
			*p.path = instead
			continue
		}
		built, err := testkit.Build(dir, p.name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		*p.path = built
	}
}

// makeCertificates makes the files that recordings with TLS name.
func makeCertificates(t *testing.T) {
	made, err := makeCerts(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	certs = made
}
