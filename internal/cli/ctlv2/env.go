package ctlv2

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"golang.org/x/term"
)

// Env is what a command may touch besides its arguments.
type Env struct {
	In       io.Reader
	Out, Err io.Writer
	// Environ is the environment, as NAME=value.
	Environ []string
	// Interrupted returns a context that ends with SIGINT.
	Interrupted func(context.Context) (context.Context, context.CancelFunc)
	// After is the clock of everything that pauses.
	After func(time.Duration) <-chan time.Time

	in *bufio.Reader
}

// OSEnv is the environment of the process.
func OSEnv() *Env {
	return &Env{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Environ: os.Environ(),
		Interrupted: func(ctx context.Context) (context.Context, context.CancelFunc) {
			return signal.NotifyContext(ctx, os.Interrupt)
		},
		After: time.After,
	}
}

func (env *Env) getenv(name string) string {
	for _, entry := range env.Environ {
		if key, value, _ := strings.Cut(entry, "="); key == name {
			return value
		}
	}
	return ""
}

// stdin is the one buffered reader over In.
func (env *Env) stdin() *bufio.Reader {
	if env.in == nil {
		env.in = bufio.NewReader(env.In)
	}
	return env.in
}

// password asks for a line, with the echo off if standard input is a terminal.
func (env *Env) password(prompt string) (string, error) {
	io.WriteString(env.Out, prompt)
	defer io.WriteString(env.Out, "\n")
	if f, ok := env.In.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		line, err := term.ReadPassword(int(f.Fd()))
		return string(line), err
	}
	line, err := env.stdin().ReadString('\n')
	if err == io.EOF {
		err = nil
	}
	return strings.TrimRight(line, "\r\n"), err
}
