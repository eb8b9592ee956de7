package testkit

import (
	"errors"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Start starts a command that ends with this process at the latest, even if this
// one panics or is killed. The channel is closed when the command has ended; how
// is then in its ProcessState. Nobody else may wait for it.
//
// The kernel ties the command to the thread that started it, so that thread waits
// for it.
func Start(cmd *exec.Cmd) (ended <-chan struct{}, err error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, done := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is read from its state
			close(done)
		}
	}()
	return done, <-started
}

// untilStopped waits for the last thread of a process that was told to stop: on a busy
// machine one may answer a request first. The end of the process stays to be waited for.
func untilStopped(pid int) error {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WSTOPPED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
