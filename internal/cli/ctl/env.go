package ctl

import (
	"bufio"
	"context"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/pflag"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/term"
)

// Env is what a command may touch besides its arguments.
type Env struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer
	// Environ is the environment, as NAME=value.
	Environ []string
	// Dial makes a client.
	Dial func(clientv3.Config) (*clientv3.Client, error)
	// LookupSRV resolves --discovery-srv.
	LookupSRV func(ctx context.Context, service, proto, domain string) (string, []*net.SRV, error)
	// Notify delivers SIGINT and SIGTERM until stop is called. Commands that do
	// not call it die of these signals.
	Notify func() (signals <-chan os.Signal, stop func())
	// After is the clock of everything that pauses.
	After func(time.Duration) <-chan time.Time

	globals globals
	// interrupted is set when a signal has told a command to end.
	interrupted atomic.Bool
	// flags are those of the running command that it has from its parents:
	// the global ones and those that its group declares.
	flags *pflag.FlagSet
	in    *bufio.Reader
}

// OSEnv is the environment of the process.
func OSEnv() *Env {
	return &Env{
		In:        os.Stdin,
		Out:       os.Stdout,
		Err:       os.Stderr,
		Environ:   os.Environ(),
		Dial:      clientv3.New,
		LookupSRV: net.DefaultResolver.LookupSRV,
		Notify: func() (<-chan os.Signal, func()) {
			c := make(chan os.Signal, 1)
			signal.Notify(c, syscall.SIGINT, syscall.SIGTERM)
			return c, func() { signal.Stop(c) }
		},
		After: time.After,
	}
}

// stdin is the one buffered reader over In. All readers of lines share it, as
// two of them would steal each other's input.
func (env *Env) stdin() *bufio.Reader {
	if env.in == nil {
		env.in = bufio.NewReader(env.In)
	}
	return env.in
}

// getenv returns the value of an environment variable, "" if it is not set.
func (env *Env) getenv(name string) string {
	for _, entry := range env.Environ {
		if key, value, _ := strings.Cut(entry, "="); key == name {
			return value
		}
	}
	return ""
}

// terminal returns the file descriptor behind a stream that is a terminal.
func terminal(stream any) (fd int, ok bool) {
	file, isFile := stream.(*os.File)
	if !isFile {
		return 0, false
	}
	fd = int(file.Fd())
	return fd, term.IsTerminal(fd)
}
