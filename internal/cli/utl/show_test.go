package utl

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// TestShow runs the command lines in a transcript and compares what they print. FILE is a
// snapshot, RESTORED a directory of it.
func TestShow(t *testing.T) {
	file, dir := snapshot(t), filepath.Join(t.TempDir(), "restored")
	if code, _, stderr := run("snapshot", "restore", file, "--data-dir", dir); code != 0 {
		t.Fatal(stderr)
	}
	name := filepath.Join("testdata", "show.txt")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, c := range regexp.MustCompile(`(?m)^\$ (.*)$`).FindAllStringSubmatch(string(text), -1) {
		_, stdout, stderr := run(strings.Fields(strings.NewReplacer("FILE", file, "RESTORED", dir).Replace(c[1]))...)
		got.WriteString("$ " + c[1] + "\n" + strings.NewReplacer(file, "FILE", dir, "RESTORED").Replace(stdout+stderr))
	}
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(name, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got.String() != string(text) {
		t.Errorf("%s says\n%s\nit prints\n%s", name, text, got.String())
	}
}

// closed is a pipe that nobody reads, or a disk.
type closed struct{ err error }

func (c closed) Write([]byte) (int, error) { return 0, c.err }

// TestShowToNobody ends quietly when its reader has gone, and not when a disk is full.
func TestShowToNobody(t *testing.T) {
	file := snapshot(t)
	for _, c := range []struct {
		err  error
		code int
	}{{&os.PathError{Op: "write", Path: "|1", Err: syscall.EPIPE}, 0}, {io.ErrClosedPipe, 0}, {errors.New("disk full"), 1}} {
		var stderr bytes.Buffer
		code := Run(context.Background(), NewEnv(closed{c.err}, &stderr), []string{"show", file, "--values", "-w", "json", "--kind", "version"})
		if code != c.code || (stderr.Len() > 0) != (c.code > 0) {
			t.Errorf("%v ended with %d: %s", c.err, code, stderr.String())
		}
	}
}
