package ctl

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"bowline/internal/cli"
)

// interactive reads watch requests from standard input and follows all of them
// at once, until the input ends or a watch's command fails.
//
// Two kinds of goroutines live as long as the process: the reader of lines,
// which cannot be interrupted, and one for each watch.
func (w *watchPrinter) interactive(ctx context.Context, envKey, envEnd string) error {
	lines, failed := make(chan string), make(chan error, 1)
	fail := func(err error) {
		select {
		case failed <- err:
		default: // the first failure decides
		}
	}
	in := w.env.stdin()
	go func() {
		for {
			line, err := readLine(in)
			if err != nil {
				fail(cli.Exitf(cli.ExitInvalidInput, "error reading watch request line: %w", err))
				return
			}
			lines <- line
		}
	}()

	for {
		var line string
		select {
		case err := <-failed:
			return err
		case line = <-lines:
		}
		req, err := w.parseLine(ctx, line, envKey, envEnd)
		if err != nil {
			return err
		}
		if req == nil {
			continue
		}
		// It is there before the next line is read, which may ask for its progress.
		watch := w.Watch(ctx, req.key, req.opts...)
		go func() {
			if err := w.follow(ctx, watch, req.exec); err != nil {
				fail(err)
			}
		}()
	}
}

// parseLine carries out one line of an interactive session, and returns the
// watch that it asks for, nil if none. Lines that make no sense are reported and
// skipped; only those that look like a wrong command line end the session.
func (w *watchPrinter) parseLine(ctx context.Context, line, envKey, envEnd string) (*watchRequest, error) {
	invalid := func(reason string) (*watchRequest, error) {
		fmt.Fprintf(w.env.Err, "Invalid command %s (%s)\n", line, reason)
		return nil, nil
	}
	words, err := splitLine(line)
	switch {
	case err != nil:
		return invalid(err.Error())
	case len(words) == 0:
		fmt.Fprintf(w.env.Err, "Invalid command: %s (watch and progress supported)\n", line)
		return nil, nil
	case words[0] == "progress":
		return nil, w.RequestProgress(ctx)
	case words[0] != "watch":
		return invalid("only support watch")
	case len(words) < 2 && envKey == "":
		return invalid("command type or key is not provided")
	}

	o := &watchOptions{}
	fs := pflag.NewFlagSet("watch", pflag.ContinueOnError)
	fs.Usage = func() {}
	o.addFlags(fs)
	if err := fs.Parse(words[1:]); err != nil {
		return nil, cli.Exit(cli.ExitBadArgs, err)
	}
	req, err := o.request(fs.Args(), fs.ArgsLenAtDash(), envKey, envEnd)
	if errors.Is(err, errWatchNoKey) || errors.Is(err, errWatchRangePrefix) {
		return invalid(err.Error())
	}
	return &req, err
}
