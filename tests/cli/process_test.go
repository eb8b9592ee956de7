package clitest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"bowline/internal/testkit"
)

// process is a running command.
type process struct {
	cmd            *exec.Cmd
	stdin          io.WriteCloser
	stdout, stderr buffer
	done           <-chan struct{} // closed when it has ended
}

// buffer is written by a process while we read it.
type buffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// start runs a command, which does not outlive the tests; stdin is nil for a pipe that stays open.
func start(argv, env []string, dir string, stdin io.Reader) (*process, error) {
	p := &process{cmd: exec.Command(argv[0], argv[1:]...)}
	p.cmd.Env, p.cmd.Dir = env, dir
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	if stdin != nil {
		p.cmd.Stdin = stdin
	} else {
		var err error
		if p.stdin, err = p.cmd.StdinPipe(); err != nil {
			return nil, err
		}
	}
	var err error
	if p.done, err = testkit.Start(p.cmd); err != nil {
		return nil, err
	}
	return p, nil
}

// wait returns the output of a process that ends in time; one that does not is
// killed.
func (p *process) wait(timeout time.Duration) (*output, error) {
	select {
	case <-p.done:
	case <-time.After(timeout):
		p.kill()
		return nil, fmt.Errorf("still running after %s; stdout so far:\n%s\nstderr:\n%s", timeout, p.stdout.String(), p.stderr.String())
	}
	out := &output{stdout: p.stdout.String(), stderr: p.stderr.String(), exit: p.cmd.ProcessState.ExitCode()}
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		out.exit = -int(status.Signal())
	}
	return out, nil
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *process) signal(name string) error {
	signals := map[string]os.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL}
	s, known := signals[name]
	if !known {
		return fmt.Errorf("unknown signal %s", name)
	}
	return p.cmd.Process.Signal(s)
}

// kill ends the process by force and waits for it.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// typingPause is how long a person at a terminal waits before each line.
const typingPause = 700 * time.Millisecond

// runOnTerminal runs a command whose standard input, and nothing else, is a
// terminal on which lines are typed.
func runOnTerminal(argv, env []string, dir string, lines []string, timeout time.Duration) (*output, error) {
	keyboard, screen, err := openTerminal()
	if err != nil {
		return nil, err
	}
	defer keyboard.Close()
	p, err := start(argv, env, dir, screen)
	screen.Close()
	if err != nil {
		return nil, err
	}
	for _, line := range lines {
		time.Sleep(typingPause)
		if _, err := keyboard.WriteString(line); err != nil {
			p.kill()
			return nil, err
		}
	}
	return p.wait(timeout)
}

// openTerminal makes a pair of pseudo-terminal devices: what is written to the
// first is typed on the second.
func openTerminal() (keyboard, screen *os.File, err error) {
	keyboard, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	fd := int(keyboard.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, errors.Join(err, keyboard.Close())
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		return nil, nil, errors.Join(err, keyboard.Close())
	}
	screen, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, errors.Join(err, keyboard.Close())
	}
	return keyboard, screen, nil
}
