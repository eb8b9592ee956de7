package ctl

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/term"

	"bowline/internal/cli"
)

// exitPassword is the status of a command that a signal ended while a password
// was typed.
const exitPassword = 255

// readPassword asks for one line on standard input, with the echo off if that
// is a terminal. The prompt goes to standard output, as etcdctl's always did.
func (env *Env) readPassword(prompt string) (string, error) {
	fmt.Fprint(env.Out, prompt)
	password, err := env.readHidden()
	fmt.Fprintln(env.Out)
	return password, err
}

func (env *Env) readHidden() (string, error) {
	fd, ok := terminal(env.In)
	if !ok {
		line, err := env.stdin().ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", cli.Exit(cli.ExitBadArgs, err)
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	before, err := term.GetState(fd)
	if err != nil {
		return "", cli.Exit(cli.ExitBadArgs, err)
	}
	signals, stop := env.Notify()
	defer stop()
	type answer struct {
		line []byte
		err  error
	}
	// The reader cannot be interrupted; after a signal it is left behind, and
	// the process ends.
	typed := make(chan answer, 1)
	go func() {
		line, err := term.ReadPassword(fd)
		typed <- answer{line, err}
	}()
	select {
	case a := <-typed:
		if a.err != nil {
			return "", cli.Exit(cli.ExitBadArgs, a.err)
		}
		return string(a.line), nil
	case <-signals:
		_ = term.Restore(fd, before)
		return "", cli.Exit(exitPassword, nil)
	}
}

// readNewPassword asks twice for the new password of a user.
func (env *Env) readNewPassword(user string) (string, error) {
	first, err := env.readPassword(fmt.Sprintf("Password of %s: ", user))
	if err != nil {
		return "", err
	}
	if first == "" {
		return "", cli.BadArgs("empty password")
	}
	again, err := env.readPassword(fmt.Sprintf("Type password of %s again for confirmation: ", user))
	if err != nil {
		return "", err
	}
	if first != again {
		return "", cli.BadArgs("given passwords are different")
	}
	return first, nil
}
