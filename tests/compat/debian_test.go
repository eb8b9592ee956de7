//go:build debian

package compat

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"bowline/internal/testkit"
)

// debianProgram is a program of Debian's etcd packages.
func debianProgram(t *testing.T, name, variable string) string {
	t.Helper()
	found := os.Getenv(variable)
	if found == "" {
		found = name
	}
	program, err := exec.LookPath(found)
	if err == nil {
		program, err = filepath.Abs(program)
	}
	if err != nil {
		t.Fatalf("%v: install Debian's etcd-client and etcd-server, or let %s name the program", err, variable)
	}
	return program
}

// ctl is Debian's etcdctl, talking to one server.
type ctl struct {
	t       *testing.T
	program string
	env     []string
	dir     string // where it runs
}

// newCtl starts a server of ours for Debian's etcdctl.
func newCtl(t *testing.T, flags ...string) (*ctl, *testkit.Server) {
	t.Helper()
	s := startServer(t, flags...)
	return ctlFor(t, s.Addr), s
}

func ctlFor(t *testing.T, addr string) *ctl {
	c := &ctl{t: t, program: debianProgram(t, "etcdctl", "BOWLINE_DEBIAN_ETCDCTL"), dir: t.TempDir()}
	c.env = append(testkit.CleanEnv(), "ETCDCTL_API=3", "ETCDCTL_ENDPOINTS="+addr)
	return c
}

// outcome is how a command ended.
type outcome struct {
	stdout, stderr string
	exit           int
}

// run runs a command to its end; lines are its standard input.
func (c *ctl) run(lines string, args ...string) outcome {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.program, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(lines), &stdout, &stderr
	cmd.Env, cmd.Dir = c.env, c.dir
	err := cmd.Run()
	if cmd.ProcessState == nil {
		c.t.Fatal(err)
	}
	if ctx.Err() != nil {
		c.t.Fatalf("etcdctl %q is still running; it printed\n%s%s", args, stdout.String(), stderr.String())
	}
	return outcome{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// prints wants success, and exactly these lines.
func (c *ctl) prints(want string, args ...string) {
	c.t.Helper()
	c.answers("", want, args...)
}

// answers is prints for a command that reads its standard input.
func (c *ctl) answers(lines, want string, args ...string) {
	c.t.Helper()
	if got := c.run(lines, args...); got.exit != 0 || strings.TrimSuffix(got.stdout, "\n") != want {
		c.t.Errorf("etcdctl %q ended with %d\n--- want:\n%s\n--- got:\n%s--- stderr:\n%s", args, got.exit, want, got.stdout, got.stderr)
	}
}

// matches wants success, and output that is wholly of this form. It returns what
// the form's groups have matched.
func (c *ctl) matches(form string, args ...string) []string {
	c.t.Helper()
	got := c.run("", args...)
	found := regexp.MustCompile(`\A(?:` + form + `)\n*\z`).FindStringSubmatch(got.stdout)
	if got.exit != 0 || found == nil {
		c.t.Fatalf("etcdctl %q ended with %d\n--- want:\n%s\n--- got:\n%s--- stderr:\n%s", args, got.exit, form, got.stdout, got.stderr)
	}
	return found[1:]
}

// fails wants an exit with 1, after this error.
func (c *ctl) fails(want string, args ...string) {
	c.t.Helper()
	got := c.run("", args...)
	if got.exit != 1 || got.stdout != "" || !strings.HasSuffix(got.stderr, "Error: "+want+"\n") {
		c.t.Errorf("etcdctl %q ended with %d\n--- want:\nError: %s\n--- got:\n%s%s", args, got.exit, want, got.stdout, got.stderr)
	}
}

// running is a command that goes on until it is interrupted.
type running struct {
	t     *testing.T
	ctx   context.Context
	args  []string
	cmd   *exec.Cmd
	lines chan string // what it prints; closed at the end
}

// start starts a command that goes on.
func (c *ctl) start(args ...string) *running {
	c.t.Helper()
	r := &running{t: c.t, ctx: limited(c.t), args: args, lines: make(chan string, 100)}
	r.cmd = exec.CommandContext(r.ctx, c.program, args...)
	r.cmd.Env, r.cmd.Dir = c.env, c.dir
	stdout, err := r.cmd.StdoutPipe()
	must(c.t, err)
	must(c.t, r.cmd.Start())
	go func() {
		defer close(r.lines)
		for scanner := bufio.NewScanner(stdout); scanner.Scan(); {
			r.lines <- scanner.Text()
		}
	}()
	return r
}

// line wants the next line that the command prints to be of this form.
func (r *running) line(form string) []string {
	r.t.Helper()
	got := receive(r.t, r.ctx, r.lines)
	found := regexp.MustCompile(`\A(?:` + form + `)\z`).FindStringSubmatch(got)
	if found == nil {
		r.t.Errorf("etcdctl %q printed %q, want %s", r.args, got, form)
		return make([]string, strings.Count(form, "("))
	}
	return found[1:]
}

// interrupt ends the command as Ctrl-C does.
func (r *running) interrupt() {
	r.t.Helper()
	must(r.t, r.cmd.Process.Signal(syscall.SIGINT))
	r.ends()
}

// ends waits for the end of the command, which prints nothing more.
func (r *running) ends() {
	r.t.Helper()
	for line := range r.lines {
		r.t.Errorf("etcdctl %q printed %q at its end", r.args, line)
	}
	_ = r.cmd.Wait() // an interrupted command ends with an error
}

func TestDebianVersion(t *testing.T) {
	c, _ := newCtl(t)
	c.matches(`etcdctl version: 3\.4\.\d+\nAPI version: 3\.4`, "version")
}

func lines(all ...any) string {
	var b strings.Builder
	for i, line := range all {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprint(&b, line)
	}
	return b.String()
}
