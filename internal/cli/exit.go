package cli

import (
	"errors"
	"fmt"
	"io"
)

// Exit codes of the tools. Scripts test for them, so they are part of the
// surface: a new situation takes one of these, never a new number.
const (
	// ExitOK is success.
	ExitOK = 0
	// ExitFailure is a failed request, an unhealthy endpoint, or a command line
	// that could not be parsed.
	ExitFailure = 1
	// ExitBadConnection says that no client could be made, and covers the
	// lease commands that have no deadline.
	ExitBadConnection = 2
	// ExitInvalidInput is unusable text on standard input.
	ExitInvalidInput = 3
	// ExitBadFeature is a known flag with a value we do not support.
	ExitBadFeature = 4
	// ExitInterrupted is a stream that the server ended, or a snapshot that
	// could not be saved.
	ExitInterrupted = 5
	// ExitBadArgs is a wrong number or kind of arguments.
	ExitBadArgs = 128
)

// ExitError is an error that decides how the process ends.
type ExitError struct {
	// Code is the exit status.
	Code int
	// Err is printed as "Error: TEXT". It is nil when the command has already
	// told everything.
	Err error
}

// Error implements error.
func (e *ExitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit status %d", e.Code)
	}
	return e.Err.Error()
}

// Unwrap gives access to the cause.
func (e *ExitError) Unwrap() error { return e.Err }

// Exit attaches an exit code to err. A nil err gives a silent exit.
func Exit(code int, err error) error { return &ExitError{Code: code, Err: err} }

// Exitf is Exit with a formatted text.
func Exitf(code int, format string, args ...any) error {
	return &ExitError{Code: code, Err: fmt.Errorf(format, args...)}
}

// BadArgs reports arguments that the command cannot take.
func BadArgs(format string, args ...any) error {
	return Exitf(ExitBadArgs, format, args...)
}

// Report writes the one line that an error ends a tool with, and returns the
// exit status. An error without a code is an ExitFailure.
func Report(w io.Writer, err error) int {
	if err == nil {
		return ExitOK
	}
	var exit *ExitError
	if !errors.As(err, &exit) {
		exit = &ExitError{Code: ExitFailure, Err: err}
	}
	if exit.Err != nil {
		fmt.Fprintln(w, "Error:", err)
	}
	return exit.Code
}
