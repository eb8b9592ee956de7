package ctl

import (
	"errors"

	clientv3 "go.etcd.io/etcd/client/v3"

	"bowline/internal/cli"
)

// The variables that can name what to watch.
const (
	envWatchKey      = "ETCDCTL_WATCH_KEY"
	envWatchRangeEnd = "ETCDCTL_WATCH_RANGE_END"
)

// watchRequest is one watch that was asked for.
type watchRequest struct {
	key  string
	opts []clientv3.OpOption
	// exec is the command to run for each event, if any.
	exec []string
}

// The two mistakes in a watch request that an interactive session survives.
var (
	errWatchNoKey       = errors.New("bad number of arguments")
	errWatchRangePrefix = errors.New("`range_end` and `--prefix` are mutually exclusive")
)

// request makes a watch of KEY [RANGE_END] [-- CMD ARGS...]. dash is the number
// of arguments before "--", negative if there is none. The environment may name
// the key instead; then there must be no positional arguments.
func (o *watchOptions) request(args []string, dash int, envKey, envEnd string) (watchRequest, error) {
	var req watchRequest
	if envKey == "" && envEnd != "" {
		return req, cli.BadArgs("%s is empty but got %s=%q", envWatchKey, envWatchRangeEnd, envEnd)
	}
	if dash >= 0 {
		args, req.exec = args[:dash], args[dash:]
		if len(req.exec) == 0 {
			return req, cli.BadArgs("bad number of arguments (found separator --, but no commands)")
		}
	}
	if envKey != "" {
		if len(args) > 0 {
			return req, cli.BadArgs("bad number of arguments (found conflicting environment key)")
		}
		args = []string{envKey}
		if envEnd != "" {
			args = append(args, envEnd)
		}
	}
	if len(args) == 0 {
		return req, cli.Exit(cli.ExitBadArgs, errWatchNoKey)
	}
	req.key = args[0]
	// A third argument makes the second one no range end: such a line was meant
	// as a key with a command, and only the key is watched.
	if len(args) == 2 {
		if o.prefix {
			return req, cli.Exit(cli.ExitBadArgs, errWatchRangePrefix)
		}
		req.opts = append(req.opts, clientv3.WithRange(args[1]))
	}
	req.opts = append(req.opts, clientv3.WithRev(o.rev))
	if o.prefix {
		req.opts = append(req.opts, clientv3.WithPrefix())
	}
	if o.prevKV {
		req.opts = append(req.opts, clientv3.WithPrevKV())
	}
	if o.progress {
		req.opts = append(req.opts, clientv3.WithProgressNotify())
	}
	return req, nil
}
