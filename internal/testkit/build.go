package testkit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Root is the directory of the module that the test runs in.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		above := filepath.Dir(dir)
		if above == dir {
			return "", errors.New("no go.mod above the working directory")
		}
		dir = above
	}
}

// Build compiles the command ./cmd/name of this module into dir and returns the
// path of the program, which has the race detector if the test has. An error that is fs.ErrNotExist says that the module has
// no such command.
func Build(dir, name string) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	source := filepath.Join(root, "cmd", name)
	if _, err := os.Stat(source); err != nil {
		return "", err
	}
	if err := touchSources(root); err != nil {
		return "", err
	}
	program := filepath.Join(dir, name)
	args := []string{"build", "-buildvcs=false", "-o", program}
	if raceDetector {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "./cmd/"+name)...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", name, err, out)
	}
	return program, nil
}

// touchSources looks at every source directory of the module. go test keeps
// results of tests whose inputs are unchanged, and knows as inputs the packages
// that a test imports and the files that it looks at: without this, a changed
// server would be answered with yesterday's "ok".
func touchSources(root string) error {
	for _, top := range []string{"cmd", "embed", "internal"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	_, err := os.Stat(filepath.Join(root, "go.sum"))
	return err
}

// CleanEnv is our environment without anything that would steer the programs
// under test.
func CleanEnv() []string {
	var env []string
	for _, entry := range os.Environ() {
		if strings.HasPrefix(entry, "ETCD_") || strings.HasPrefix(entry, "ETCDCTL_") || strings.HasPrefix(entry, "ETCDUTL_") {
			continue
		}
		env = append(env, entry)
	}
	return append(env, "LC_ALL=C.UTF-8")
}

// LastLines is the end of a text.
func LastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
