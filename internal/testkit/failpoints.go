package testkit

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// gofailVersion is the version of gofail that failpoints are switched on with. The
// module itself does not require it: ordinary builds know nothing of failpoints.
const gofailVersion = "go.etcd.io/gofail@v0.2.0"

// failpointMark begins the comment that gofail makes code of.
const failpointMark = "// gofail: "

// BuildFailpoints builds the commands of this module into dir as Build does, but with
// failpoints that work: see docs/testing.md. It works on a copy of the sources.
func BuildFailpoints(dir string, names ...string) error {
	root, err := Root()
	if err != nil {
		return err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "bowline-gofail-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	marked, err := copySources(root, work)
	if err != nil {
		return err
	}
	commands := [][]string{
		slices.Concat([]string{"run", gofailVersion, "enable"}, marked),
		{"get", gofailVersion},
	}
	for _, name := range names {
		commands = append(commands, []string{"build", "-trimpath", "-buildvcs=false", "-o", filepath.Join(dir, name), "./cmd/" + name})
	}
	for _, args := range commands {
		cmd := exec.Command("go", args...)
		cmd.Dir = work
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go %s: %w\n%s", args[0], err, out)
		}
	}
	return nil
}

// copySources copies what the commands are built from, and returns the directories that
// have failpoints.
func copySources(root, to string) (marked []string, err error) {
	dirs := make(map[string]bool)
	for _, top := range []string{"go.mod", "go.sum", "cmd", "embed", "internal"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil || entry.IsDir() || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "/testdata/") {
				return err
			}
			name, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if bytes.Contains(text, []byte("\t"+failpointMark)) {
				dirs[filepath.Dir(name)] = true
			}
			copied := filepath.Join(to, name)
			if err := os.MkdirAll(filepath.Dir(copied), 0o755); err != nil {
				return err
			}
			return os.WriteFile(copied, text, 0o644)
		})
		if err != nil {
			return nil, err
		}
	}
	return slices.Sorted(maps.Keys(dirs)), nil
}
