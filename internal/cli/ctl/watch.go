package ctl

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"sync"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"bowline/internal/cli"
)

// watchOptions is the command watch.
type watchOptions struct {
	rev         int64
	prefix      bool
	prevKV      bool
	progress    bool
	interactive bool

	dash int // arguments before "--", negative without it
}

func newWatch(env *Env) *cobra.Command {
	o := &watchOptions{}
	run := env.action(o)
	cmd := &cobra.Command{
		Use:   "watch [options] [key or prefix] [range_end] [--] [exec-command arg1 arg2 ...]",
		Short: "Watches keys or prefixes for changes",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.dash = cmd.ArgsLenAtDash()
			return run(cmd, args)
		},
	}
	cmd.Flags().BoolVarP(&o.interactive, "interactive", "i", false, "read watch requests from standard input")
	o.addFlags(cmd.Flags())
	return cmd
}

// addFlags declares the flags of one watch, on the command line or in an
// interactive session.
func (o *watchOptions) addFlags(fs *pflag.FlagSet) {
	fs.Int64Var(&o.rev, "rev", 0, "revision to start at (0: now)")
	fs.BoolVar(&o.prefix, "prefix", false, "watch all keys with this prefix")
	fs.BoolVar(&o.prevKV, "prev-kv", false, "also show the key-value before each event")
	fs.BoolVar(&o.progress, "progress-notify", false, "show the progress notifications that the server sends")
}

func (o *watchOptions) run(ctx context.Context, env *Env, args []string) error {
	envKey, envEnd := env.getenv(envWatchKey), env.getenv(envWatchRangeEnd)
	var req watchRequest
	if !o.interactive {
		var err error
		if req, err = o.request(args, o.dash, envKey, envEnd); err != nil {
			return err
		}
	}
	s, err := env.connect(ctx, envWatchKey, envWatchRangeEnd)
	if err != nil {
		return err
	}
	defer s.Close()
	w := &watchPrinter{session: s}
	ctx = clientv3.WithRequireLeader(ctx)
	if o.interactive {
		return w.interactive(ctx, envKey, envEnd)
	}
	if err := w.follow(ctx, w.Watch(ctx, req.key, req.opts...), req.exec); err != nil {
		return err
	}
	return cli.Exit(cli.ExitInterrupted, errors.New("watch is canceled by the server"))
}

// watchPrinter writes what watches deliver. The watches of an interactive
// session share it, each on its own goroutine.
type watchPrinter struct {
	*session
	mu sync.Mutex // held for one response and the commands run for its events
}

// follow prints a watch until the server ends it, and runs the command for its events.
func (w *watchPrinter) follow(ctx context.Context, watch clientv3.WatchChan, command []string) error {
	for resp := range watch {
		if err := w.show(ctx, &resp, command); err != nil {
			return err
		}
	}
	return nil
}

func (w *watchPrinter) show(ctx context.Context, resp *clientv3.WatchResponse, command []string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if resp.Canceled {
		fmt.Fprintf(w.env.Err, "watch was canceled (%v)\n", resp.Err())
	}
	if resp.IsProgressNotify() {
		fmt.Fprintf(w.env.Out, "progress notify: %d\n", resp.Header.GetRevision())
	}
	if err := w.Print(watchResult(resp)); err != nil {
		return err
	}
	if len(command) == 0 {
		return nil
	}
	for _, ev := range resp.Events {
		if err := w.exec(ctx, resp.Header, ev, command); err != nil {
			fmt.Fprintf(w.env.Err, "command %q error (%v)\n", command, err)
			return cli.Exit(cli.ExitFailure, nil)
		}
	}
	return nil
}

// exec runs the user's command for one event and waits for it.
func (w *watchPrinter) exec(ctx context.Context, h *pb.ResponseHeader, ev *clientv3.Event, command []string) error {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(w.env.Environ[:len(w.env.Environ):len(w.env.Environ)],
		fmt.Sprintf("ETCD_WATCH_REVISION=%d", h.GetRevision()),
		fmt.Sprintf("ETCD_WATCH_EVENT_TYPE=%q", ev.Type),
		fmt.Sprintf("ETCD_WATCH_KEY=%q", ev.Kv.GetKey()),
		fmt.Sprintf("ETCD_WATCH_VALUE=%q", ev.Kv.GetValue()),
	)
	cmd.Stdout, cmd.Stderr = w.env.Out, w.env.Err
	return cmd.Run()
}

// watchJSON fixes the members of a watch response's JSON form, of which none is
// ever left out.
type watchJSON struct {
	Header          *pb.ResponseHeader
	Events          []*clientv3.Event
	CompactRevision int64
	Canceled        bool
	Created         bool
	CancelReason    string
}

func watchResult(resp *clientv3.WatchResponse) cli.Result {
	return cli.Result{
		Simple: func(w *cli.TextWriter) {
			for _, ev := range resp.Events {
				w.Linef("%s", ev.Type)
				if ev.PrevKv != nil {
					textKV(w, ev.PrevKv)
				}
				textKV(w, ev.Kv)
			}
		},
		Fields: func(w *cli.FieldWriter) {
			writeHeader(w, resp.Header)
			for _, ev := range resp.Events {
				w.Value("Type", ev.Type)
				if ev.PrevKv != nil {
					writeKV(w, "Prev", ev.PrevKv)
				}
				writeKV(w, "", ev.Kv)
			}
		},
		JSON: watchJSON{
			Header: resp.Header, Events: resp.Events, CompactRevision: resp.CompactRevision,
			Canceled: resp.Canceled, Created: resp.Created, CancelReason: resp.CancelReason,
		},
		Proto: &pb.WatchResponse{
			Header: resp.Header, Events: resp.Events, CompactRevision: resp.CompactRevision,
			Canceled: resp.Canceled, Created: resp.Created, CancelReason: resp.CancelReason,
		},
	}
}
