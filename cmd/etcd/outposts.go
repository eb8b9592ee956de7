package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"bowline/internal/gateway"
	"bowline/internal/outpost"
	"bowline/internal/proxy"

	"github.com/spf13/cobra"
)

// isOutpost tells whether the arguments ask for a program that is no member.
func isOutpost(args []string) bool {
	return len(args) > 0 && (args[0] == "gateway" || args[0] == "grpc-proxy")
}

// outposts runs such a program, until it ends or is asked to.
func outposts(args []string) int {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	go func() {
		select {
		case s := <-signals:
			cancel(signalled{s})
		case <-ctx.Done():
		}
	}()
	env := &outpost.Env{Context: ctx, Stdout: os.Stdout, Stderr: os.Stderr, Args: os.Args, Ready: notifySystemd}
	root := &cobra.Command{Use: "etcd", Short: "etcd server", SuggestFor: []string{"etcd"}}
	root.AddCommand(gateway.Command(env), proxy.Command(env))
	root.SetArgs(args)
	if err := root.Execute(); err != nil {
		fmt.Fprint(os.Stderr, err) // once more, and without an end of the line: as etcd
		return 1
	}
	var by signalled
	if env.Exit == 0 && errors.As(context.Cause(ctx), &by) {
		return dieOf(by.Signal)
	}
	return env.Exit
}

// signalled is why a program ends that got a signal.
type signalled struct{ os.Signal }

// Error implements error.
func (s signalled) Error() string { return s.Signal.String() }
