package clitest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// programs are the binaries under test.
var programs struct {
	etcd, etcdctl, etcdutl string
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "clitest-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := 1
	if err := setUp(dir); err != nil {
		fmt.Fprintln(os.Stderr, "clitest:", err)
	} else {
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// setUp builds the programs once for all tests, and makes the certificates.
func setUp(dir string) (err error) {
	if certs, err = makeCerts(dir); err != nil {
		return err
	}
	programs.etcdctl, err = build(dir, "etcdctl", "")
	var errServer, errUtility error
	programs.etcd, errServer = build(dir, "etcd", os.Getenv("BOWLINE_ETCD"))
	programs.etcdutl, errUtility = build(dir, "etcdutl", os.Getenv("BOWLINE_ETCDUTL"))
	return errors.Join(err, errServer, errUtility)
}

// build makes one of our programs, or takes the one that was named. A program
// that this module does not have is left out: the table of recordings names
// those that need it.
func build(dir, name, instead string) (string, error) {
	if instead != "" {
		return instead, nil
	}
	source := filepath.Join("..", "..", "cmd", name)
	if _, err := os.Stat(source); errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	binary := filepath.Join(dir, name)
	if out, err := exec.Command("go", "build", "-o", binary, "./"+source).CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", name, err, out)
	}
	return binary, nil
}
